"""What the kernel answers: violation events, progress of open violations, and rows for the metric history."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from fleetward.meter.batch import Column, Ids
from fleetward.model import AlarmEvent, Millis, Value, ValueKind

T = TypeVar("T")
Told = TypeVar("Told", covariant=True)
Mask: TypeAlias = NDArray[np.bool_]
Numbers: TypeAlias = NDArray[Any]
"""Whole numbers, floats of a custom metric, or tuples of elements."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A further violating datapoint of an open violation: moves its last value and time, and is no event."""

    violation_id: str
    value: Value
    time: Millis
    kind: ValueKind = ValueKind.COUNT


@dataclass(frozen=True, slots=True)
class MetricRows:
    """One metric over one window, one row per device; rows where `has` is False have no value."""

    has: Mask
    count: Ids
    total: Numbers
    minimum: Numbers
    maximum: Numbers


@dataclass(frozen=True, slots=True)
class WindowRows:
    """What devices did in the window [start, start + duration_seconds), one row per name.

    A name has two rows in the window in which it was registered: one for each identity. `metrics` are the basic ones;
    `columns` all others that are in use, by metric and dimension.
    """

    start: Millis
    duration_seconds: int
    names: tuple[str, ...]
    metrics: Mapping[str, MetricRows]
    columns: Mapping[Column, MetricRows] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Datum:
    """One value of one device at `time`: of a report (`duration_seconds` 0), or a window's elements."""

    time: Millis
    duration_seconds: int
    thing: str
    metric: str
    dimension: str
    value: Value


class Part(Protocol[Told]):
    """Several entries that hold still: nothing that happens later changes them."""

    def __len__(self) -> int: ...
    def entry(self, index: int) -> Told: ...


@dataclass(frozen=True, slots=True)
class Ready(Generic[T]):
    """One entry that is there already."""

    item: T

    def __len__(self) -> int:
        return 1

    def entry(self, index: int) -> T:
        return self.item


class Log(Sequence[T]):
    """A sequence whose entries are made when they are read: a close with 600,000 alarms is told in chunks."""

    def __init__(self) -> None:
        self.parts: list[Part[T]] = []
        self._ends: list[int] = []

    def append(self, item: T) -> None:
        self.add(Ready(item))

    def add(self, part: Part[T]) -> None:
        if len(part):
            self.parts.append(part)
            self._ends.append(len(self) + len(part))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[T]:
        return (part.entry(index) for part in self.parts for index in range(len(part)))

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            return list(self._between(start, stop)) if step == 1 else [self[at] for at in range(start, stop, step)]
        place = index if index >= 0 else index + len(self)
        if not 0 <= place < len(self):
            raise IndexError(index)
        number = bisect_right(self._ends, place)
        return self.parts[number].entry(place - (self._ends[number] - len(self.parts[number])))

    def _between(self, start: int, stop: int) -> Iterator[T]:
        """The entries of [start, stop), part by part."""
        for number in range(bisect_right(self._ends, start), len(self.parts)):
            part, end = self.parts[number], self._ends[number]
            begin = end - len(part)
            if begin >= stop:
                return
            for index in range(max(start - begin, 0), min(stop, end) - begin):
                yield part.entry(index)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __repr__(self) -> str:
        return repr(list(self))

    __hash__ = None  # type: ignore[assignment]


@dataclass(slots=True)
class Outcome:
    """What one input led to, in the order in which it happened."""

    events: Log[AlarmEvent] = field(default_factory=Log)
    progress: Log[Progress] = field(default_factory=Log)
    windows: list[WindowRows] = field(default_factory=list)
    data: list[Datum] = field(default_factory=list)
