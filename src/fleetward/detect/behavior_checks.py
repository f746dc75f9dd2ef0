"""What is wrong with a behaviour in the API's form: one check a member, each yielding complaints.

The rules are those of AWS (developer guide, "Detect commands" and "Cloud-side metrics"; the bounds are those
of AWS's service model). A check judges its own member only, so that one defect is told once.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fleetward.meter.metrics import METRICS, Duration, Metric, metric_of
from fleetward.model import Operator, SetOperator, ValueKind

Json: TypeAlias = Mapping[str, Any]

MAX_COUNT = 2**63 - 1
MAX_NUMBER = 1.7976931348623157e308
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
AVERAGE = "Average"

NUMERIC_OPERATORS = tuple(operator.value for operator in Operator)
SET_OPERATORS = tuple(operator.value for operator in SetOperator)
VALUE_MEMBERS = tuple(kind.value for kind in ValueKind)
DIMENSION_OPERATORS = ("IN", "NOT_IN")
_DIMENSION_KEYS = ("dimensionName", "operator")
CRITERIA_KINDS = ("value", "statisticalThreshold", "mlDetectionConfig")

NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
CIDR = re.compile(r"[a-fA-F0-9:./]{2,43}")
PORTS = (0, 65_535)


@dataclass(frozen=True, slots=True)
class Catalog:
    """What behaviours may refer to besides METRICS: custom metrics, with the kind of their values, and dimensions."""

    metrics: Mapping[str, ValueKind] = field(default_factory=dict)
    dimensions: Collection[str] = frozenset()

    def metric(self, name: object) -> Metric | None:
        if not isinstance(name, str):
            return None
        if name in METRICS:
            return METRICS[name]
        return metric_of(name, self.metrics[name]) if name in self.metrics else None


NOTHING = Catalog()


def complaints(behavior: object, uses: Mapping[str, int], catalog: Catalog = NOTHING) -> Iterator[str]:
    """Everything wrong with one behaviour; `uses` counts how often each name occurs in its profile."""
    if not isinstance(behavior, Mapping):
        yield "a behavior should be a structure"
        return
    yield from _check_name(behavior, uses)
    for check in BEHAVIOR_CHECKS:
        yield from check(behavior, catalog)
    criteria = behavior.get("criteria")
    if isinstance(criteria, Mapping):
        metric = catalog.metric(behavior.get("metric"))
        for criteria_check in CRITERIA_CHECKS:
            yield from criteria_check(criteria, metric)


def metric_complaint(metric: object, catalog: Catalog = NOTHING) -> str | None:
    """What is wrong with a metric's name, for behaviours and for metrics to retain."""
    if metric is None:
        return "metric is missing"
    if catalog.metric(metric) is not None:
        return None
    return f"metric {show(metric)} is neither a built-in metric nor an existing custom metric"


def dimension_complaints(user: Json, catalog: Catalog) -> Iterator[str]:
    """What is wrong with the `metricDimension` of a behaviour or of a metric to retain."""
    dimension = user.get("metricDimension")
    if dimension is None:
        return
    metric = catalog.metric(user.get("metric"))
    if metric and not metric.takes_dimension:
        yield f"metricDimension does not apply to metric {metric.name}"
        return
    name, operator = (dimension.get(key) if isinstance(dimension, Mapping) else None for key in _DIMENSION_KEYS)
    if name is None:
        yield "metricDimension.dimensionName is missing"
    elif not isinstance(name, str) or name not in catalog.dimensions:
        yield f"dimension {show(name)} does not exist"
    if operator is not None and operator not in DIMENSION_OPERATORS:
        yield f"metricDimension.operator {show(operator)} should be one of {', '.join(DIMENSION_OPERATORS)}"


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


def _check_metric(behavior: Json, catalog: Catalog) -> Iterator[str]:
    complaint = metric_complaint(behavior.get("metric"), catalog)
    if complaint:
        yield complaint


def _check_flags(behavior: Json, _catalog: Catalog) -> Iterator[str]:
    for flag in ("suppressAlerts", "exportMetric"):
        value = behavior.get(flag)
        if value is not None and not isinstance(value, bool):
            yield f"{flag} {show(value)} should be true or false"


def _check_criteria(behavior: Json, _catalog: Catalog) -> Iterator[str]:
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
    elif operator in SET_OPERATORS and criteria.get("statisticalThreshold") is not None:
        yield f"comparisonOperator {operator} does not apply to a statisticalThreshold"
    elif operator in NUMERIC_OPERATORS + SET_OPERATORS:
        if metric and operator not in metric.operators:
            yield f"comparisonOperator {operator} does not apply to metric {metric.name}"
    else:
        yield f"comparisonOperator {show(operator)} should be one of {', '.join(NUMERIC_OPERATORS + SET_OPERATORS)}"


def _check_value(criteria: Json, metric: Metric | None) -> Iterator[str]:
    value = criteria.get("value")
    if value is None:
        return
    given = [member for member in VALUE_MEMBERS if value.get(member) is not None] if isinstance(value, Mapping) else []
    if len(given) != 1:
        yield f"value should have exactly one of {', '.join(VALUE_MEMBERS)}"
    elif metric and given[0] != metric.value:
        yield f"value.{given[0]} does not apply to metric {metric.name}, which takes value.{metric.value}"
    else:
        yield from VALUE_CHECKS[ValueKind(given[0])](f"value.{given[0]}", value[given[0]])


def _check_statistic(criteria: Json, metric: Metric | None) -> Iterator[str]:
    threshold = criteria.get("statisticalThreshold")
    if threshold is None:
        return
    if metric and not metric.statistical:
        yield f"statisticalThreshold does not apply to metric {metric.name}"
    statistic = threshold.get("statistic") if isinstance(threshold, Mapping) else None
    if statistic is None:
        yield "statisticalThreshold.statistic is missing"
    elif not isinstance(statistic, str) or statistic not in (AVERAGE, *STATISTICS):
        yield f"statistic {show(statistic)} should be one of {', '.join((AVERAGE, *STATISTICS))}"


def _check_duration(criteria: Json, metric: Metric | None) -> Iterator[str]:
    duration = criteria.get("durationSeconds")
    if duration is not None and metric and metric.duration is Duration.FORBIDDEN:
        yield f"durationSeconds does not apply to metric {metric.name}"
    elif duration is not None:
        yield from _check_range("durationSeconds", duration, DURATION_SECONDS)
    elif criteria.get("statisticalThreshold") is not None:
        yield "durationSeconds is required with statisticalThreshold"
    elif metric and metric.duration is Duration.REQUIRED and criteria.get("mlDetectionConfig") is None:
        yield f"durationSeconds is required for metric {metric.name}"


def _check_datapoints(criteria: Json, _metric: Metric | None) -> Iterator[str]:
    for member in ("consecutiveDatapointsToAlarm", "consecutiveDatapointsToClear"):
        if (value := criteria.get(member)) is not None:
            yield from _check_range(member, value, DATAPOINTS)


def _check_range(member: str, value: object, limits: tuple[int, int]) -> Iterator[str]:
    low, high = limits
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        yield f"{member} {show(value)} should be in range[{low},{high}]"


def _check_count(member: str, value: object) -> Iterator[str]:
    yield from _check_range(member, value, (0, MAX_COUNT))


def _check_number(member: str, value: object) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_NUMBER:
        yield f"{member} {show(value)} should be a finite number"


def _check_port(member: str, value: object) -> Iterator[str]:
    yield from _check_range(member, value, PORTS)


def _check_cidr(member: str, value: object) -> Iterator[str]:
    if not isinstance(value, str) or not CIDR.fullmatch(value) or not _is_network(value):
        yield f"{member} {show(value)} should be an IP address or a range of them such as 10.0.0.0/8"


def _check_string(member: str, value: object) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{member} {show(value)} should be a string"


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _each(check: Callable[[str, object], Iterator[str]]) -> Callable[[str, object], Iterator[str]]:
    def check_list(member: str, value: object) -> Iterator[str]:
        if not isinstance(value, Sequence) or isinstance(value, str | bytes) or not value:
            yield f"{member} should be a list that is not empty"
            return
        for element in value:
            yield from check(member, element)

    return check_list


VALUE_CHECKS: Mapping[ValueKind, Callable[[str, object], Iterator[str]]] = {
    ValueKind.COUNT: _check_count,
    ValueKind.NUMBER: _check_number,
    ValueKind.CIDRS: _each(_check_cidr),
    ValueKind.PORTS: _each(_check_port),
    ValueKind.NUMBERS: _each(_check_number),
    ValueKind.STRINGS: _each(_check_string),
}
BEHAVIOR_CHECKS: tuple[Callable[[Json, Catalog], Iterator[str]], ...] = (
    _check_metric,
    dimension_complaints,
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
