"""What the kernel is fed: batches, and what it must know of profiles and things. Its state follows from these alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from fleetward.meter.batch import Batch, Column
from fleetward.model import Behavior, Millis, Value, ValueKind


@dataclass(frozen=True, slots=True)
class Target:
    """What a profile is attached to: `kind` is all, registered, unregistered or group.

    `group` names the thing group of the last; its descendants' things belong to it.
    """

    kind: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class WatchedProfile:
    """A security profile as the kernel runs it; without targets it watches nobody.

    `retained` are the (metric, dimension)s kept besides those its behaviours use; `customs` the value kinds of those
    that are custom metrics. `lost` names the behaviours left out because their custom metric or dimension is gone.
    """

    name: str
    behaviors: tuple[Behavior, ...] = ()
    retained: frozenset[Column] = frozenset()
    targets: tuple[Target, ...] = ()
    customs: Mapping[str, ValueKind] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Configure:
    """From now on exactly these profiles apply. What is new counts from `now`; what is unchanged goes on."""

    now: Millis
    profiles: tuple[WatchedProfile, ...]


@dataclass(frozen=True, slots=True)
class Enroll:
    """A registered thing: `id` is ThingRecord.id, `groups` its groups and all their ancestors. Sent again on change."""

    now: Millis
    id: int
    name: str
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class EnrollMany:
    """Many registered things, as Enroll tells of one; no id and no name twice. `groups` by id, where there are any."""

    now: Millis
    ids: tuple[int, ...]
    names: tuple[str, ...]
    groups: Mapping[int, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, now: Millis, things: Iterable[Enroll]) -> EnrollMany:
        rows = tuple(things)
        groups = {row.id: row.groups for row in rows if row.groups}
        return cls(now, tuple(row.id for row in rows), tuple(row.name for row in rows), groups)

    @classmethod
    def merged(cls, several: Sequence[EnrollMany]) -> EnrollMany:
        """All of them as one, made with the last; of a name that several give, what the last says."""
        if len(several) == 1:
            return several[0]
        rows = {
            name: Enroll(one.now, id, name, one.groups.get(id, frozenset()))
            for one in several
            for id, name in zip(one.ids, one.names, strict=True)
        }
        return cls.of(several[-1].now, rows.values())


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The thing was deregistered."""

    now: Millis
    id: int


@dataclass(frozen=True, slots=True)
class Release:
    """The thing of that name, registered or not, was let out of isolation: it starts afresh."""

    now: Millis
    name: str


ReportValue: TypeAlias = Value


@dataclass(frozen=True, slots=True)
class Report:
    """One accepted report of a device: what its agent measured, or its own metrics.

    `id` is the ThingRecord.id or `unregistered_id(name)`. `values` are keyed by metric: built-in ones by their full
    names (bytes and packets as what was added since the report before), custom ones as they are called.
    """

    now: Millis
    id: int
    name: str
    report_id: int
    values: Mapping[str, ReportValue]


Input: TypeAlias = Batch | Configure | Enroll | EnrollMany | Withdraw | Release | Report
