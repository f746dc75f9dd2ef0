"""Counts: one metric of every slot in one open window."""

from __future__ import annotations

from typing import Any

import numpy as np

from fleetward.detect.outcome import Mask, MetricRows, Numbers
from fleetward.detect.slots import NEVER, as_index, grown
from fleetward.meter.batch import Cells, Ids
from fleetward.meter.metrics import DISTINCT, MAX_DISTINCT, PLAIN, Kind, Metric
from fleetward.model import ValueKind

MAX_ELEMENTS = 256
"""Elements of a list metric that are remembered per device and window."""


class Counts:
    """Observations, their sum and their extremes; `minimum` and `maximum` mean nothing without any.

    Of a plain counter each observation weighs 1, so that its number says it all: `total` is `count`, and there are no
    extremes. `items` holds the elements of each slot, for a list metric and for a counter of different things.
    """

    __slots__ = ("count", "is_plain", "items", "maximum", "metric", "minimum", "total")

    def __init__(self, size: int, metric: Metric) -> None:
        self.metric = metric
        self.is_plain = metric.name in PLAIN
        self.items: dict[int, dict[Any, None]] = {}
        self.count: Ids = np.zeros(size, dtype=np.int64)
        self.total: Numbers = self.count
        self.minimum: Numbers = self.count
        self.maximum: Numbers = self.count
        if not self.is_plain:
            kind = np.float64 if metric.value is ValueKind.NUMBER else np.int64
            low, high = _extremes(metric)
            self.total = np.zeros(size, dtype=kind)
            self.minimum, self.maximum = np.full(size, low, dtype=kind), np.full(size, high, dtype=kind)

    def add(self, slots: Ids, cells: Cells) -> None:
        """Counts `cells`; no slot occurs twice in them."""
        self.count[slots] += cells.count
        if self.is_plain:
            return
        if cells.items is not None:
            self._add_items(slots, cells)
            return
        self.total[slots] += cells.total
        self.minimum[slots] = np.minimum(self.minimum[slots], cells.minimum)
        self.maximum[slots] = np.maximum(self.maximum[slots], cells.maximum)

    def _add_items(self, slots: Ids, cells: Cells) -> None:
        limit = MAX_DISTINCT if self.metric.name in DISTINCT else MAX_ELEMENTS
        for slot, items in zip(slots.tolist(), cells.items or (), strict=True):
            known = self.items.setdefault(slot, {})
            for item in items:
                if len(known) < limit:
                    known[item] = None
            self.total[slot] = self.minimum[slot] = self.maximum[slot] = len(known)

    def elements(self, slots: Ids) -> Numbers:
        """The elements of each slot, as tuples."""
        return as_tuples([tuple(self.items.get(slot, ())) for slot in slots.tolist()])

    def has_value(self, present: Mask) -> Mask:
        """Which slots have a value: those observed, and for a counter those `present` in the window, idle or not."""
        observed = self.count > 0
        return observed | present if self.metric.kind is Kind.COUNTER else observed

    def rows(self, has: Mask, slots: Ids) -> MetricRows:
        chosen = as_index(slots)
        count, has = _narrowed(self.count[chosen]), has[chosen]
        if self.is_plain:
            extreme = (count > 0).astype(np.int8)
            return MetricRows(has, count, count, extreme, extreme)
        observed = count > 0
        extremes = (np.where(observed, extreme[chosen], 0) for extreme in (self.minimum, self.maximum))
        return MetricRows(has, count, _narrowed(self.total[chosen]), *map(_narrowed, extremes))

    def read(self, slots: Ids, values: Ids) -> None:
        """Sets what a timer says at the end of the window."""
        self.count[slots] = 1
        self.total[slots] = self.minimum[slots] = self.maximum[slots] = values

    def clear(self, slot: int | slice = slice(None)) -> None:
        self.count[slot] = 0
        if not self.is_plain:
            self.total[slot] = 0
            self.minimum[slot], self.maximum[slot] = _extremes(self.metric)
        if isinstance(slot, slice):
            self.items.clear()
        else:
            self.items.pop(slot, None)

    def grow(self, size: int) -> None:
        self.count = grown(self.count, size)
        if self.is_plain:
            self.total = self.minimum = self.maximum = self.count
            return
        low, high = _extremes(self.metric)
        self.total = grown(self.total, size)
        self.minimum, self.maximum = grown(self.minimum, size, fill=low), grown(self.maximum, size, fill=high)


def as_tuples(rows: list[tuple[Any, ...]]) -> Numbers:
    """An array of tuples; NumPy by itself would make a table of them."""
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


def _narrowed(numbers: Numbers) -> Numbers:
    """A copy, in the smallest type that holds them all: a window hands over the numbers of the whole fleet at once."""
    if numbers.dtype.kind != "i" or not len(numbers):
        return numbers.copy()
    return numbers.astype(np.result_type(*map(np.min_scalar_type, (numbers.min(), numbers.max()))))


def _extremes(metric: Metric) -> tuple[float, float]:
    """The minimum and the maximum of nothing; what is counted is never negative."""
    return (np.inf, -np.inf) if metric.value is ValueKind.NUMBER else (NEVER, 0)
