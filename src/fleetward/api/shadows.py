"""iot-data: device shadows. Payloads are whole documents, in and out; a missing `shadowName` means the classic one."""

from __future__ import annotations

from typing import Any

from fleetward.api.call import Call
from fleetward.api.paging import page
from fleetward.shadows.records import Key, named
from fleetward.store.tables.shadows import shadows


def get_thing_shadow(call: Call) -> dict[str, Any]:
    return {"payload": call.rooms.shadows.get(_key(call))}


async def update_thing_shadow(call: Call) -> dict[str, Any]:
    return {"payload": await call.rooms.shadows.update(_key(call), call.params["payload"])}


async def delete_thing_shadow(call: Call) -> dict[str, Any]:
    return {"payload": await call.rooms.shadows.delete(_key(call))}


def list_named_shadows_for_thing(call: Call) -> dict[str, Any]:
    """Empty for a thing without named shadows, and for one that does not exist ("Device Shadow REST API")."""
    with call.read() as look:
        rows, token = page(call, look, named(call.params["thingName"]), shadows.c.name)
    return {"results": [row["name"] for row in rows], "nextToken": token, "timestamp": call.now // 1000}


def _key(call: Call) -> Key:
    return Key(call.params["thingName"], call.params.get("shadowName", ""))
