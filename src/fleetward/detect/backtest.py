"""Back-test: what a profile would have raised, had it watched what is in the history; through the live kernel itself.

The kernel gets the stored windows as batches (store/past.py) and decides at their ends. What the history cannot give
back is said, and left out: see `unreplayable`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fleetward.detect.inputs import Configure, Enroll, EnrollMany, Input, WatchedProfile
from fleetward.detect.kernel import Kernel
from fleetward.detect.outcome import Log
from fleetward.detect.turned import Turned
from fleetward.meter.batch import Column
from fleetward.meter.metrics import DISTINCT, Kind, metric_of
from fleetward.model import AlarmEvent, Behavior, Millis

MAX_EVENTS = 10_000
"""Events that are kept; a profile that flags half a fleet in every window raises millions."""


@dataclass(frozen=True, slots=True)
class Device:
    """What would have become of one device: its first alarm, all its alarms, and from when it would have been cut off.

    Events after `isolated_at` are what the device would have gone on doing, had nobody cut it off.
    """

    name: str
    first: AlarmEvent
    alarms: int
    isolated_at: Millis | None = None


@dataclass(frozen=True, slots=True)
class Backtest:
    """`devices` by their first alarm; the first MAX_EVENTS of all `total` events, in their order.

    `left_out` says why a behaviour was not replayed.
    """

    since: Millis
    until: Millis
    devices: tuple[Device, ...] = ()
    events: tuple[AlarmEvent, ...] = ()
    total: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0: nobody would have alarmed; 1: somebody would; 2: nothing could be replayed or only in part."""
        if self.devices:
            return 1
        return 2 if self.left_out else 0


def backtest(
    profile: WatchedProfile,
    things: Iterable[Enroll],
    past: Iterable[Input],
    since: Millis,
    until: Millis,
    kept: Mapping[Column, Collection[int]],
    isolates: bool,
) -> Backtest:
    """Replays `past` (from `since`) over the registered things.

    `kept` says in windows of how many seconds the history has each column (0: report by report); `isolates` whether
    somebody acts on the profile's alarms.
    """
    left_out = unreplayable(profile.behaviors, kept)
    running = tuple(behavior for behavior in profile.behaviors if behavior.name not in left_out)
    tally = _Tally(isolates)
    if running:
        for events in replay(replace(profile, behaviors=running), things, past, since):
            tally.add(events)
    return Backtest(since, until, tally.devices, tuple(tally.events), tally.total, left_out)


def replay(
    profile: WatchedProfile, things: Iterable[Enroll], past: Iterable[Input], since: Millis
) -> Iterator[Log[AlarmEvent]]:
    """The events of one profile, input by input, decided at the windows' ends; live they may have come earlier."""
    kernel = Kernel(strict_grid=True)
    kernel.feed(EnrollMany.of(since, things))
    kernel.feed(Configure(since, (profile,)))
    for item in past:
        yield kernel.feed(item).events


def unreplayable(behaviors: Sequence[Behavior], kept: Mapping[Column, Collection[int]]) -> dict[str, str]:
    """Which behaviours cannot be replayed from the history, and why."""
    found = {}
    for behavior in behaviors:
        if reason := _obstacle(behavior, kept.get(behavior.column, ())):
            found[behavior.name] = reason
    return found


def _obstacle(behavior: Behavior, windows: Collection[int]) -> str:
    metric, duration = metric_of(behavior.metric, behavior.value), behavior.duration_seconds
    if metric.kind is Kind.TIMER:
        return f"{metric.name} follows from connections, which the history does not keep"
    if not windows:
        return f"the history holds no value of {metric.name} {behavior.dimension}".rstrip()
    if duration == 0:
        coarse = [seconds for seconds in windows if seconds]
    elif metric.name in DISTINCT:
        coarse = [seconds for seconds in windows if seconds != duration]
    else:
        coarse = [seconds for seconds in windows if seconds and duration % seconds]
    if coarse:
        return f"the history holds {metric.name} in windows of {coarse[0]} s, which do not make up {duration} s"
    return ""


class _Tally:
    """Keeps of many events what the answer needs; only those are put into words."""

    def __init__(self, isolates: bool) -> None:
        self._isolates = isolates
        self._alarms: Counter[str] = Counter()
        self._devices: dict[str, Device] = {}
        self.events: list[AlarmEvent] = []
        self.total = 0

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(replace(device, alarms=self._alarms[name]) for name, device in self._devices.items())

    def add(self, events: Log[AlarmEvent]) -> None:
        if room := MAX_EVENTS - len(self.events):
            self.events += events[:room]
        self.total += len(events)
        for part in events.parts:
            if isinstance(part, Turned):
                self._add(part)

    def _add(self, turned: Turned) -> None:
        raised = np.flatnonzero(turned.raised).tolist()
        names = [turned.devices.names[index] for index in raised]
        self._alarms.update(names)
        isolates = self._isolates and not turned.devices.behavior.suppress_alerts
        for index, name in zip(raised, names, strict=True):
            known = self._devices.get(name)
            if known is None:
                known = self._devices[name] = Device(name, turned.entry(index), 0)
            if isolates and known.isolated_at is None:
                self._devices[name] = replace(known, isolated_at=turned.verdicts.time)
