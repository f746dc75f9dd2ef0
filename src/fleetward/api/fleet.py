"""fleetward: the fleet at a glance, for whoever watches it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.alarm import violations
from fleetward.alarm.violations import Filter
from fleetward.api.call import Call
from fleetward.meter.pulse import Busy
from fleetward.model import AlarmKind
from fleetward.store.database import Reader
from fleetward.store.tables.detect import violation_events
from fleetward.store.tables.detect import violations as violation_rows
from fleetward.store.tables.registry import things

HOUR = 3_600_000
HOURS = 24
SHOWN = 8
"""Busiest and strangest devices that are named."""

LOOKED_AT = 500
"""The latest open violations, among which the strangest are looked for."""


def describe_fleet(call: Call) -> dict[str, Any]:
    """How many things there are and what they do right now, the alarms of a day, and who stands out."""
    rooms, now = call.rooms, call.now
    messages, size = rooms.pulse.rates(now)
    group = rooms.settings.quarantine_group
    with call.read() as look:
        return {
            "things": rooms.view.size,
            "connected": rooms.connectivity.connected,
            "reporting": rooms.pulse.reporting(now),
            "inAlarm": violations.count_things(look),
            "openViolations": violations.count_open(look),
            "isolated": len(rooms.isolation.isolated),
            "quarantineGroupName": group if rooms.view.group(group) is not None else None,
            "messagesPerSecond": messages,
            "bytesPerSecond": size,
            "traffic": [
                {"time": start, "messages": sent, "bytes": total} for start, sent, total in rooms.pulse.series(now)
            ],
            "alarms": _alarms(look, now),
            "busiest": _busiest(look, rooms.pulse.busiest(now, SHOWN)),
            "strangest": _strangest(look),
        }


def _alarms(look: Reader, now: int) -> list[dict[str, Any]]:
    """Alarms raised in each of the last HOURS, the current one included."""
    first = now // HOUR * HOUR - (HOURS - 1) * HOUR
    hour = (violation_events.c.time - first) // HOUR
    raised = (violation_events.c.kind == AlarmKind.IN_ALARM) & (violation_events.c.time >= first)
    counted = look.execute(sa.select(hour, sa.func.count()).where(raised).group_by(hour))
    found = {int(row[0]): row[1] for row in counted}
    return [{"time": first + number * HOUR, "count": found.get(number, 0)} for number in range(HOURS)]


def _busiest(look: Reader, busy: Sequence[Busy]) -> list[dict[str, Any]]:
    registered = sa.select(things.c.id, things.c.name).where(things.c.id.in_([one.id for one in busy if one.id >= 0]))
    names = {row["id"]: row["name"] for row in look.all(registered)}
    return [
        {
            "device": names.get(one.id) or one.name or "unknown",
            "registered": one.id in names,
            "messages": one.messages,
            "bytes": one.bytes,
        }
        for one in busy
    ]


def _strangest(look: Reader) -> list[dict[str, Any]]:
    """Devices in alarm, the one furthest from what is normal first."""
    rows = look.all(violations.active(Filter()).order_by(violation_rows.c.number.desc()).limit(LOOKED_AT))
    furthest: dict[str, RowMapping] = {}
    for row in sorted(rows, key=lambda row: -_distance(row["explanation"] or {})):
        furthest.setdefault(row["thing"], row)
    return [
        {
            "device": row["thing"],
            "violationId": row["id"],
            "behaviorName": row["behavior_name"],
            "summary": (row["explanation"] or {}).get("summary", ""),
        }
        for row in list(furthest.values())[:SHOWN]
    ]


def _distance(explanation: Mapping[str, Any]) -> float:
    """How many times the threshold the value is, or the threshold is the value; 0 when there is no such ratio."""
    value, threshold = explanation.get("value"), explanation.get("threshold")
    if not isinstance(value, int | float) or not isinstance(threshold, int | float) or not value or not threshold:
        return 0.0
    return abs(math.log(abs(value / threshold)))
