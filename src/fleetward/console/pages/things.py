"""Things: the devices that are registered, found by name; and making one."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.pages import lookup, thing
from fleetward.console.parts import forms
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.notices import empty, told
from fleetward.console.shell import entitle, page

COLUMNS = (
    Column("name", "Name", "link"),
    Column("connected", "Connection", "state"),
    Column("isolated", "Isolation", "state"),
    Column("type", "Thing type"),
    Column("attributes", "Attributes"),
)

LIVE_SECONDS = 10


@page("/things", "Things")
async def things(operator: Operator) -> None:
    async def look(beginning: str | None) -> None:
        await listing.show(namePrefix=beginning)

    with ui.element("div").classes("toolbar"):
        forms.search("Find things by the beginning of their name", look)
        ui.space()
        if operator.may("iot", "CreateThing", thingName="new"):
            ui.button("Create thing", icon="add", on_click=lambda: create(operator)).props("unelevated no-caps")
    listing = Listing(operator, COLUMNS, _row, "fleetward", "ListThingsByName", "things", _nothing)
    await listing.show()
    ui.timer(LIVE_SECONDS, listing.refresh, immediate=False)


@page("/things/{name}", "Thing")
async def one(operator: Operator, name: str) -> None:
    entitle(name)
    await thing.draw(operator, name)


def create(operator: Operator) -> None:
    """Asks for what a thing is made of, and shows it."""

    async def accept() -> None:
        attributes = dict(_pair(line) for line in (written.value or "").splitlines() if line.strip())
        await operator.do(
            "iot",
            "CreateThing",
            thingName=name.value or "",
            thingTypeName=kind.value or None,
            attributePayload={"attributes": attributes} if attributes else None,
        )
        told(f"Thing {name.value} is registered. Now attach the certificate that the device uses.")
        ui.navigate.to(lookup.target("thing", name.value))

    with forms.form("Create thing", "Create thing", accept):
        name = forms.field("Name", hint="Letters, digits, - _ and : — the device connects with it as its client ID")
        kind = forms.field("Thing type (optional)")
        written = ui.textarea("Attributes (optional), one a line: key=value").props("outlined dense").classes("wide")


def _pair(line: str) -> tuple[str, str]:
    key, _, value = line.partition("=")
    return key.strip(), value.strip()


def _row(found: dict[str, Any]) -> Row:
    name = found["thingName"]
    return {
        "key": name,
        "name": name,
        "name_href": lookup.href("thing", name),
        "connected": "connected" if found["connected"] else "away",
        "connected_tone": "good" if found["connected"] else "",
        "isolated": "isolated" if found["isolated"] else "",
        "isolated_tone": "bad" if found["isolated"] else "",
        "type": found.get("thingTypeName") or "–",
        "attributes": ", ".join(f"{key}={value}" for key, value in (found.get("attributes") or {}).items()) or "–",
    }


def _nothing() -> None:
    empty(
        "No things here",
        "A thing is a device that you have registered. Create one with “Create thing”, or look for another name.",
        "sensors",
    )
