"""Counts by slot: the open window of each duration in use. Windows are tumbling and aligned to the epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from fleetward.detect.outcome import Mask, MetricRows
from fleetward.detect.slots import NEVER, grown
from fleetward.detect.topics import TopicLog
from fleetward.meter.batch import Cells, Column, Ids
from fleetward.meter.metrics import METRICS, Kind
from fleetward.model import Millis

DEFAULT_SECONDS = 300
"""The window of a metric that no behaviour uses."""


class Counts:
    """One metric of every slot: observations, their sum and their extremes (`minimum` is NEVER without any)."""

    __slots__ = ("count", "maximum", "minimum", "total")

    def __init__(self, size: int) -> None:
        self.count: Ids = np.zeros(size, dtype=np.int64)
        self.total: Ids = np.zeros(size, dtype=np.int64)
        self.minimum: Ids = np.full(size, NEVER, dtype=np.int64)
        self.maximum: Ids = np.zeros(size, dtype=np.int64)

    def add(self, slots: Ids, cells: Cells) -> None:
        self.count[slots] += cells.count
        self.total[slots] += cells.total
        self.minimum[slots] = np.minimum(self.minimum[slots], cells.minimum)
        self.maximum[slots] = np.maximum(self.maximum[slots], cells.maximum)

    def clear(self, slot: int | slice = slice(None)) -> None:
        self.count[slot] = self.total[slot] = self.maximum[slot] = 0
        self.minimum[slot] = NEVER

    def grow(self, size: int) -> None:
        self.count, self.total, self.maximum = (grown(a, size) for a in (self.count, self.total, self.maximum))
        self.minimum = grown(self.minimum, size, fill=NEVER)


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
        """Which slots have a value: those observed, and for a counter those connected at any time, idle or not."""
        observed = self.counts[column].count > 0
        return observed | self.present if METRICS[column[0]].kind is Kind.COUNTER else observed

    def rows(self, column: Column, has: Mask, slots: Ids) -> MetricRows:
        counts = self.counts[column]
        count = counts.count[slots]
        minimum = np.where(count > 0, counts.minimum[slots], 0)
        return MetricRows(has[slots], count, counts.total[slots], minimum, counts.maximum[slots])


class Windows:
    """The open window of every duration in use.

    `latest` is, per metric, the end of the last window in which each slot had a value; `shortest` the seconds of the
    windows that go into the history.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._open: dict[int, Window] = {}
        self.latest: dict[Column, Ids] = {(metric, ""): np.zeros(size, dtype=np.int64) for metric in METRICS}
        self.shortest: dict[Column, int] = {}

    def __iter__(self) -> Iterator[Window]:
        """By rising duration."""
        return iter(self._open.values())

    def __getitem__(self, seconds: int) -> Window:
        return self._open[seconds]

    def use(self, seconds: Iterable[tuple[Column, int]], now: Millis | None, connected: Ids) -> None:
        """Opens the windows of these durations, and of DEFAULT_SECONDS for a metric without any; drops all others."""
        wanted: dict[Column, set[int]] = {column: set() for column in self.latest}
        for column, duration in seconds:
            wanted[column].add(duration)
        for durations in wanted.values():
            durations |= set() if durations else {DEFAULT_SECONDS}
        self.shortest = {column: min(durations) for column, durations in wanted.items()}
        known, self._open = self._open, {}
        for duration in sorted(set().union(*wanted.values())):
            window = known.get(duration) or self._begin(duration, now, connected)
            columns = [column for column, durations in wanted.items() if duration in durations]
            window.counts = {column: window.counts.get(column) or Counts(self._size) for column in columns}
            self._open[duration] = window

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
