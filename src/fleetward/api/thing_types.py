"""iot: thing types."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.api.call import Call
from fleetward.api.paging import page
from fleetward.api.times import datetime_of
from fleetward.registry import tags
from fleetward.registry import thing_types as rules
from fleetward.store.tables.registry import thing_types


def create_thing_type(call: Call) -> dict[str, Any]:
    name, properties = call.params["thingTypeName"], call.params.get("thingTypeProperties", {})
    with call.transaction() as tx:
        row = rules.create(
            tx,
            name,
            properties.get("thingTypeDescription", ""),
            properties.get("searchableAttributes", ()),
            properties.get("mqtt5Configuration"),
        )
        tags.put(tx, _arn(call, name), tags.given(call.params))
    return {"thingTypeName": name, "thingTypeArn": _arn(call, name), "thingTypeId": row["id"]}


def describe_thing_type(call: Call) -> dict[str, Any]:
    with call.read() as look:
        row = rules.get(look, call.params["thingTypeName"])
    return {"thingTypeId": row["id"], **_shown(call, row)}


def list_thing_types(call: Call) -> dict[str, Any]:
    statement = sa.select(thing_types)
    if name := call.params.get("thingTypeName"):
        statement = statement.where(thing_types.c.name == name)
    with call.read() as look:
        rows, token = page(call, look, statement, thing_types.c.name)
    return {"thingTypes": [_shown(call, row) for row in rows], "nextToken": token}


def update_thing_type(call: Call) -> dict[str, Any]:
    properties = call.params.get("thingTypeProperties", {})
    with call.transaction() as tx:
        rules.update(
            tx,
            call.params["thingTypeName"],
            properties.get("thingTypeDescription"),
            properties.get("searchableAttributes"),
            properties.get("mqtt5Configuration"),
        )
    return {}


def deprecate_thing_type(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.deprecate(tx, call.params["thingTypeName"], call.params.get("undoDeprecate", False))
    return {}


def delete_thing_type(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.delete(tx, call.params["thingTypeName"])
        tags.forget(tx, _arn(call, call.params["thingTypeName"]))
    return {}


def _arn(call: Call, name: str) -> str:
    return call.rooms.arns.iot("thingtype", name)


def _shown(call: Call, row: RowMapping) -> dict[str, Any]:
    properties = {
        "thingTypeDescription": row["description"] or None,
        "searchableAttributes": row["searchable_attributes"],
        "mqtt5Configuration": row["mqtt5_configuration"],
    }
    deprecated_at = row["deprecated_at"]
    return {
        "thingTypeName": row["name"],
        "thingTypeArn": _arn(call, row["name"]),
        "thingTypeProperties": {key: value for key, value in properties.items() if value is not None},
        "thingTypeMetadata": {
            "deprecated": deprecated_at is not None,
            "deprecationDate": None if deprecated_at is None else datetime_of(deprecated_at),
            "creationDate": datetime_of(row["created_at"]),
        },
    }
