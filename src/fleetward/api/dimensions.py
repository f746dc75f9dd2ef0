"""iot: dimensions."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.api.call import Call
from fleetward.api.paging import page
from fleetward.api.times import datetime_of
from fleetward.detect import dimensions as rules
from fleetward.registry import tags
from fleetward.store.tables.detect import dimensions


def create_dimension(call: Call) -> dict[str, Any]:
    params, name = call.params, call.params["name"]
    added = tags.given(params)
    with call.transaction() as tx:
        rules.create(tx, name, params["type"], params["stringValues"], params["clientRequestToken"])
        tags.put(tx, _arn(call, name), added)
    return {"name": name, "arn": _arn(call, name)}


def update_dimension(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        return _shown(call, rules.update(tx, call.params["name"], call.params["stringValues"]))


def delete_dimension(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.delete(tx, call.params["name"])
        tags.forget(tx, _arn(call, call.params["name"]))
    return {}


def describe_dimension(call: Call) -> dict[str, Any]:
    with call.read() as look:
        return _shown(call, rules.get(look, call.params["name"]))


def list_dimensions(call: Call) -> dict[str, Any]:
    with call.read() as look:
        rows, token = page(call, look, sa.select(dimensions.c.name), dimensions.c.name)
    return {"dimensionNames": [row["name"] for row in rows], "nextToken": token}


def _arn(call: Call, name: str) -> str:
    return call.rooms.arns.iot("dimension", name)


def _shown(call: Call, row: RowMapping) -> dict[str, Any]:
    return {
        "name": row["name"],
        "arn": _arn(call, row["name"]),
        "type": row["type"],
        "stringValues": row["string_values"],
        "creationDate": datetime_of(row["created_at"]),
        "lastModifiedDate": datetime_of(row["modified_at"]),
    }
