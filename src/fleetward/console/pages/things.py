"""Things: the devices that are registered."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.parts.asking import ask_reason
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.notices import empty, told
from fleetward.console.shell import entitle, page

COLUMNS = (Column("name", "Name", "link"), Column("type", "Thing type"), Column("attributes", "Attributes"))


@page("/things", "Things")
async def things(operator: Operator) -> None:
    listing = Listing(operator, COLUMNS, _row, "iot", "ListThings", "things", _nothing)
    await listing.show()


@page("/things/{name}", "Thing")
async def thing(operator: Operator, name: str) -> None:
    entitle(name)
    shown = await operator.do("iot", "DescribeThing", thingName=name)

    async def isolate() -> None:
        reason = await ask_reason(f"Isolate {name}?", "Its connection is dropped at once.", "Isolate")
        if reason is not None:
            await operator.do("fleetward", "QuarantineThing", thingName=name, reason=reason)
            told(f"{name} is isolated.")

    ui.label(shown["thingId"])
    if operator.may("fleetward", "QuarantineThing", thingName=name):
        ui.button("Isolate …", on_click=isolate, color="negative").props("unelevated no-caps")


def _row(thing: dict[str, Any]) -> Row:
    name = thing["thingName"]
    return {
        "key": name,
        "name": name,
        "name_href": f"/console/things/{name}",
        "type": thing.get("thingTypeName") or "–",
        "attributes": ", ".join(f"{key}={value}" for key, value in (thing.get("attributes") or {}).items()) or "–",
    }


def _nothing() -> None:
    empty("No things yet", "A thing is a device that you have registered.", "sensors")
