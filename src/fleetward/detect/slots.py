"""Slots: every device the kernel knows has one place in all of its arrays."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fleetward.detect.inputs import EnrollMany
from fleetward.detect.outcome import Mask
from fleetward.meter.batch import Ids, unregistered_id
from fleetward.model import Millis

MAX_UNREGISTERED = 250_000
"""Names without a thing record that are watched at once; further ones are not (memory stays bounded)."""

NEVER = np.iinfo(np.int64).max

_FIRST_SIZE = 64
_MAX_DENSE = 1 << 24

Number = TypeVar("Number", bound=np.generic)


def grown(array: NDArray[Number], size: int, fill: float = 0) -> NDArray[Number]:
    larger = np.full(size, fill, dtype=array.dtype)
    larger[: len(array)] = array
    return larger


def as_index(slots: Ids) -> Ids | slice:
    """`slots`, which rise, as a slice where they have no holes: then nothing needs to be gathered one by one."""
    if len(slots) and int(slots[-1]) - int(slots[0]) + 1 == len(slots):
        return slice(int(slots[0]), int(slots[-1]) + 1)
    return slots


class Slots:
    """Which device is where. A slot is free, registered (enrolled), unregistered (negative id), or *stray*: observed
    under a registered id that was not enrolled yet, or not any more; strays are counted and judged by nobody.

    `left` is when the last session began or ended, `heard` when the device last said something; NEVER before the first.
    """

    def __init__(self) -> None:
        self.size = _FIRST_SIZE
        self.names: NDArray[np.object_] = np.full(self.size, "", dtype=object)
        self.ids: Ids = np.zeros(self.size, dtype=np.int64)
        self.enrolled: Mask = np.zeros(self.size, dtype=np.bool_)
        self.unregistered: Mask = np.zeros(self.size, dtype=np.bool_)
        self.connected: Ids = np.zeros(self.size, dtype=np.int64)
        self.active: Ids = np.full(self.size, NEVER, dtype=np.int64)
        self.epoch: Ids = np.zeros(self.size, dtype=np.int64)
        self.left: Ids = np.full(self.size, NEVER, dtype=np.int64)
        self.heard: Ids = np.full(self.size, NEVER, dtype=np.int64)
        self.groups: dict[int, frozenset[str]] = {}
        self._registered: dict[str, int] = {}
        self._free = list(range(self.size - 1, -1, -1))
        self._dense: NDArray[np.int32] = np.full(self.size, -1, dtype=np.int32)
        self._sparse: dict[int, int] = {}
        self._others = 0

    def find(self, ids: Ids) -> Ids:
        """The slot of each id, -1 where it has none."""
        slots = np.full(len(ids), -1, dtype=np.int64)
        dense = (ids >= 0) & (ids < len(self._dense))
        slots[dense] = self._dense[ids[dense]]
        rest = np.flatnonzero(~dense)
        if len(rest) and self._sparse:
            slots[rest] = [self._sparse.get(id, -1) for id in ids[rest].tolist()]
        return slots

    def slot(self, id: int) -> int | None:
        if 0 <= id < len(self._dense):
            slot = int(self._dense[id])
            return None if slot < 0 else slot
        return self._sparse.get(id)

    def named(self, name: str) -> list[int]:
        """The slots of a name: as a registered thing, and as an unregistered one."""
        registered = self._registered.get(name)
        slots = (None if registered is None else self.slot(registered), self.slot(unregistered_id(name)))
        return [slot for slot in slots if slot is not None]

    def others_named(self, item: EnrollMany) -> list[int]:
        """The slots of things that had those names under other ids."""
        known = map(self._registered.get, item.names)
        others = [other for other, id in zip(known, item.ids, strict=True) if other is not None and other != id]
        return [slot for slot in map(self.slot, others) if slot is not None and self.enrolled[slot]]

    def is_full(self) -> bool:
        """Whether no room is left for one more device without a thing record."""
        return self._others >= MAX_UNREGISTERED

    def add(self, ids: Ids, names: NDArray[np.object_], now: Millis) -> Ids:
        """Gives devices slots. The arrays of others must have grown with `size` before these are used there."""
        while len(self._free) < len(ids):
            self._grow()
        slots = np.array([self._free.pop() for _ in range(len(ids))], dtype=np.int64)
        self.ids[slots], self.names[slots] = ids, names
        self.unregistered[slots] = ids < 0
        self.active[slots] = now
        self._others += len(slots)
        dense = (ids >= 0) & (ids < _MAX_DENSE)
        highest = int(ids[dense].max(initial=-1))
        if highest >= len(self._dense):
            self._dense = grown(self._dense, min(max(2 * len(self._dense), highest + 1), _MAX_DENSE), fill=-1)
        self._dense[ids[dense]] = slots[dense]
        self._sparse.update(zip(ids[~dense].tolist(), slots[~dense].tolist(), strict=True))
        return slots

    def enroll(self, slots: Ids, item: EnrollMany) -> None:
        """The things of `item` are registered; `slots` are theirs."""
        self._others -= int((~self.enrolled[slots]).sum())
        self.enrolled[slots] = True
        self.names[slots] = item.names
        self._registered.update(zip(item.names, item.ids, strict=True))
        if self.groups or item.groups:
            for slot, id in zip(slots.tolist(), item.ids, strict=True):
                self.groups.pop(slot, None)
                if groups := item.groups.get(id):
                    self.groups[slot] = groups

    def remove(self, slot: int) -> None:
        id, name = int(self.ids[slot]), self.names[slot]
        self.groups.pop(slot, None)
        if self._registered.get(name) == id:
            del self._registered[name]
        if 0 <= id < len(self._dense):
            self._dense[id] = -1
        else:
            self._sparse.pop(id, None)
        self._others -= 0 if self.enrolled[slot] else 1
        self.names[slot] = ""
        self.enrolled[slot] = self.unregistered[slot] = False
        self.ids[slot] = self.connected[slot] = self.epoch[slot] = 0
        self.active[slot] = self.left[slot] = self.heard[slot] = NEVER
        self._free.append(slot)

    def idle_since(self, time: Millis) -> list[int]:
        """The slots of unregistered and stray devices that are not connected and did nothing at or after `time`."""
        return np.flatnonzero(~self.enrolled & (self.active < time) & (self.connected == 0)).tolist()

    def _grow(self) -> None:
        old, self.size = self.size, 2 * self.size
        self.names = np.concatenate((self.names, np.full(old, "", dtype=object)))
        self._free[:0] = range(self.size - 1, old - 1, -1)
        for name in ("ids", "enrolled", "unregistered", "connected", "epoch"):
            setattr(self, name, grown(getattr(self, name), self.size))
        for name in ("active", "left", "heard"):
            setattr(self, name, grown(getattr(self, name), self.size, fill=NEVER))
