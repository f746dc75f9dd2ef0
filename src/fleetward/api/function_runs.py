"""fleetward: what sets a function off, and what became of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import RowMapping

from fleetward.api.call import Call
from fleetward.api.paging import page, page_of
from fleetward.api.times import datetime_of
from fleetward.functions import catalog, names, permissions, queue, schedules
from fleetward.notify import subscriptions
from fleetward.store.database import Reader
from fleetward.store.tables.functions import invocations

SNS, EVENTS = "sns.amazonaws.com", "events.amazonaws.com"


def list_function_runs(call: Call) -> dict[str, Any]:
    """The events that were left for a function, the newest first, and how they ended."""
    with call.read() as look:
        statement = queue.runs_of(look, _name(call, look))
        rows, token = page(call, look, statement, invocations.c.sequence, ascending=False)
    return {"runs": [_run(row) for row in rows], "nextToken": token}


def _run(row: RowMapping) -> dict[str, Any]:
    ended = row["finished_at"]
    return {
        "requestId": row["id"],
        "source": row["source"],
        "sourceId": row["source_id"],
        "status": row["status"],
        "attempts": row["attempts"],
        "maxAttempts": row["max_attempts"],
        "error": row["last_error"],
        "creationTime": datetime_of(row["created_at"]),
        "endTime": None if ended is None else datetime_of(ended),
        "nextAttemptTime": datetime_of(row["due_at"]) if row["status"] == "pending" else None,
    }


def list_function_triggers(call: Call) -> dict[str, Any]:
    """The topics and schedules that set the function off, and whether the function's policy lets them."""
    with call.read() as look:
        name = _name(call, look)
        found = [*_topics(call, look, name), *_schedules(call, look, name)]
    triggers, token = page_of(call, found)
    return {"triggers": triggers, "nextToken": token}


def _topics(call: Call, look: Reader, name: str) -> list[dict[str, Any]]:
    arns = call.rooms.arns
    rows = look.all(subscriptions.of_function(arns.function(name)))
    return [
        {
            "source": "sns",
            "name": row["topic_name"],
            "sourceArn": arns.topic(row["topic_name"]),
            "subscriptionArn": subscriptions.arn(arns, row["topic_name"], row["id"]),
            "permitted": permissions.may_invoke(look, name, SNS, arns.topic(row["topic_name"]), arns.account),
            "enabled": True,
        }
        for row in rows
    ]


def _schedules(call: Call, look: Reader, name: str) -> list[dict[str, Any]]:
    arns = call.rooms.arns
    return [
        {
            "source": "events",
            "name": row["rule_name"],
            "sourceArn": arns.rule(row["rule_name"]),
            "targetId": row["target_id"],
            "scheduleExpression": row["expression"],
            "permitted": permissions.may_invoke(look, name, EVENTS, arns.rule(row["rule_name"]), arns.account),
            "enabled": row["enabled"],
            "error": row["last_error"],
        }
        for row in look.all(schedules.of_function(name))
    ]


def _name(call: Call, look: Reader) -> str:
    return catalog.get(look, names.resolve(call.rooms.arns, call.params["functionName"])).name
