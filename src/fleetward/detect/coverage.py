"""Coverage: which devices a profile watches, and since when."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from fleetward.detect.inputs import Target, WatchedProfile
from fleetward.detect.outcome import Mask
from fleetward.detect.slots import NEVER, Slots, grown
from fleetward.detect.streaks import Streaks
from fleetward.meter.batch import Ids
from fleetward.model import Millis


class Watch:
    """One profile over the fleet. `since` says from when it watches each slot; NEVER for those it does not cover.

    A device is judged at the end of a window, and counted in the others' percentiles, only if it was watched from that
    window's start: half a window's worth of data compares with nothing.
    """

    def __init__(self, profile: WatchedProfile, size: int) -> None:
        self.profile = profile
        self.since: Ids = np.full(size, NEVER, dtype=np.int64)
        self.streaks: dict[str, Streaks] = {}

    def covers(self, slots: Ids) -> Mask:
        return np.not_equal(self.since[slots], NEVER)

    def cover(self, slots: Slots, chosen: Ids, now: Millis) -> tuple[Ids, Ids]:
        """Settles from `now` which of the `chosen` slots are watched; returns those that came and those that left."""
        covered, before = covered_by(self.profile, slots, chosen), self.covers(chosen)
        came, left = chosen[covered & ~before], chosen[before & ~covered]
        self.since[came] = now
        self.since[left] = NEVER
        return came, left

    def restart(self, slot: int, now: Millis) -> None:
        """Starts afresh with one slot, if it is covered at all."""
        if self.since[slot] != NEVER:
            self.since[slot] = now
        for streaks in self.streaks.values():
            streaks.reset(slot)

    def grow(self, size: int) -> None:
        self.since = grown(self.since, size, fill=NEVER)
        for streaks in self.streaks.values():
            streaks.grow(size)


def covered_by(profile: WatchedProfile, slots: Slots, chosen: Ids) -> Mask:
    """Which of the `chosen` slots the profile's targets cover; a stray is covered by none."""
    covered = np.zeros(len(chosen), dtype=np.bool_)
    for target in profile.targets:
        covered |= POPULATIONS[target.kind](slots, chosen, target)
    return covered


def _in_group(slots: Slots, chosen: Ids, target: Target) -> Mask:
    return np.fromiter((target.group in slots.groups.get(slot, ()) for slot in chosen.tolist()), np.bool_)


POPULATIONS: Mapping[str, Callable[[Slots, Ids, Target], Mask]] = {
    "all": lambda slots, chosen, target: slots.enrolled[chosen] | slots.unregistered[chosen],
    "registered": lambda slots, chosen, target: slots.enrolled[chosen],
    "unregistered": lambda slots, chosen, target: slots.unregistered[chosen],
    "group": _in_group,
}
