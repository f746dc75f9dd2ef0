"""fleetward: violations as people ask for them: which there are and why, and everything that is known of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.alarm import message, violations, words
from fleetward.alarm.lifecycle import State
from fleetward.alarm.violations import Filter
from fleetward.api.call import Call
from fleetward.api.fleetward import change
from fleetward.api.paging import page
from fleetward.api.times import datetime_of, millis_of
from fleetward.detect import profiles
from fleetward.functions import queue
from fleetward.model import Behavior
from fleetward.notify.log import delivery_log
from fleetward.respond import isolations, mitigation_tasks
from fleetward.store.database import Reader
from fleetward.store.tables import detect as tables
from fleetward.store.tables.respond import mitigation_executions
from fleetward.store.tables.trail import trail

IS_OPEN: Mapping[str, bool | None] = {"OPEN": True, "ENDED": False, "ALL": None}
MAX_CHANGES = 20
AFTERMATH = 60_000
"""Milliseconds after the end of a violation in which a handler may still act on the alert of it."""


def list_violations(call: Call) -> dict[str, Any]:
    """The violations, newest first, each with its explanation."""
    start = call.params.get("startTime")
    kept = Filter(
        thing=call.params.get("thingName"),
        profile=call.params.get("securityProfileName"),
        criteria_type=call.params.get("behaviorCriteriaType"),
        verification_state=call.params.get("verificationState"),
        is_open=IS_OPEN[call.params.get("status", "OPEN")],
        since=None if start is None else millis_of(start),
    )
    with call.read() as look:
        rows, token = page(call, look, violations.recorded(kept), tables.violations.c.number, ascending=False)
    return {"violations": [_shown(call, row) for row in rows], "nextToken": token}


def describe_violation(call: Call) -> dict[str, Any]:
    """One violation with its events, their alerts' way to each subscriber, and what was done about it."""
    with call.read() as look:
        row = violations.get(look, call.params["violationId"])
        behavior = behavior_of(row)
        return {
            "violation": _shown(call, row),
            "alarmCondition": words.alarm_condition(behavior),
            "expectedBehavior": words.expected_behavior(behavior),
            "behaviorDocument": json.dumps(row["behavior"]),
            "lastViolationTime": datetime_of(row["last_at"]),
            "lastViolationValueDocument": json.dumps(row["last_value"]),
            "alertsSuppressed": row["suppressed"],
            "alertTargetArns": [target["alertTargetArn"] for target in row["alert_topics"]],
            "isolatedTime": _time(isolations.since(look, row["thing"])),
            "events": [_event(call, look, event) for event in violations.events_of(look, row["id"])],
            "mitigations": _mitigations(look, row),
            "changes": _changes(look, row),
        }


def _shown(call: Call, row: RowMapping) -> dict[str, Any]:
    explanation = row["explanation"] or {}
    return {
        "violationId": row["id"],
        "thingName": row["thing"],
        "securityProfileName": row["profile"],
        "behaviorName": row["behavior_name"],
        "startTime": datetime_of(row["started_at"]),
        "endTime": _time(row["ended_at"]),
        "state": row["state"],
        "endReason": row["reason"] or None,
        "registered": call.rooms.view.thing(row["thing"]) is not None,
        "isolated": call.rooms.view.is_isolated(row["thing"]),
        "verificationState": row["verification_state"],
        "verificationStateDescription": row["verification_description"],
        "explanation": explanation.get("summary", ""),
        "explanationDocument": json.dumps(explanation),
    }


def behavior_of(row: RowMapping) -> Behavior:
    """The behaviour as it was when the alarm was raised; its margin is told by the verdict alone."""
    margin = (row["explanation"] or {}).get("marginPercent", 0.0)
    return profiles.parse(row["profile"], [row["behavior"]], margin)[0]


# --- the alerts and their way -----------------------------------------------------------------------------------------


def _event(call: Call, look: Reader, row: RowMapping) -> dict[str, Any]:
    explanation, message_id = row["explanation"], message.message_id_of(row["violation_id"], row["kind"])
    log = delivery_log(look, call.rooms.arns, message_id=message_id)
    return {
        "type": row["kind"],
        "time": datetime_of(row["time"]),
        "reason": row["reason"] or None,
        "valueDocument": _json(row["value"]),
        "explanation": (explanation or {}).get("summary"),
        "explanationDocument": _json(explanation),
        "messageId": message_id,
        "alertError": row["alert_error"],
        "deliveries": [_delivery(look, delivery) for delivery in reversed(log)],
    }


def _delivery(look: Reader, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "topicArn": row["topic_arn"],
        "subscriptionArn": row["subscription_arn"],
        "protocol": row["protocol"],
        "endpoint": row["endpoint"],
        "status": row["status"],
        "attempts": row["attempts"],
        "code": row["code"],
        "error": row["error"],
        "createdTime": _time(row["created_at"]),
        "attemptedTime": _time(row["attempted_at"]),
        "nextTime": _time(row["next_at"]),
        "run": None if row["invocation_id"] is None else _run(look, row["invocation_id"]),
    }


def _run(look: Reader, invocation_id: str) -> dict[str, Any] | None:
    row = queue.find(look, invocation_id)
    if row is None:
        return None
    return {
        "functionName": row["function_name"],
        "requestId": row["id"],
        "status": row["status"],
        "attempts": row["attempts"],
        "error": row["last_error"],
        "endTime": _time(row["finished_at"]),
    }


# --- what was done about it -------------------------------------------------------------------------------------------


def _mitigations(look: Reader, row: RowMapping) -> list[dict[str, Any]]:
    ran = mitigation_tasks.executions(None, row["id"], None, None).order_by(mitigation_executions.c.number)
    return [
        {
            "taskId": one["task_id"],
            "actionName": one["action"],
            "status": one["status"],
            "startTime": datetime_of(one["started_at"]),
            "endTime": _time(one["ended_at"]),
            "errorCode": one["error_code"],
            "message": one["message"],
        }
        for one in look.all(ran)
    ]


def _changes(look: Reader, row: RowMapping) -> list[dict[str, Any]]:
    """What became of the thing's groups meanwhile: its isolation and its release, through whatever door."""
    during = trail.c.time >= row["started_at"]
    if row["state"] != State.IN_ALARM:
        during = sa.and_(during, trail.c.time <= row["ended_at"] + AFTERMATH)
    of_the_thing = trail.c.name.endswith(f"/{row['thing']}", autoescape=True)
    # By the index of times: there may be far more members of groups on the trail than changes since the alarm.
    found = look.all(sa.select(trail).where(during, of_the_thing).order_by(trail.c.time, trail.c.id).limit(1_000))
    return [change(one) for one in found if one["kind"] == "thing group member"][:MAX_CHANGES]


def _time(millis: int | None) -> Any:
    return None if millis is None else datetime_of(millis)


def _json(document: Any) -> str | None:
    return None if document is None else json.dumps(document)
