"""iot: open violations, the events of all of them, people's verdicts on them, and the metric values behind them."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.alarm import violations
from fleetward.alarm.violations import Filter
from fleetward.api.call import Call
from fleetward.api.paging import page, page_of
from fleetward.api.times import datetime_of, millis_of
from fleetward.detect import behavior_checks, profile_members, profile_store
from fleetward.detect.catalog import catalog
from fleetward.model import Millis, metric_value
from fleetward.store.tables import detect as tables


def list_active_violations(call: Call) -> dict[str, Any]:
    with call.read() as look:
        found, token = page(call, look, violations.active(_filter(call)), tables.violations.c.number, ascending=False)
    return {"activeViolations": [_shown_violation(row) for row in found], "nextToken": token}


def list_violation_events(call: Call) -> dict[str, Any]:
    statement = violations.events_between(*_period(call), _filter(call))
    with call.read() as look:
        found, token = page(call, look, statement, tables.violation_events.c.number, ascending=False)
    return {"violationEvents": [_shown_event(row) for row in found], "nextToken": token}


def put_verification_state_on_violation(call: Call) -> dict[str, Any]:
    params = call.params
    with call.transaction() as tx:
        violations.verify(
            tx, params["violationId"], params["verificationState"], params.get("verificationStateDescription")
        )
    return {}


def list_metric_values(call: Call) -> dict[str, Any]:
    """Values of a metric that a profile uses or retains for the thing; of any other there are none."""
    start, end = _period(call)
    thing, metric = call.params["thingName"], call.params["metricName"]
    with call.read() as look:
        known = catalog(look)
        covering = profile_store.documents_covering(look, thing)
    described = known.metric(metric)
    if described is None:
        raise errors.InvalidRequest(behavior_checks.metric_complaint(metric, known) or "")
    name, operator = call.params.get("dimensionName"), call.params.get("dimensionValueOperator") or "IN"
    dimension = f"{operator}:{name}" if name else ""
    kept = any((metric, dimension) in profile_members.used_columns(document) for document in covering)
    found, token = page_of(call, call.rooms.history.values(thing, metric, start, end, dimension) if kept else [])
    data = [
        {"timestamp": datetime_of(value.timestamp), "value": metric_value(described.value, value.shown(metric))}
        for value in found
    ]
    return {"metricDatumList": data, "nextToken": token}


def _filter(call: Call) -> Filter:
    return Filter(
        thing=call.params.get("thingName"),
        profile=call.params.get("securityProfileName"),
        criteria_type=call.params.get("behaviorCriteriaType"),
        suppressed=call.params.get("listSuppressedAlerts"),
        verification_state=call.params.get("verificationState"),
    )


def _period(call: Call) -> tuple[Millis, Millis]:
    start, end = millis_of(call.params["startTime"]), millis_of(call.params["endTime"])
    if end < start:
        raise errors.InvalidRequest("endTime should not be before startTime")
    return start, end


def _shown_violation(row: RowMapping) -> dict[str, Any]:
    return {
        "violationId": row["id"],
        "thingName": row["thing"],
        "securityProfileName": row["profile"],
        "behavior": row["behavior"],
        "lastViolationValue": row["last_value"],
        "verificationState": row["verification_state"],
        "verificationStateDescription": row["verification_description"],
        "lastViolationTime": datetime_of(row["last_at"]),
        "violationStartTime": datetime_of(row["started_at"]),
    }


def _shown_event(row: RowMapping) -> dict[str, Any]:
    return {
        "violationId": row["violation_id"],
        "thingName": row["thing"],
        "securityProfileName": row["profile"],
        "behavior": row["behavior"],
        "metricValue": row["value"],
        "violationEventType": row["kind"],
        "verificationState": row["verification_state"],
        "verificationStateDescription": row["verification_description"],
        "violationEventTime": datetime_of(row["time"]),
    }
