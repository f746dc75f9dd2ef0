"""Things: the devices that are registered."""

from __future__ import annotations

from typing import Any

from fleetward.console.operator import Operator
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.notices import empty
from fleetward.console.shell import page

COLUMNS = (Column("name", "Name", "link"), Column("type", "Thing type"), Column("attributes", "Attributes"))


@page("/things", "Things")
async def things(operator: Operator) -> None:
    listing = Listing(operator, COLUMNS, _row, "iot", "ListThings", "things", _nothing)
    await listing.show()


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
