"""Who is watched, by which behaviours, in which windows; and what ends a violation other than its own datapoints."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fleetward.detect.coverage import Watch
from fleetward.detect.criteria import settles
from fleetward.detect.explain import violation_id
from fleetward.detect.inputs import Configure, EnrollMany, Release, WatchedProfile, Withdraw
from fleetward.detect.networks import Networks
from fleetward.detect.outcome import Outcome
from fleetward.detect.slots import NEVER, Slots
from fleetward.detect.streaks import Streaks, opened
from fleetward.detect.windows import Windows
from fleetward.meter.batch import Column, Ids
from fleetward.meter.metrics import Kind, Metric, metric_of
from fleetward.model import (
    AlarmEvent,
    AlarmKind,
    AverageCriterion,
    Behavior,
    Ended,
    Millis,
    PercentileCriterion,
    ValueKind,
)

RECYCLED_AT_ONCE = 1_000


class State:
    """Everything the kernel remembers. All arrays are indexed by slot and grow together.

    Whatever begins to be watched at some moment, be it a behaviour, a device or both, is judged at the end of the first
    window that starts at or after that moment.
    """

    def __init__(self) -> None:
        self.watermark: Millis | None = None
        self.slots = Slots()
        self.windows = Windows(self.slots.size)
        self.networks = Networks()
        self.watches: dict[str, Watch] = {}
        self.windows.use((), None, self.slots.connected)

    def running(self) -> Iterator[tuple[Watch, Streaks]]:
        return ((watch, streaks) for watch in self.watches.values() for streaks in watch.streaks.values())

    def at(self, now: Millis) -> Millis:
        """`now`, but never before the watermark."""
        return now if self.watermark is None else max(now, self.watermark)

    # --- profiles -----------------------------------------------------------------------------------------------------

    def configure(self, item: Configure, outcome: Outcome) -> None:
        now = self.at(item.now)
        wanted = {profile.name: profile for profile in item.profiles}
        for name, watch in self.watches.items():
            self._retire(watch, wanted.get(name), now, outcome)
        known, self.watches = self.watches, {}
        for name in wanted:
            self.watches[name] = known.get(name) or Watch(WatchedProfile(name), self.slots.size)
        self.windows.use(_uses(wanted.values()), self.watermark, self.slots.connected)
        for name, profile in wanted.items():
            self._renew(self.watches[name], profile, now, outcome)

    def _retire(self, watch: Watch, profile: WatchedProfile | None, now: Millis, outcome: Outcome) -> None:
        """Ends the behaviours that are gone or are not what they were."""
        wanted = {behavior.name: behavior for behavior in profile.behaviors} if profile else {}
        for name, streaks in list(watch.streaks.items()):
            behavior = wanted.get(name)
            if behavior and _essence(behavior) == _essence(streaks.behavior):
                streaks.behavior = behavior
                continue
            self.invalidate(streaks, sorted(streaks.open), _ended(profile, name, behavior), now, outcome)
            del watch.streaks[name]

    def _renew(self, watch: Watch, profile: WatchedProfile, now: Millis, outcome: Outcome) -> None:
        """Covers what the profile targets now, and starts its new behaviours, in the profile's order."""
        targets, watch.profile = watch.profile.targets, profile
        if targets != profile.targets:
            self._cover(watch, np.arange(self.slots.size), now, outcome)
        known, watch.streaks = watch.streaks, {}
        for behavior in profile.behaviors:
            watch.streaks[behavior.name] = known.get(behavior.name) or self._begin(behavior, now)

    def _begin(self, behavior: Behavior, now: Millis) -> Streaks:
        streaks = Streaks(behavior, now, self.slots.size)
        self._count_from_here(streaks, np.arange(self.slots.size))
        return streaks

    def _count_from_here(self, streaks: Streaks, slots: Ids) -> None:
        behavior = streaks.behavior
        if behavior.duration_seconds and settles(behavior):
            counts = self.windows[behavior.duration_seconds].counts[behavior.column]
            if counts.metric.kind in (Kind.COUNTER, Kind.DELTA):
                streaks.count_from(slots, counts.total[slots])

    # --- devices ------------------------------------------------------------------------------------------------------

    def place(self, id: int, name: str, now: Millis) -> int:
        """Gives a device that is not known yet its slot."""
        return int(self._place(np.array([id]), np.array([name], dtype=object), now)[0])

    def _place(self, ids: Ids, names: NDArray[np.object_], now: Millis) -> Ids:
        size = self.slots.size
        slots = self.slots.add(ids, names, now)
        if self.slots.size != size:
            self.windows.grow(self.slots.size)
            for watch in self.watches.values():
                watch.grow(self.slots.size)
        for watch in self.watches.values():
            watch.cover(self.slots, slots, now)
        return slots

    def enroll(self, item: EnrollMany, outcome: Outcome) -> None:
        now, ids = self.at(item.now), np.array(item.ids, dtype=np.int64)
        for slot in self.slots.others_named(item):
            self._remove(slot, now, outcome)
        slots = self.slots.find(ids)
        if len(new := np.flatnonzero(slots < 0)):
            slots[new] = self._place(ids[new], np.array(item.names, dtype=object)[new], now)
        self.slots.enroll(slots, item)
        for watch in self.watches.values():
            self._cover(watch, slots, now, outcome)

    def withdraw(self, item: Withdraw, outcome: Outcome) -> None:
        slot = self.slots.slot(item.id)
        if slot is not None:
            self._remove(slot, self.at(item.now), outcome)

    def release(self, item: Release, outcome: Outcome) -> None:
        now = self.at(item.now)
        for slot in self.slots.named(item.name):
            for _, streaks in self.running():
                self.invalidate(streaks, [slot], Ended.RELEASED, now, outcome)
            for watch in self.watches.values():
                watch.restart(slot, now)
            self.windows.erase(slot, present=bool(self.slots.connected[slot] > 0))
            self.slots.epoch[slot] += 1

    def recycle(self, idle_since: Millis) -> None:
        """Forgets devices without a thing record that did nothing since then, some each time to keep it short."""
        for slot in self.slots.idle_since(idle_since)[:RECYCLED_AT_ONCE]:
            if not any(slot in streaks.open for _, streaks in self.running()):
                self._vacate(slot)

    def _remove(self, slot: int, now: Millis, outcome: Outcome) -> None:
        for _, streaks in self.running():
            self.invalidate(streaks, [slot], Ended.DEREGISTERED, now, outcome)
        self._vacate(slot)

    def _vacate(self, slot: int) -> None:
        self.windows.erase(slot, present=False)
        for latest in self.windows.latest.values():
            latest[slot] = 0
        for watch in self.watches.values():
            watch.since[slot] = NEVER
            watch.restart(slot, NEVER)
        self.networks.forget(slot)
        self.slots.remove(slot)

    def _cover(self, watch: Watch, chosen: Ids, now: Millis, outcome: Outcome) -> None:
        came, left = watch.cover(self.slots, chosen, now)
        for streaks in watch.streaks.values():
            self._count_from_here(streaks, came)
            self.invalidate(
                streaks, sorted(set(left.tolist()) & streaks.open.keys()), Ended.OUT_OF_TARGET, now, outcome
            )
            for slot in left.tolist():
                streaks.reset(slot)

    # --- violations ---------------------------------------------------------------------------------------------------

    def violation(self, streaks: Streaks, slot: int) -> str:
        """The id of the slot's open violation."""
        slots = self.slots
        return violation_id(streaks.behavior, slots.names[slot], int(slots.ids[slot]), *opened(streaks.open[slot]))

    def invalidate(self, streaks: Streaks, slots: Iterable[int], why: Ended, now: Millis, outcome: Outcome) -> None:
        """Ends the open violations of `slots`, if any; the epoch makes sure that the next one gets another id."""
        for slot in slots:
            if slot in streaks.open:
                id, name = self.violation(streaks, slot), self.slots.names[slot]
                outcome.events.append(
                    AlarmEvent(AlarmKind.INVALIDATED, id, name, streaks.behavior, now, reason=why.value)
                )
                streaks.reset(slot)
                self.slots.epoch[slot] += 1


def _uses(profiles: Collection[WatchedProfile]) -> Iterator[tuple[Column, Metric, int]]:
    """What is to be counted, over which windows; what is only retained, over the metric's own."""
    for profile in profiles:
        for behavior in profile.behaviors:
            yield behavior.column, metric_of(behavior.metric, behavior.value), behavior.duration_seconds
    used = {behavior.column for profile in profiles for behavior in profile.behaviors}
    for profile in profiles:
        for column in sorted(profile.retained - used):
            metric = metric_of(column[0], profile.customs.get(column[0], ValueKind.COUNT))
            yield column, metric, metric.window_seconds


def _essence(behavior: Behavior) -> Behavior:
    """What makes a behaviour another one when it changes: not its alerts, and not the margin."""
    criterion = behavior.criterion
    if isinstance(criterion, PercentileCriterion | AverageCriterion):
        criterion = replace(criterion, margin_percent=0.0)
    return replace(behavior, suppress_alerts=False, criterion=criterion)


def _ended(profile: WatchedProfile | None, name: str, behavior: Behavior | None) -> Ended:
    if profile is None:
        return Ended.PROFILE_REMOVED
    if behavior is not None:
        return Ended.BEHAVIOR_CHANGED
    return Ended.METRIC_REMOVED if name in profile.lost else Ended.BEHAVIOR_REMOVED
