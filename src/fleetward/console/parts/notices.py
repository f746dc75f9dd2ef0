"""Telling people what happened and what they can do about it."""

from __future__ import annotations

import uuid

import structlog
from nicegui import ui

from fleetward.console.operator import SignedOut
from fleetward.errors import Refusal

log = structlog.get_logger()


def explain(error: Exception) -> None:
    """In the place of what could not be shown."""
    message, code = _words(error)
    with ui.element("section").classes("notice bad").props("role=alert"):
        ui.icon("error_outline").props("aria-hidden=true")
        with ui.column().classes("gap-none"):
            ui.label(message)
            ui.label(code).classes("quiet")


def empty(title: str, help: str = "", icon: str = "inbox") -> ui.element:
    """In the place of a list without items: what would be here, and how it gets here."""
    with ui.element("section").classes("notice empty") as section:
        ui.icon(icon).props("aria-hidden=true")
        with ui.column().classes("gap-none"):
            ui.label(title)
            if help:
                ui.label(help).classes("quiet")
    return section


def told(message: str) -> None:
    """Something worked."""
    ui.notify(message, type="positive", position="top", timeout=4000)


def tell(error: Exception) -> None:
    """Something did not work; stays until it is closed."""
    if isinstance(error, SignedOut):
        ui.navigate.to("/sign-in")
        return
    message, _ = _words(error)
    ui.notify(message, type="negative", position="top", timeout=0, close_button="Close", multi_line=True)


def _words(error: Exception) -> tuple[str, str]:
    """What happened, and its name. A mistake of ours is written to the log under a number that both can be found by."""
    if isinstance(error, Refusal):
        return error.message, error.code.removesuffix("Exception")
    number = uuid.uuid4().hex[:8]
    log.error("console_failed", number=number, exc_info=error)
    return f"Something went wrong here; the server's log tells more under {number}.", "Internal failure"
