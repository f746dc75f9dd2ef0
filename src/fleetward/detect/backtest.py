"""Back-test: what a profile would have raised, had it watched what is in the history; through the live kernel itself.

The kernel gets the stored windows as batches (store/past.py) and decides at their ends. What the history cannot give
back is said, and left out: see `unreplayable`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fleetward.detect.inputs import Configure, Enroll, Input, WatchedProfile
from fleetward.detect.kernel import Kernel
from fleetward.meter.batch import Column
from fleetward.meter.metrics import DISTINCT, Kind, metric_of
from fleetward.model import AlarmEvent, AlarmKind, Behavior, Millis

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
        for event in replay(replace(profile, behaviors=running), things, past, since):
            tally.add(event)
    return Backtest(since, until, tuple(tally.devices.values()), tuple(tally.events), tally.total, left_out)


def replay(
    profile: WatchedProfile, things: Iterable[Enroll], past: Iterable[Input], since: Millis
) -> Iterator[AlarmEvent]:
    """The events of one profile over past inputs, decided at the windows' ends; live they may have come earlier."""
    kernel = Kernel(strict_grid=True)
    for thing in things:
        kernel.feed(replace(thing, now=since))
    kernel.feed(Configure(since, (profile,)))
    for item in past:
        yield from kernel.feed(item).events


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
    """Keeps of many events what the answer needs."""

    def __init__(self, isolates: bool) -> None:
        self._isolates = isolates
        self.devices: dict[str, Device] = {}
        self.events: list[AlarmEvent] = []
        self.total = 0

    def add(self, event: AlarmEvent) -> None:
        self.total += 1
        if len(self.events) < MAX_EVENTS:
            self.events.append(event)
        if event.kind is not AlarmKind.IN_ALARM:
            return
        known = self.devices.get(event.thing) or Device(event.thing, event, 0)
        isolated_at = known.isolated_at
        if isolated_at is None and self._isolates and not event.behavior.suppress_alerts:
            isolated_at = event.time
        self.devices[event.thing] = replace(known, alarms=known.alarms + 1, isolated_at=isolated_at)
