"""Counts by slot: the open window of each duration in use. Windows are tumbling and aligned to the epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fleetward.detect.counts import Counts
from fleetward.detect.outcome import Mask
from fleetward.detect.slots import NEVER, Slots, grown
from fleetward.detect.topics import TopicLog
from fleetward.meter.batch import Column, Ids
from fleetward.meter.metrics import BASIC, DISCONNECT_DURATION, METRICS, SILENCE, Metric
from fleetward.model import Millis

DEFAULT_SECONDS = 300
"""The window of a basic metric that no behaviour uses."""


Seconds: TypeAlias = NDArray[np.uint32]


class Window:
    """The open window of one duration: [start, end), of which `gap` milliseconds were not observed."""

    def __init__(self, seconds: int, size: int) -> None:
        self.seconds = seconds
        self.start: Millis = 0
        self.gap: Millis = 0
        self.present: Mask = np.zeros(size, dtype=np.bool_)
        self.counts: dict[Column, Counts] = {}
        self.topics = TopicLog()

    @property
    def length(self) -> Millis:
        return 1000 * self.seconds

    @property
    def end(self) -> Millis:
        return self.start + self.length

    def restart(self, now: Millis, connected: Ids) -> None:
        """Opens the window that `now` lies in; what of it is past was not observed."""
        self.start = now - now % self.length
        self.gap = now - self.start
        self.present = connected > 0
        self.topics.clear()
        for counts in self.counts.values():
            counts.clear()

    def has_value(self, column: Column) -> Mask:
        return self.counts[column].has_value(self.present)

    def read_timers(self, slots: Slots) -> None:
        """Looks at the clocks of the devices, at the window's end."""
        for (metric, _), counts in self.counts.items():
            if metric in TIMERS:
                counts.read(*TIMERS[metric](slots, self.end))


def _disconnected_minutes(slots: Slots, now: Millis) -> tuple[Ids, Ids]:
    """0 for a device that is connected, so that its return is seen; nothing for one that never was."""
    known = np.flatnonzero(slots.left != NEVER)
    minutes = np.maximum(now - slots.left[known], 0) // 60_000
    return known, np.where(slots.connected[known] > 0, 0, minutes)


def _silent_seconds(slots: Slots, now: Millis) -> tuple[Ids, Ids]:
    connected = np.flatnonzero((slots.connected > 0) & (slots.heard != NEVER))
    return connected, np.maximum(now - slots.heard[connected], 0) // 1000


TIMERS: Mapping[str, Callable[[Slots, Millis], tuple[Ids, Ids]]] = {
    DISCONNECT_DURATION: _disconnected_minutes,
    SILENCE: _silent_seconds,
}


class Windows:
    """The open window of every duration in use.

    `metrics` are the columns in use; `latest` is, per column, the end of the last window in which each slot had a
    value, or the time of its last report, in whole seconds; `shortest` the seconds of the windows that go into the
    history.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._open: dict[int, Window] = {}
        self.metrics: dict[Column, Metric] = {}
        self.latest: dict[Column, Seconds] = {}
        self.shortest: dict[Column, int] = {}

    def __iter__(self) -> Iterator[Window]:
        """By rising duration."""
        return iter(self._open.values())

    def __getitem__(self, seconds: int) -> Window:
        return self._open[seconds]

    def use(self, uses: Iterable[tuple[Column, Metric, int]], now: Millis | None, connected: Ids) -> None:
        """Opens the windows of these (column, metric, seconds); 0 seconds open none. Drops all others.

        Basic metrics that nobody uses have windows of DEFAULT_SECONDS.
        """
        self.metrics = {(name, ""): METRICS[name] for name in BASIC}
        wanted: dict[Column, set[int]] = {column: set() for column in self.metrics}
        for column, metric, seconds in uses:
            self.metrics[column] = metric
            wanted.setdefault(column, set()).add(seconds)
        for durations in wanted.values():
            durations |= set() if durations else {DEFAULT_SECONDS}
        self.shortest = {column: min(durations) for column, durations in wanted.items()}
        self.latest = {column: self._latest(column) for column in wanted}
        self._reopen(wanted, now, connected)

    def _reopen(self, wanted: Mapping[Column, set[int]], now: Millis | None, connected: Ids) -> None:
        known, self._open = self._open, {}
        for duration in sorted(set().union(*wanted.values()) - {0}):
            window = known.get(duration) or self._begin(duration, now, connected)
            columns = [column for column, durations in wanted.items() if duration in durations]
            window.counts = {column: self._counts(window, column) for column in columns}
            self._open[duration] = window

    def _latest(self, column: Column) -> Seconds:
        known = self.latest.get(column)
        return np.zeros(self._size, dtype=np.uint32) if known is None else known

    def _counts(self, window: Window, column: Column) -> Counts:
        known = window.counts.get(column)
        return known if known and known.metric == self.metrics[column] else Counts(self._size, self.metrics[column])

    def due(self, now: Millis) -> list[Window]:
        """The windows that end at or before `now`, in the order of their ends."""
        return sorted((window for window in self if window.end <= now), key=lambda window: window.end)

    def next_end(self) -> Millis:
        return min(window.end for window in self)

    def grow(self, size: int) -> None:
        self._size = size
        self.latest = {column: grown(ends, size) for column, ends in self.latest.items()}
        for window in self:
            window.present = grown(window.present, size)
            for counts in window.counts.values():
                counts.grow(size)

    def erase(self, slot: int, present: bool) -> None:
        """Forgets what the slot did in the open windows."""
        for window in self:
            window.present[slot] = present
            window.topics.erase(slot)
            for counts in window.counts.values():
                counts.clear(slot)

    def _begin(self, seconds: int, now: Millis | None, connected: Ids) -> Window:
        window = Window(seconds, self._size)
        if now is not None:
            window.restart(now, connected)
        return window
