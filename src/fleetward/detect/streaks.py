"""Streaks: consecutive datapoints of one behaviour for every slot, and the violations they open and close."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fleetward.detect.outcome import Mask, Numbers
from fleetward.detect.slots import as_index, grown
from fleetward.meter.batch import Ids
from fleetward.model import Behavior, Millis

EPOCH_BITS = 20
LONGEST_RUN = 100
"""Datapoints of a streak that are counted, more than any behaviour asks for."""


def openings(start: Millis, epochs: Ids) -> list[int]:
    """When violations began: the window's start and the device's epoch, in one number each."""
    codes: list[int] = ((start << EPOCH_BITS) + epochs % (1 << EPOCH_BITS)).tolist()
    return codes


def opened(code: int) -> tuple[Millis, int]:
    """The window's start and the device's epoch in an opening."""
    return divmod(code, 1 << EPOCH_BITS)


Runs: TypeAlias = NDArray[np.int8]


class Turn(NamedTuple):
    """What one datapoint of each slot led to; `run` is the length of the streak it belongs to, negative
    for a conforming one.
    """

    raised: Mask
    cleared: Mask
    continued: Mask
    run: Runs


class Streaks:
    """The state of one behaviour. `open` maps the slots in alarm to the openings of their violations.

    `decided` marks the slots whose datapoint of the open window fell early; `baseline` is what a counter stood at when
    the behaviour began to watch the slot in the middle of the open window (None: at 0 for all).
    """

    def __init__(self, behavior: Behavior, active_at: Millis, size: int) -> None:
        self.behavior = behavior
        self.active_at = active_at
        self.run: Runs = np.zeros(size, dtype=np.int8)
        self.in_alarm: Mask = np.zeros(size, dtype=np.bool_)
        self.decided: Mask = np.zeros(size, dtype=np.bool_)
        self.baseline: Numbers | None = None
        self.open: dict[int, int] = {}

    def step(self, slots: Ids, violating: Mask) -> Turn:
        """Takes one datapoint of each slot; a slot without one is not among `slots` and keeps its streak (B.3)."""
        rising = len(slots) < 2 or bool((slots[1:] > slots[:-1]).all())
        chosen = as_index(slots) if rising else slots
        before, alarmed = self.run[chosen], self.in_alarm[chosen]
        if not self.open and not violating.any():
            return self._conform(chosen, _longer(np.minimum(before, 0)))
        run = np.where(violating, -_longer(-np.maximum(before, 0)), _longer(np.minimum(before, 0)))
        raised = ~alarmed & (run >= self.behavior.datapoints_to_alarm)
        cleared = alarmed & (-run >= self.behavior.datapoints_to_clear)
        continued = alarmed & violating
        self.run[chosen], self.in_alarm[chosen] = run, (alarmed | raised) & ~cleared
        return Turn(raised, cleared, continued, run)

    def _conform(self, chosen: Ids | slice, run: Runs) -> Turn:
        """All is well and was before: by far the most frequent case."""
        self.run[chosen] = run
        nowhere = np.zeros(len(run), dtype=np.bool_)
        return Turn(nowhere, nowhere, nowhere, run)

    def count_from(self, slots: Ids, totals: Numbers) -> None:
        """Counts `slots` from their present `totals` on, in the window that is open now."""
        if self.baseline is None and totals.any():
            self.baseline = np.zeros(len(self.run), dtype=totals.dtype)
        if self.baseline is not None:
            self.baseline[slots] = totals

    def counted(self, slots: Ids, totals: Numbers) -> Numbers:
        """What each of `slots` counted in the open window since the behaviour began to watch it."""
        return totals[slots] if self.baseline is None else totals[slots] - self.baseline[slots]

    def next_window(self) -> None:
        self.decided[:] = False
        self.baseline = None

    def reset(self, slot: int) -> None:
        """Forgets the slot; its open violation must have been dealt with."""
        self.run[slot] = 0
        self.in_alarm[slot] = self.decided[slot] = False
        self.open.pop(slot, None)
        if self.baseline is not None:
            self.baseline[slot] = 0

    def grow(self, size: int) -> None:
        self.run = grown(self.run, size)
        self.in_alarm, self.decided = grown(self.in_alarm, size), grown(self.decided, size)
        if self.baseline is not None:
            self.baseline = grown(self.baseline, size)


def _longer(conforming: Runs) -> Runs:
    """The streaks, which are not above 0, with one conforming datapoint more."""
    longer: Runs = np.maximum(conforming - np.int8(1), np.int8(-LONGEST_RUN))
    return longer
