"""What is wrong with a behaviour in the API's form: one check a member, each yielding complaints.

The rules are those of AWS (developer guide, "Detect commands" and "Cloud-side metrics"; the bounds are those
of AWS's service model). A check judges its own member only, so that one defect is told once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from fleetward.meter.metrics import METRICS, Metric
from fleetward.model import Operator

Json: TypeAlias = Mapping[str, Any]

MAX_COUNT = 2**63 - 1
DURATION_SECONDS = (5, 86_400)
"""Any whole number in this range; AWS itself takes only 300, 600, 900, 1800 and 3600."""
DATAPOINTS = (1, 10)

STATISTICS = {
    "p0": 0,
    "p0.01": 1,
    "p0.1": 10,
    "p1": 100,
    "p10": 1_000,
    "p50": 5_000,
    "p90": 9_000,
    "p99": 9_900,
    "p99.9": 9_990,
    "p99.99": 9_999,
    "p100": 10_000,
}
"""The percentiles of the service model's EvaluationStatistic, in hundredths."""

METRICS_NOT_YET = frozenset(
    {
        "aws:source-ip-address",
        "aws:disconnect-duration",
        "aws:all-bytes-out",
        "aws:all-bytes-in",
        "aws:all-packets-out",
        "aws:all-packets-in",
        "aws:num-listening-tcp-ports",
        "aws:num-listening-udp-ports",
        "aws:num-established-tcp-connections",
        "aws:listening-tcp-ports",
        "aws:listening-udp-ports",
        "aws:destination-ip-addresses",
    }
)
"""Metrics AWS has and METRICS does not hold yet."""
NUMERIC_OPERATORS = tuple(operator.value for operator in Operator)
SET_OPERATORS = ("in-cidr-set", "not-in-cidr-set", "in-port-set", "not-in-port-set", "in-set", "not-in-set")
VALUE_MEMBERS = ("count", "cidrs", "ports", "number", "numbers", "strings")
CRITERIA_KINDS = ("value", "statisticalThreshold", "mlDetectionConfig")

NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")


def complaints(behavior: object, uses: Mapping[str, int]) -> Iterator[str]:
    """Everything wrong with one behaviour; `uses` counts how often each name occurs in its profile."""
    if not isinstance(behavior, Mapping):
        yield "a behavior should be a structure"
        return
    yield from _check_name(behavior, uses)
    for check in BEHAVIOR_CHECKS:
        yield from check(behavior)
    criteria = behavior.get("criteria")
    if isinstance(criteria, Mapping):
        metric = _metric_of(behavior)
        for criteria_check in CRITERIA_CHECKS:
            yield from criteria_check(criteria, metric)


def metric_complaint(metric: object) -> str | None:
    """What is wrong with a metric's name, for behaviours and for metrics to retain."""
    if metric is None:
        return "metric is missing"
    if isinstance(metric, str) and metric in METRICS:
        return None
    if isinstance(metric, str) and metric in METRICS_NOT_YET:
        return f"metric {metric} is not supported yet"
    return f"metric {show(metric)} is neither a built-in metric nor an existing custom metric"


def show(value: object) -> str:
    """`value` as a complaint quotes it: never long, whatever a caller sent."""
    try:
        text = value if isinstance(value, str) else json.dumps(value, default=str)
    except (ValueError, RecursionError):
        return "(unreadable)"
    return text if len(text) <= 128 else text[:125] + "..."


def _check_name(behavior: Json, uses: Mapping[str, int]) -> Iterator[str]:
    name = behavior.get("name")
    if name is None:
        yield "name is missing"
    elif not isinstance(name, str) or not NAME.fullmatch(name):
        yield f"name {show(name)} should match {NAME.pattern}"
    elif uses[name] > 1:
        yield "name should be unique within the security profile"


def _check_metric(behavior: Json) -> Iterator[str]:
    complaint = metric_complaint(behavior.get("metric"))
    if complaint:
        yield complaint


def _check_dimension(behavior: Json) -> Iterator[str]:
    if behavior.get("metricDimension") is None:
        return
    metric = _metric_of(behavior)
    if metric and not metric.takes_dimension:
        yield f"metricDimension does not apply to metric {metric.name}"
    else:
        yield "metricDimension is not supported yet"


def _check_flags(behavior: Json) -> Iterator[str]:
    for flag in ("suppressAlerts", "exportMetric"):
        value = behavior.get(flag)
        if value is not None and not isinstance(value, bool):
            yield f"{flag} {show(value)} should be true or false"


def _check_criteria(behavior: Json) -> Iterator[str]:
    criteria = behavior.get("criteria")
    if criteria is None:
        yield "criteria is missing"
    elif not isinstance(criteria, Mapping):
        yield "criteria should be a structure"


def _check_kind(criteria: Json, _metric: Metric | None) -> Iterator[str]:
    if sum(criteria.get(kind) is not None for kind in CRITERIA_KINDS) != 1:
        yield f"criteria should have exactly one of {', '.join(CRITERIA_KINDS)}"


def _check_machine_learning(criteria: Json, _metric: Metric | None) -> Iterator[str]:
    if criteria.get("mlDetectionConfig") is None:
        return
    yield "mlDetectionConfig is not supported yet"
    for member in ("comparisonOperator", "durationSeconds"):
        if criteria.get(member) is not None:
            yield f"{member} should be absent with mlDetectionConfig"


def _check_operator(criteria: Json, metric: Metric | None) -> Iterator[str]:
    operator = criteria.get("comparisonOperator")
    if operator is None:
        if criteria.get("mlDetectionConfig") is None:
            yield "comparisonOperator is missing"
    elif operator in SET_OPERATORS:
        if criteria.get("statisticalThreshold") is not None:
            yield f"comparisonOperator {operator} does not apply to a statisticalThreshold"
        elif metric:
            yield f"comparisonOperator {operator} does not apply to metric {metric.name}"
    elif operator not in NUMERIC_OPERATORS:
        yield f"comparisonOperator {show(operator)} should be one of {', '.join(NUMERIC_OPERATORS + SET_OPERATORS)}"


def _check_value(criteria: Json, metric: Metric | None) -> Iterator[str]:
    value = criteria.get("value")
    if value is None:
        return
    given = [member for member in VALUE_MEMBERS if value.get(member) is not None] if isinstance(value, Mapping) else []
    if len(given) != 1:
        yield f"value should have exactly one of {', '.join(VALUE_MEMBERS)}"
    elif given != ["count"]:
        if metric:
            yield f"value.{given[0]} does not apply to metric {metric.name}, which takes value.count"
    else:
        yield from _check_range("value.count", value["count"], (0, MAX_COUNT))


def _check_statistic(criteria: Json, _metric: Metric | None) -> Iterator[str]:
    threshold = criteria.get("statisticalThreshold")
    if threshold is None:
        return
    statistic = threshold.get("statistic") if isinstance(threshold, Mapping) else None
    if statistic is None:
        yield "statisticalThreshold.statistic is missing"
    elif statistic == "Average":
        yield "statistic Average is not supported yet"
    elif not isinstance(statistic, str) or statistic not in STATISTICS:
        yield f"statistic {show(statistic)} should be one of {', '.join(STATISTICS)}"


def _check_duration(criteria: Json, metric: Metric | None) -> Iterator[str]:
    duration = criteria.get("durationSeconds")
    if duration is not None:
        yield from _check_range("durationSeconds", duration, DURATION_SECONDS)
    elif criteria.get("statisticalThreshold") is not None:
        yield "durationSeconds is required with statisticalThreshold"
    elif metric and metric.duration_required and criteria.get("mlDetectionConfig") is None:
        yield f"durationSeconds is required for metric {metric.name}"


def _check_datapoints(criteria: Json, _metric: Metric | None) -> Iterator[str]:
    for member in ("consecutiveDatapointsToAlarm", "consecutiveDatapointsToClear"):
        if (value := criteria.get(member)) is not None:
            yield from _check_range(member, value, DATAPOINTS)


def _check_range(member: str, value: object, limits: tuple[int, int]) -> Iterator[str]:
    low, high = limits
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        yield f"{member} {show(value)} should be in range[{low},{high}]"


def _metric_of(behavior: Json) -> Metric | None:
    name = behavior.get("metric")
    return METRICS.get(name) if isinstance(name, str) else None


BEHAVIOR_CHECKS: tuple[Callable[[Json], Iterator[str]], ...] = (
    _check_metric,
    _check_dimension,
    _check_flags,
    _check_criteria,
)
CRITERIA_CHECKS: tuple[Callable[[Json, Metric | None], Iterator[str]], ...] = (
    _check_kind,
    _check_machine_learning,
    _check_operator,
    _check_value,
    _check_statistic,
    _check_duration,
    _check_datapoints,
)
