"""Certificates: the list, and making one."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.pages import certificate, lookup, made_certificate
from fleetward.console.parts import forms
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.moment import millis
from fleetward.console.parts.notices import empty
from fleetward.console.shell import entitle, page

COLUMNS = (
    Column("id", "Certificate ID", "link"),
    Column("status", "Status", "state"),
    Column("created", "Created", "time"),
)


@page("/certificates", "Certificates")
async def certificates(operator: Operator) -> None:
    async def look(beginning: str | None) -> None:
        await listing.show(idPrefix=beginning.lower() if beginning else None)

    async def make() -> None:
        await made_certificate.create(operator)
        await listing.show()

    with ui.element("div").classes("toolbar"):
        forms.search("Find certificates by the beginning of their ID", look)
        ui.space()
        if operator.may("iot", "CreateKeysAndCertificate"):
            ui.button("Create certificate", icon="add", on_click=make).props("unelevated no-caps")
    listing = Listing(operator, COLUMNS, _row, "fleetward", "ListCertificatesById", "certificates", _nothing)
    await listing.show()


@page("/certificates/{id}", "Certificate")
async def one(operator: Operator, id: str) -> None:
    entitle(f"{id[:16]}…")
    await certificate.draw(operator, id)


def _row(found: dict[str, Any]) -> Row:
    id, status = found["certificateId"], found["status"]
    return {
        "key": id,
        "id": f"{id[:32]}…",
        "id_href": lookup.href("cert", id),
        "status": status,
        "status_tone": certificate.TONES[status],
        "created": millis(found["creationDate"]),
    }


def _nothing() -> None:
    empty(
        "No certificates here",
        "A device proves with a certificate and its key who it is. Make one with “Create certificate”.",
        "badge",
    )
