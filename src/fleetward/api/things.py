"""iot: things."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.api.call import Call
from fleetward.api.paging import page
from fleetward.registry import things as rules
from fleetward.store.tables.registry import things


def create_thing(call: Call) -> dict[str, Any]:
    attributes = call.params.get("attributePayload", {}).get("attributes", {})
    with call.transaction() as tx:
        row = rules.create(tx, call.params["thingName"], attributes, call.params.get("thingTypeName"))
    return {"thingName": row["name"], "thingArn": call.rooms.arns.iot("thing", row["name"]), "thingId": str(row["id"])}


def describe_thing(call: Call) -> dict[str, Any]:
    with call.read() as look:
        row = rules.get(look, call.params["thingName"])
    return {"defaultClientId": row["name"], "thingId": str(row["id"]), **_shown(call, row)}


def update_thing(call: Call) -> dict[str, Any]:
    payload = call.params.get("attributePayload") or {}
    with call.transaction() as tx:
        rules.update(
            tx,
            call.params["thingName"],
            payload.get("attributes"),
            payload.get("merge", False),
            call.params.get("expectedVersion"),
        )
    return {}


def delete_thing(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.delete(tx, call.params["thingName"], call.params.get("expectedVersion"))
    return {}


def list_things(call: Call) -> dict[str, Any]:
    statement = sa.select(things)
    if type_name := call.params.get("thingTypeName"):
        statement = statement.where(things.c.type_name == type_name)
    if key := call.params.get("attributeName"):
        wanted = things.c.attributes[key].as_string()
        value = call.params.get("attributeValue")
        statement = statement.where(wanted.isnot(None) if value is None else wanted == value)
    with call.read() as look:
        rows, token = page(call, look, statement, things.c.name)
    return {"things": [_shown(call, row) for row in rows], "nextToken": token}


def _shown(call: Call, row: RowMapping) -> dict[str, Any]:
    return {
        "thingName": row["name"],
        "thingArn": call.rooms.arns.iot("thing", row["name"]),
        "thingTypeName": row["type_name"],
        "attributes": row["attributes"],
        "version": row["version"],
    }
