"""Metrics export: which values leave the house for whom, and in which form.

AWS IoT Device Defender developer guide, "Exporting metrics" (Detect): a profile's `metricsExportConfig` names a topic;
each behaviour and retained metric with `exportMetric` goes there, in batches, right after its window has closed or its
report has come. Times are epoch milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from fleetward.detect import targets
from fleetward.detect.inputs import Target
from fleetward.detect.outcome import Outcome, WindowRows
from fleetward.detect.profiles import folded_dimension
from fleetward.meter.batch import Column
from fleetward.meter.metrics import METRICS, Kind
from fleetward.model import Millis, Value, ValueKind, metric_value
from fleetward.registry.view import FleetView

MAX_BATCH = 131_072
"""Bytes of a batch, the most that an MQTT message carries at AWS."""

_HEAD, _TAIL = b'{"version":"1.0","metrics":[', b"]}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What one profile exports, where to, with which role, and of which devices."""

    profile: str
    topic: str
    role_arn: str
    columns: frozenset[Column]
    targets: tuple[Target, ...]


class Exported(NamedTuple):
    """One value on its way out; the same (thing, column, time) may come again, with the same version."""

    time: Millis
    thing: str
    column: Column
    value: Value


def plan_of(profile: str, document: Mapping[str, Any], targets: tuple[Target, ...]) -> Plan | None:
    """What a profile exports; None when it exports nothing."""
    config = document.get("metricsExportConfig")
    forms = [*(document.get("behaviors") or ()), *(document.get("additionalMetricsToRetainV2") or ())]
    columns = frozenset((form["metric"], folded_dimension(form)) for form in forms if form.get("exportMetric"))
    if not config or not columns or not targets:
        return None
    return Plan(profile, config["mqttTopic"], config["roleArn"], columns, targets)


def exported(plan: Plan, outcome: Outcome, view: FleetView) -> Iterator[Exported]:
    """The values of an outcome that a plan is about."""
    covered: dict[str, bool] = {}

    def wanted(thing: str) -> bool:
        if thing not in covered:
            covered[thing] = targets.covers(view, plan.targets, thing)
        return covered[thing]

    for rows in outcome.windows:
        yield from (value for value in _of_window(plan.columns, rows) if wanted(value.thing))
    for datum in outcome.data:
        column = (datum.metric, datum.dimension)
        if column in plan.columns and wanted(datum.thing):
            yield Exported(datum.time, datum.thing, column, datum.value)


def batches(values: Iterable[Exported], customs: Mapping[str, ValueKind]) -> Iterator[bytes]:
    """The messages that carry the values, each of at most MAX_BATCH bytes; a value too large for one is left out.

    `customs` gives the kind of values of each custom metric.
    """
    entries: list[bytes] = []
    size = len(_HEAD) + len(_TAIL)
    for value in values:
        entry = json.dumps(_entry(value, customs), ensure_ascii=False, separators=(",", ":")).encode()
        if len(_HEAD) + len(entry) + len(_TAIL) > MAX_BATCH:
            continue
        if size + len(entry) + 1 > MAX_BATCH:
            yield _HEAD + b",".join(entries) + _TAIL
            entries, size = [], len(_HEAD) + len(_TAIL)
        entries.append(entry)
        size += len(entry) + 1
    if entries:
        yield _HEAD + b",".join(entries) + _TAIL


def _of_window(columns: frozenset[Column], rows: WindowRows) -> Iterator[Exported]:
    end = rows.start + 1_000 * rows.duration_seconds
    inside = {**{(metric, ""): parts for metric, parts in rows.metrics.items()}, **rows.columns}
    for column in sorted(columns & inside.keys()):
        parts = inside[column]
        values = parts.maximum if _is_level(column[0]) else parts.total
        for name, has, value in zip(rows.names, parts.has.tolist(), values.tolist(), strict=True):
            if has:
                yield Exported(end, name, column, value)


def _is_level(metric: str) -> bool:
    """Whether the highest observation stands for the window, as in ListMetricValues."""
    return metric not in METRICS or METRICS[metric].kind is Kind.GAUGE


def _entry(value: Exported, customs: Mapping[str, ValueKind]) -> dict[str, Any]:
    metric, dimension = value.column
    kind = METRICS[metric].value if metric in METRICS else customs.get(metric, ValueKind.NUMBER)
    entry: dict[str, Any] = {
        "name": metric,
        "thing": value.thing,
        "value": metric_value(kind, value.value),
        "version": 1,
        "timestamp": value.time,
    }
    if dimension:
        operator, _, name = dimension.partition(":")
        entry["dimension"] = {"name": name, "operator": operator}
    return entry
