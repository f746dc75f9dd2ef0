"""Deadlines to the second: keep-alives, session expiries, delayed wills. Setting and cancelling take constant time."""

from __future__ import annotations

from typing import Generic, TypeVar

from fleetward.model import Millis

Key = TypeVar("Key")

SLOT_MILLIS = 1000


class Deadlines(Generic[Key]):
    """At most one deadline a key. What is cancelled leaves nothing behind, however often clients come and go."""

    def __init__(self) -> None:
        self._slot_of: dict[Key, int] = {}
        self._slots: dict[int, dict[Key, None]] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._slot_of)

    def set(self, key: Key, due: Millis) -> None:
        """Sets or moves the deadline of `key`; it is reported within a second after `due`, never before."""
        self.cancel(key)
        slot = max(-(-due // SLOT_MILLIS), self._next)
        self._slot_of[key] = slot
        self._slots.setdefault(slot, {})[key] = None

    def cancel(self, key: Key) -> None:
        slot = self._slot_of.pop(key, None)
        if slot is not None:
            keys = self._slots[slot]
            del keys[key]
            if not keys:
                del self._slots[slot]

    def pop_due(self, now: Millis) -> list[Key]:
        """Takes out every key whose deadline has passed, in order of deadline."""
        slot = now // SLOT_MILLIS
        if slot < self._next:
            return []
        passed = sorted(s for s in self._slots if s <= slot)
        self._next = slot + 1
        found = [key for s in passed for key in self._slots.pop(s)]
        for key in found:
            del self._slot_of[key]
        return found
