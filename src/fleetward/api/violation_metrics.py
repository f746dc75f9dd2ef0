"""fleetward: the numbers behind a violation, from the metric history."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import RowMapping

from fleetward.alarm import violations
from fleetward.api.call import Call
from fleetward.api.explained_violations import behavior_of
from fleetward.api.times import datetime_of
from fleetward.meter.metrics import metric_of
from fleetward.model import Behavior, Millis
from fleetward.store import spread
from fleetward.store.history import History
from fleetward.store.spread import Distribution, Measure

WINDOWS_BEFORE, WINDOWS_AFTER = 60, 30
REPORTS_MILLIS = 3_600_000
"""How far from the alarm reports are shown that are datapoints of their own."""


async def describe_violation_metric(call: Call) -> dict[str, Any]:
    """The device's metric around the alarm, and where it stood among the fleet when it was raised."""
    with call.read() as look:
        row = violations.get(look, call.params["violationId"])
    behavior, history = behavior_of(row), call.rooms.history
    metric, measure = metric_of(behavior.metric, behavior.value), Measure.of(behavior)
    told = {"label": metric.label, "unit": metric.unit, "durationSeconds": behavior.duration_seconds}
    if measure is None:
        return {**told, "values": []}
    found = await asyncio.to_thread(_looked_up, history, measure, row)
    return {**told, "limit": _limit(behavior, row["explanation"] or {}), **found}


def _looked_up(history: History, measure: Measure, row: RowMapping) -> dict[str, Any]:
    end: Millis = (row["explanation"] or {}).get("windowEnd", row["started_at"])
    step = 1000 * measure.seconds
    before, after = (WINDOWS_BEFORE * step, WINDOWS_AFTER * step) if step else (REPORTS_MILLIS, REPORTS_MILLIS)
    series = spread.values(history, measure, row["thing"], end - before, end + after)
    fleet = spread.distribution(history, measure, row["thing"], end)
    return {
        "values": [{"time": datetime_of(time), "value": value} for time, value in series],
        "distribution": fleet and _shown(fleet),
    }


def _shown(fleet: Distribution) -> dict[str, Any]:
    edges = zip(fleet.edges, fleet.edges[1:], fleet.counts, strict=False)
    return {
        "devices": fleet.devices,
        "value": fleet.value,
        "logarithmic": fleet.logarithmic,
        "bins": [{"low": low, "high": high, "devices": devices} for low, high, devices in edges],
    }


def _limit(behavior: Behavior, explanation: Mapping[str, Any]) -> float | None:
    threshold, margin = explanation.get("threshold"), explanation.get("marginPercent", 0)
    if not isinstance(threshold, int | float):
        return None
    is_upper_bound = getattr(behavior.criterion, "operator").is_upper_bound  # noqa: B009
    return threshold * (100 + (margin if is_upper_bound else -margin)) / 100
