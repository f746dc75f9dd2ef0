"""The largest contributing topics of each device in one open window: bounded, whatever names an attacker invents."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fleetward.meter.batch import Ids, TopicCells

KEPT = 8
"""Topics kept per device and window."""

_MIN_ROWS = 1 << 16

Contribution = tuple[str, int, int]
"""(topic, bytes, messages)"""


class TopicLog:
    """Rows of (slot, topic, bytes, messages) as they came, boiled down to the KEPT largest per slot when they pile up.

    What boiling down drops is lost: a topic that stays small while others come and go is told with too few bytes.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._names: list[str] = []
        self._index: dict[str, int] = {}
        self._rows: list[NDArray[np.int64]] = []
        self._length = 0
        self._limit = _MIN_ROWS

    def add(self, slots: Ids, cells: TopicCells) -> None:
        """Counts what `cells` say; `slots` gives the slot of each of its rows, -1 for a device that is not watched."""
        known = slots >= 0
        if not known.any():
            return
        topics = self._numbers(cells)[cells.topic]
        self._rows.append(np.stack((slots, topics, cells.bytes, cells.messages))[:, known])
        self._length += int(known.sum())
        if self._length > self._limit:
            self._boil_down()

    def top(self, slots: Ids) -> dict[int, tuple[Contribution, ...]]:
        """The KEPT largest topics of each of `slots`, by bytes."""
        found: dict[int, list[Contribution]] = {}
        parts = [rows[:, np.isin(rows[0], slots)] for rows in self._rows]
        if parts:
            for slot, topic, size, messages in _largest(np.concatenate(parts, axis=1)).T.tolist():
                found.setdefault(slot, []).append((self._names[topic], size, messages))
        return {slot: tuple(contributions) for slot, contributions in found.items()}

    def erase(self, slot: int) -> None:
        self._rows = [rows[:, rows[0] != slot] for rows in self._rows]

    def _numbers(self, cells: TopicCells) -> Ids:
        index = self._index
        numbers = np.fromiter((index.setdefault(name, len(index)) for name in cells.topics), np.int64)
        self._names.extend(list(index)[len(self._names) :] if len(index) > len(self._names) else ())
        return numbers

    def _boil_down(self) -> None:
        rows = _largest(np.concatenate(self._rows, axis=1))
        used, rows[1] = np.unique(rows[1], return_inverse=True)
        self._names = [self._names[number] for number in used.tolist()]
        self._index = {name: number for number, name in enumerate(self._names)}
        self._rows = [rows]
        self._length = rows.shape[1]
        self._limit = max(_MIN_ROWS, 2 * self._length)


def _largest(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """One row per (slot, topic), the KEPT largest of each slot, by slot and falling bytes."""
    merged = _merged(rows)
    # The second key makes ties fall the same way however the rows came to be.
    merged = merged[:, np.lexsort((merged[1], -merged[2], merged[0]))]
    _, first, length = np.unique(merged[0], return_index=True, return_counts=True)
    place = np.arange(merged.shape[1]) - np.repeat(first, length)
    return merged[:, place < KEPT]


def _merged(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    if not rows.shape[1]:
        return rows
    rows = rows[:, np.lexsort((rows[1], rows[0]))]
    starts = np.flatnonzero(np.r_[True, (np.diff(rows[0]) != 0) | (np.diff(rows[1]) != 0)])
    return np.concatenate((rows[:2, starts], np.add.reduceat(rows[2:], starts, axis=1)))
