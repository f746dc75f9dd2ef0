"""Telling people what happened and what they can do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import ui

from fleetward.errors import Refusal


def explain(refusal: Refusal) -> None:
    """In the place of what could not be shown."""
    with ui.element("section").classes("notice bad").props("role=alert"):
        ui.icon("error_outline").props("aria-hidden=true")
        with ui.column().classes("gap-none"):
            ui.label(refusal.message)
            ui.label(refusal.code.removesuffix("Exception")).classes("quiet")


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


@contextmanager
def telling() -> Iterator[None]:
    """What is refused inside is told in the API's own words, and stays until it is closed."""
    try:
        yield
    except Refusal as refusal:
        ui.notify(refusal.message, type="negative", position="top", timeout=0, close_button="Close", multi_line=True)
