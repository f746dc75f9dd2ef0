"""The alarm condition of a behaviour's form ↔ the behaviour as the API has it.

AWS's criteria say what is NORMAL (developer guide, "Detect concepts"), people say when to alarm; so the operator is
turned round on the way to the document, and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fleetward.alarm import words
from fleetward.detect import profiles
from fleetward.meter.metrics import MESSAGE_SIZE, METRICS, Duration, Kind, Metric, metric_of
from fleetward.model import Operator, SetOperator, Value, ValueKind, metric_value

AnyOperator = Operator | SetOperator

LABELS: Mapping[AnyOperator, str] = {
    Operator.GREATER_THAN: "Greater than",
    Operator.GREATER_THAN_EQUALS: "Greater than or equal to",
    Operator.LESS_THAN: "Less than",
    Operator.LESS_THAN_EQUALS: "Less than or equal to",
    SetOperator.NOT_IN_CIDR_SET: "Not in the CIDR set",
    SetOperator.IN_CIDR_SET: "In the CIDR set",
    SetOperator.NOT_IN_PORT_SET: "Not in the port set",
    SetOperator.IN_PORT_SET: "In the port set",
    SetOperator.NOT_IN_SET: "Not in the set",
    SetOperator.IN_SET: "In the set",
}
"""The alarm's operators, in the order in which people want them."""


@dataclass(frozen=True, slots=True)
class Condition:
    """When a behaviour alarms: `operator` is the alarm's, the complement of the criterion's.

    A statistical threshold has a `statistic` ("p50", "Average"), an absolute one a `value` of the metric's kind;
    `duration_seconds` is None where none is given. `exports` is the document's `exportMetric`.
    """

    name: str = ""
    metric: str = MESSAGE_SIZE
    operator: AnyOperator = Operator.GREATER_THAN
    kind: ValueKind = ValueKind.COUNT
    statistic: str | None = "p50"
    value: Value | None = None
    duration_seconds: int | None = 300
    datapoints_to_alarm: int = 1
    datapoints_to_clear: int = 1
    dimension: str = ""
    suppress_alerts: bool = False
    exports: bool | None = None

    @property
    def measured(self) -> Metric:
        return metric_of(self.metric, self.kind)


def complement(operator: AnyOperator) -> AnyOperator:
    """What is normal where `operator` alarms, and the other way round."""
    if isinstance(operator, Operator):
        return words.COMPLEMENT[operator]
    return SetOperator(operator.removeprefix("not-") if operator.startswith("not-") else f"not-{operator}")


def to_behavior(condition: Condition) -> dict[str, Any]:
    """The behaviour in the API's form."""
    criteria: dict[str, Any] = {"comparisonOperator": complement(condition.operator).value}
    if condition.statistic is not None:
        criteria["statisticalThreshold"] = {"statistic": condition.statistic}
    elif condition.value is not None:
        criteria["value"] = metric_value(condition.kind, condition.value)
    if condition.duration_seconds is not None:
        criteria["durationSeconds"] = condition.duration_seconds
    criteria["consecutiveDatapointsToAlarm"] = condition.datapoints_to_alarm
    criteria["consecutiveDatapointsToClear"] = condition.datapoints_to_clear
    behavior: dict[str, Any] = {"name": condition.name, "metric": condition.metric, "criteria": criteria}
    if condition.dimension:
        operator, _, name = condition.dimension.partition(":")
        behavior["metricDimension"] = {"dimensionName": name, "operator": operator}
    if condition.suppress_alerts:
        behavior["suppressAlerts"] = True
    if condition.exports is not None:
        behavior["exportMetric"] = condition.exports
    return behavior


def from_behavior(behavior: Mapping[str, Any]) -> Condition:
    """The condition of a valid behaviour in the API's form; the inverse of `to_behavior`."""
    criteria = behavior["criteria"]
    kind, value = _value(behavior["metric"], criteria)
    normal = criteria["comparisonOperator"]
    threshold = criteria.get("statisticalThreshold")
    return Condition(
        name=behavior["name"],
        metric=behavior["metric"],
        operator=complement(Operator(normal) if normal in set(Operator) else SetOperator(normal)),
        kind=kind,
        statistic=None if threshold is None else threshold["statistic"],
        value=value,
        duration_seconds=criteria.get("durationSeconds"),
        datapoints_to_alarm=criteria.get("consecutiveDatapointsToAlarm") or 1,
        datapoints_to_clear=criteria.get("consecutiveDatapointsToClear") or 1,
        dimension=profiles.folded_dimension(behavior),
        suppress_alerts=bool(behavior.get("suppressAlerts")),
        exports=behavior.get("exportMetric"),
    )


def _value(metric: str, criteria: Mapping[str, Any]) -> tuple[ValueKind, Value | None]:
    """A custom metric's kind is given away by its value; only a number can have a statistic."""
    for member, value in (criteria.get("value") or {}).items():
        if value is not None:
            return ValueKind(member), tuple(value) if isinstance(value, list | tuple) else value
    return (METRICS[metric].value if metric in METRICS else ValueKind.NUMBER), None


# --- what a form offers -----------------------------------------------------------------------------------------------


def operators(metric: Metric) -> list[AnyOperator]:
    """The alarm's operators that make sense of the metric."""
    sensible = {complement(operator) for operator in metric.operators}
    return [operator for operator in LABELS if operator in sensible]


def takes_duration(metric: Metric) -> bool:
    return metric.duration is not Duration.FORBIDDEN


def needs_duration(metric: Metric, statistical: bool) -> bool:
    return statistical or metric.duration is Duration.REQUIRED


def adds_up(metric: Metric) -> bool:
    """Whether an absolute value is about a sum over the duration, so that "per minute" can be scaled to it."""
    return metric.kind in (Kind.COUNTER, Kind.DELTA)


def over_duration(per_minute: float, duration_seconds: int) -> int | float:
    """1000 in a minute over 300 seconds → 5000; counts are whole, so a fraction is rounded."""
    return round(per_minute * duration_seconds / 60)


def elements(text: str, kind: ValueKind) -> Value:
    """The elements of a list, written side by side or below one another; what is no number is left for the API."""
    parts = [part for part in text.replace(",", "\n").split("\n") if part.strip()]
    if kind is ValueKind.PORTS:
        return tuple(int(part) if part.strip().isdecimal() else part.strip() for part in parts)  # type: ignore[return-value]
    if kind is ValueKind.NUMBERS:
        return tuple(_number(part.strip()) for part in parts)  # type: ignore[return-value]
    return tuple(part.strip() for part in parts)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


# --- in words ---------------------------------------------------------------------------------------------------------


def alarm_sentence(condition: Condition, margin_percent: float = 0.0) -> str:
    """ "Alarm when Message size over 5 minutes is greater than p50 of all other devices …; clears after 2 …" """
    (behavior,) = profiles.parse("profile", [to_behavior(condition)], margin_percent)
    cleared = words.quantity(condition.datapoints_to_clear, "normal datapoints")
    return f"{words.alarm_condition(behavior)}. Clears after {cleared}{_in_a_row(condition)}."


def normal_sentence(condition: Condition) -> str:
    """What is stored: the expected behaviour."""
    (behavior,) = profiles.parse("profile", [to_behavior(condition)])
    return f"{words.expected_behavior(behavior)}."


def _in_a_row(condition: Condition) -> str:
    return " in a row" if condition.datapoints_to_clear > 1 else ""
