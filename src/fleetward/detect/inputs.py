"""What the kernel is fed: batches, and what it must know of profiles and things. Its state follows from these alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from fleetward.meter.batch import Batch
from fleetward.model import Behavior, Millis


@dataclass(frozen=True, slots=True)
class Target:
    """What a profile is attached to: `kind` is all, registered, unregistered or group.

    `group` names the thing group of the last; its descendants' things belong to it.
    """

    kind: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class WatchedProfile:
    """A security profile as the kernel runs it; without targets it watches nobody."""

    name: str
    behaviors: tuple[Behavior, ...] = ()
    retained: frozenset[str] = frozenset()
    targets: tuple[Target, ...] = ()


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
class Withdraw:
    """The thing was deregistered."""

    now: Millis
    id: int


@dataclass(frozen=True, slots=True)
class Release:
    """The thing of that name, registered or not, was let out of isolation: it starts afresh."""

    now: Millis
    name: str


Input: TypeAlias = Batch | Configure | Enroll | Withdraw | Release
