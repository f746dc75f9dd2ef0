"""iot: custom metrics."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.api.call import Call
from fleetward.api.paging import page
from fleetward.api.times import datetime_of
from fleetward.detect import custom_metrics as rules
from fleetward.registry import tags
from fleetward.store.tables.detect import custom_metrics


def create_custom_metric(call: Call) -> dict[str, Any]:
    params, name = call.params, call.params["metricName"]
    added = tags.given(params)
    with call.transaction() as tx:
        rules.create(tx, name, params["metricType"], params.get("displayName", ""), params["clientRequestToken"])
        tags.put(tx, _arn(call, name), added)
    return {"metricName": name, "metricArn": _arn(call, name)}


def update_custom_metric(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        return _shown(call, rules.rename(tx, call.params["metricName"], call.params["displayName"]))


def delete_custom_metric(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.delete(tx, call.params["metricName"])
        tags.forget(tx, _arn(call, call.params["metricName"]))
    return {}


def describe_custom_metric(call: Call) -> dict[str, Any]:
    with call.read() as look:
        return _shown(call, rules.get(look, call.params["metricName"]))


def list_custom_metrics(call: Call) -> dict[str, Any]:
    with call.read() as look:
        rows, token = page(call, look, sa.select(custom_metrics.c.name), custom_metrics.c.name)
    return {"metricNames": [row["name"] for row in rows], "nextToken": token}


def _arn(call: Call, name: str) -> str:
    return call.rooms.arns.iot("custommetric", name)


def _shown(call: Call, row: RowMapping) -> dict[str, Any]:
    return {
        "metricName": row["name"],
        "metricArn": _arn(call, row["name"]),
        "metricType": row["type"],
        "displayName": row["display_name"] or None,
        "creationDate": datetime_of(row["created_at"]),
        "lastModifiedDate": datetime_of(row["modified_at"]),
    }
