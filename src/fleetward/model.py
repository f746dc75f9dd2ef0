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


# --- what the gateway knows of the fleet: the records of door 3 -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ThingRecord:
    """A registered thing and the groups it is a direct member of. `id` is its integer identity in packed batches."""

    name: str
    id: int
    type_name: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """A thing group, its parent and the names of the policies attached to it."""

    name: str
    parent: str | None = None
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """A device certificate: `id` is the SHA-256 of its DER form in hex, as on AWS.

    `things` are the things it is attached to; `exclusive_thing` is set when the attachment is EXCLUSIVE_THING.
    """

    id: str
    active: bool
    policies: tuple[str, ...] = ()
    things: frozenset[str] = frozenset()
    exclusive_thing: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """A policy and the JSON text of its default version."""

    name: str
    document: str


Record: TypeAlias = ThingRecord | GroupRecord | CertificateRecord | PolicyRecord


class RecordKind(StrEnum):
    THING = "thing"
    GROUP = "group"
    CERTIFICATE = "certificate"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Change:
    """One step of the change feed: the record under (kind, key) is now `record`, or gone when None."""

    version: int
    kind: RecordKind
    key: str
    record: Record | None


# --- what detection speaks of -----------------------------------------------------------------------------------------


class DeviceClass(StrEnum):
    """Which kind of name an observation counts under."""

    REGISTERED = "registered"
    UNREGISTERED = "unregistered"


class Operator(StrEnum):
    """Numeric comparison operators; each describes NORMAL behaviour, as on AWS."""

    LESS_THAN = "less-than"
    LESS_THAN_EQUALS = "less-than-equals"
    GREATER_THAN = "greater-than"
    GREATER_THAN_EQUALS = "greater-than-equals"

    @property
    def is_upper_bound(self) -> bool:
        return self in (Operator.LESS_THAN, Operator.LESS_THAN_EQUALS)


@dataclass(frozen=True, slots=True)
class StaticCriterion:
    """Normal means: value `operator` bound."""

    operator: Operator
    bound: int


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


Criterion: TypeAlias = StaticCriterion | PercentileCriterion


@dataclass(frozen=True, slots=True)
class Behavior:
    """One behaviour of one profile, in the form the kernel runs."""

    profile: str
    name: str
    metric: str
    criterion: Criterion
    duration_seconds: int
    datapoints_to_alarm: int = 1
    datapoints_to_clear: int = 1
    suppress_alerts: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return (self.profile, self.name)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a verdict fell as it did: kept with the violation, told in alerts, e-mails and on the command line.

    `threshold` is the bound, or the percentile before the margin; `rank` is the position (1-based) of the percentile
    among the `population` other devices; both are None for a static bound. `topics` are the largest contributors as
    (topic, bytes, messages). `early` says the bound was crossed before the window's end.
    """

    metric: str
    value: int
    operator: str
    threshold: float
    unit: str
    window_start: Millis
    window_end: Millis
    statistic: str | None = None
    rank: int | None = None
    population: int | None = None
    margin_percent: float = 0.0
    datapoints: int = 1
    early: bool = False
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
    value: int | None = None
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
