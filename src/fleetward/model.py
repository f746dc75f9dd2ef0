"""The words every room shares, as frozen dataclasses.

Times are whole milliseconds since the epoch (`Millis`) unless a name says otherwise; durations in profiles are seconds,
as on AWS's wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

Millis: TypeAlias = int


# --- what is counted, and what detection speaks of --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Demand:
    """What is to be counted beyond the basic metrics, as (metric, dimension)s.

    `filters` are the topic filters of each dimension in them, "IN:name" or "NOT_IN:name"; `${iot:ClientId}` stands for
    the client id.
    """

    columns: frozenset[tuple[str, str]] = frozenset()
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class DeviceClass(StrEnum):
    """Which kind of name an observation counts under."""

    REGISTERED = "registered"
    UNREGISTERED = "unregistered"


class ValueKind(StrEnum):
    """The members of AWS's MetricValue; each metric's values populate one of them."""

    COUNT = "count"
    CIDRS = "cidrs"
    PORTS = "ports"
    NUMBER = "number"
    NUMBERS = "numbers"
    STRINGS = "strings"


LIST_KINDS = frozenset({ValueKind.CIDRS, ValueKind.PORTS, ValueKind.NUMBERS, ValueKind.STRINGS})

Value: TypeAlias = int | float | tuple[str, ...] | tuple[int, ...] | tuple[float, ...]
"""A metric's value: a number, or the elements of a list."""


def metric_value(kind: ValueKind, value: Value) -> dict[str, object]:
    """A value as the API's MetricValue."""
    return {kind.value: list(value) if isinstance(value, tuple) else value}


class Operator(StrEnum):
    """Numeric comparison operators; each describes NORMAL behaviour, as on AWS."""

    LESS_THAN = "less-than"
    LESS_THAN_EQUALS = "less-than-equals"
    GREATER_THAN = "greater-than"
    GREATER_THAN_EQUALS = "greater-than-equals"

    @property
    def is_upper_bound(self) -> bool:
        return self in (Operator.LESS_THAN, Operator.LESS_THAN_EQUALS)


class SetOperator(StrEnum):
    """Set comparison operators: normal is that every element, or that no element, is in the set."""

    IN_CIDR_SET = "in-cidr-set"
    NOT_IN_CIDR_SET = "not-in-cidr-set"
    IN_PORT_SET = "in-port-set"
    NOT_IN_PORT_SET = "not-in-port-set"
    IN_SET = "in-set"
    NOT_IN_SET = "not-in-set"

    @property
    def wants_members(self) -> bool:
        return not self.value.startswith("not-")


@dataclass(frozen=True, slots=True)
class StaticCriterion:
    """Normal means: value `operator` bound."""

    operator: Operator
    bound: int | float


@dataclass(frozen=True, slots=True)
class PercentileCriterion:
    """Normal means: value `operator` the percentile of all other reporting devices.

    `hundredths` is the percentile times 100 (p99.99 is 9999), so that ranks are computed in whole numbers;
    `margin_percent` widens the threshold (tag `statistical-margin-percent`).
    """

    operator: Operator
    hundredths: int
    margin_percent: float = 0.0

    @property
    def label(self) -> str:
        return f"p{self.hundredths / 100:g}"


@dataclass(frozen=True, slots=True)
class AverageCriterion:
    """Normal means: value `operator` the arithmetic mean of all other reporting devices, widened by the margin."""

    operator: Operator
    margin_percent: float = 0.0

    @property
    def label(self) -> str:
        return "Average"


@dataclass(frozen=True, slots=True)
class SetCriterion:
    """Normal means: every reported element is in (or none is in, by the operator) the set of `elements`."""

    operator: SetOperator
    elements: tuple[str, ...] | tuple[int, ...] | tuple[float, ...]


StatisticalCriterion: TypeAlias = PercentileCriterion | AverageCriterion
NumericCriterion: TypeAlias = StaticCriterion | StatisticalCriterion
Criterion: TypeAlias = NumericCriterion | SetCriterion


@dataclass(frozen=True, slots=True)
class Dimension:
    """A topic filter by name: MQTT filters in which `${iot:ClientId}` stands for the client id."""

    name: str
    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Behavior:
    """One behaviour of one profile, in the form the kernel runs.

    `dimension` is "" or the dimension's name behind its operator, "IN:name" or "NOT_IN:name"; `value` says which kind
    of values a custom metric has; with `duration_seconds` 0 each report is a datapoint. `filters` are the dimension's
    when the profile was read: with other filters it is another behaviour.
    """

    profile: str
    name: str
    metric: str
    criterion: Criterion
    duration_seconds: int
    datapoints_to_alarm: int = 1
    datapoints_to_clear: int = 1
    suppress_alerts: bool = False
    dimension: str = ""
    value: ValueKind = ValueKind.COUNT
    filters: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        return (self.profile, self.name)

    @property
    def column(self) -> tuple[str, str]:
        """What is counted for it: (metric, dimension)."""
        return (self.metric, self.dimension)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a verdict fell as it did: kept with the violation, told in alerts, e-mails and on the command line.

    `threshold` is the bound, the percentile or mean before the margin, or the set; of a set criterion `value` holds the
    elements that offend. `rank` is the position (1-based) of the percentile among the `population` other devices; both
    are None where nothing is compared with others. `topics` are the largest contributors as
    (topic, bytes, messages). `early` says the bound was crossed before the window's end.
    """

    metric: str
    value: Value
    operator: str
    threshold: float | tuple[str, ...] | tuple[int, ...] | tuple[float, ...]
    unit: str
    window_start: Millis
    window_end: Millis
    statistic: str | None = None
    rank: int | None = None
    population: int | None = None
    margin_percent: float = 0.0
    datapoints: int = 1
    early: bool = False
    dimension: str = ""
    topics: tuple[tuple[str, int, int], ...] = ()


class AlarmKind(StrEnum):
    """The three violation events, spelled as on AWS's wire."""

    IN_ALARM = "in-alarm"
    CLEARED = "alarm-cleared"
    INVALIDATED = "alarm-invalidated"


class Ended(StrEnum):
    """Why a violation was invalidated."""

    BEHAVIOR_REMOVED = "The behavior was removed from the profile."
    BEHAVIOR_CHANGED = "The behavior was changed."
    PROFILE_REMOVED = "The profile was deleted or is no longer attached to anything."
    OUT_OF_TARGET = "The profile no longer covers the device."
    DEREGISTERED = "The thing was deregistered."
    RELEASED = "The device was released from isolation."
    METRIC_REMOVED = "The custom metric or dimension that the behavior uses is gone."
    NO_DATA = "The device has sent no data for this metric for more than two days."


@dataclass(frozen=True, slots=True)
class AlarmEvent:
    """One step in the life of a violation, as detection hands it to alarm.

    `violation_id` is derived from (profile, behaviour, thing, window, epoch), so that a replay after a crash yields
    the same id; `value` is None for an invalidation, whose `reason` then says why.
    """

    kind: AlarmKind
    violation_id: str
    thing: str
    behavior: Behavior
    time: Millis
    value: Value | None = None
    explanation: Explanation | None = None
    reason: str = ""


# --- what respond decides ---------------------------------------------------------------------------------------------


class Measure(StrEnum):
    QUARANTINE = "quarantine"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a thing, and why: a value; carrying it out is another file."""

    measure: Measure
    thing: str
    reason: str
