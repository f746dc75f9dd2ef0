"""iot: mitigation actions, and Detect's tasks that run them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.access.service_roles import check_iot_role
from fleetward.api.call import Call
from fleetward.api.paging import page
from fleetward.api.times import datetime_of, millis_of
from fleetward.model import Millis
from fleetward.registry import tags
from fleetward.respond import mitigation_actions as actions
from fleetward.respond import mitigation_tasks as tasks
from fleetward.store.tables import respond as tables

# --- actions ----------------------------------------------------------------------------------------------------------


def create_mitigation_action(call: Call) -> dict[str, Any]:
    name, added = call.params["actionName"], tags.given(call.params)
    with call.transaction() as tx:
        row = actions.create(tx, name, call.params["roleArn"], call.params["actionParams"])
        check_iot_role(call.rooms.authorizer, tx, row["role_arn"], call.now)
        tags.put(tx, _arn(call, name), added)
    return _identified(call, row)


def update_mitigation_action(call: Call) -> dict[str, Any]:
    params = call.params
    with call.transaction() as tx:
        row = actions.update(tx, params["actionName"], params.get("roleArn"), params.get("actionParams"))
        if "roleArn" in params:
            check_iot_role(call.rooms.authorizer, tx, row["role_arn"], call.now)
    return _identified(call, row)


def delete_mitigation_action(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        actions.delete(tx, call.params["actionName"])
        tags.forget(tx, _arn(call, call.params["actionName"]))
    return {}


def describe_mitigation_action(call: Call) -> dict[str, Any]:
    with call.read() as look:
        row = actions.get(look, call.params["actionName"])
    return {
        **_identified(call, row),
        "actionName": row["name"],
        "actionType": actions.type_of(row["params"]),
        "roleArn": row["role_arn"],
        "actionParams": row["params"],
        "creationDate": datetime_of(row["created_at"]),
        "lastModifiedDate": datetime_of(row["modified_at"]),
    }


def list_mitigation_actions(call: Call) -> dict[str, Any]:
    wanted = call.params.get("actionType")
    table = tables.mitigation_actions
    statement = sa.select(table)
    if wanted is not None:
        with call.read() as look:
            names = [row["name"] for row in look.all(statement) if actions.type_of(row["params"]) == wanted]
        statement = statement.where(table.c.name.in_(names))
    with call.read() as look:
        rows, token = page(call, look, statement, table.c.name)
    identifiers = [
        {
            "actionName": row["name"],
            "actionArn": _arn(call, row["name"]),
            "creationDate": datetime_of(row["created_at"]),
        }
        for row in rows
    ]
    return {"actionIdentifiers": identifiers, "nextToken": token}


def _arn(call: Call, name: str) -> str:
    return call.rooms.arns.iot("mitigationaction", name)


def _identified(call: Call, row: RowMapping) -> dict[str, Any]:
    return {"actionArn": _arn(call, row["name"]), "actionId": row["id"]}


# --- tasks ------------------------------------------------------------------------------------------------------------


def start_detect_mitigation_actions_task(call: Call) -> dict[str, Any]:
    params = call.params
    period = params.get("violationEventOccurrenceRange")
    with call.transaction() as tx:
        tasks.start(
            tx,
            params["taskId"],
            params["target"],
            params["actions"],
            (millis_of(period["startTime"]), millis_of(period["endTime"])) if period else None,
            params.get("includeOnlyActiveViolations", True),
            params.get("includeSuppressedAlerts", True),
            params["clientRequestToken"],
            call.caller.principal_arn or "",
        )
    return {"taskId": params["taskId"]}


def cancel_detect_mitigation_actions_task(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        tasks.cancel(tx, call.params["taskId"])
    return {}


def describe_detect_mitigation_actions_task(call: Call) -> dict[str, Any]:
    with call.read() as look:
        return {"taskSummary": _shown_task(tasks.get(look, call.params["taskId"]))}


def list_detect_mitigation_actions_tasks(call: Call) -> dict[str, Any]:
    period = _period(call)
    assert period is not None, "the model requires both times"
    with call.read() as look:
        column = tables.mitigation_tasks.c.number
        rows, token = page(call, look, tasks.started_between(*period), column, ascending=False)
    return {"tasks": [_shown_task(row) for row in rows], "nextToken": token}


def list_detect_mitigation_actions_executions(call: Call) -> dict[str, Any]:
    params, period = call.params, _period(call)
    kept = (params.get("taskId"), params.get("violationId"), params.get("thingName"))
    if period is None and not any(kept):
        raise errors.InvalidRequest("One of taskId, violationId, thingName or startTime and endTime must be given")
    with call.read() as look:
        column = tables.mitigation_executions.c.number
        rows, token = page(call, look, tasks.executions(*kept, period), column, ascending=False)
    return {"actionsExecutions": [_shown_execution(row) for row in rows], "nextToken": token}


def _period(call: Call) -> tuple[Millis, Millis] | None:
    start, end = call.params.get("startTime"), call.params.get("endTime")
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise errors.InvalidRequest("startTime and endTime must be given together")
    if end < start:
        raise errors.InvalidRequest("endTime should not be before startTime")
    return millis_of(start), millis_of(end)


def _shown_task(row: RowMapping) -> dict[str, Any]:
    period = None
    if row["range_start"] is not None:
        period = {"startTime": datetime_of(row["range_start"]), "endTime": datetime_of(row["range_end"])}
    return {
        "taskId": row["id"],
        "taskStatus": row["status"],
        "taskStartTime": datetime_of(row["started_at"]),
        "taskEndTime": None if row["ended_at"] is None else datetime_of(row["ended_at"]),
        "target": row["target"],
        "violationEventOccurrenceRange": period,
        "onlyActiveViolationsIncluded": row["only_active"],
        "suppressedAlertsIncluded": row["include_suppressed"],
        "actionsDefinition": row["actions"],
        "taskStatistics": {
            "actionsExecuted": row["executed"],
            "actionsSkipped": row["skipped"],
            "actionsFailed": row["failed"],
        },
    }


def _shown_execution(row: RowMapping) -> dict[str, Any]:
    return {
        "taskId": row["task_id"],
        "violationId": row["violation_id"],
        "actionName": row["action"],
        "thingName": row["thing"],
        "executionStartDate": datetime_of(row["started_at"]),
        "executionEndDate": None if row["ended_at"] is None else datetime_of(row["ended_at"]),
        "status": row["status"],
        "errorCode": row["error_code"],
        "message": row["message"],
    }
