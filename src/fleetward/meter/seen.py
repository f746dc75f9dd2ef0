"""Which devices sent something lately: the time of each one's last message."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from fleetward.meter.batch import Ids
from fleetward.model import Millis

UNREGISTERED = 10_000
"""Devices without a thing that are remembered, the latest."""

NEVER = np.iinfo(np.int64).min


class Seen:
    """Written by one thread, read by any. Things have small ids, from 0 on; devices that are none, negative ones."""

    def __init__(self) -> None:
        self._things = np.full(1024, NEVER, dtype=np.int64)
        self._others: OrderedDict[int, Millis] = OrderedDict()

    def note(self, devices: Ids, now: Millis) -> None:
        things = devices[devices >= 0]
        if len(things):
            self._grow(int(things.max()) + 1)
            self._things[things] = now
        for other in devices[devices < 0].tolist():
            self._others[other] = now
            self._others.move_to_end(other)
        while len(self._others) > UNREGISTERED:
            self._others.popitem(last=False)

    def since(self, time: Millis) -> int:
        """How many devices sent something at that time or later."""
        return int((self._things >= time).sum()) + sum(seen >= time for seen in list(self._others.values()))

    def _grow(self, size: int) -> None:
        if size > len(self._things):
            grown = np.full(2 * size, NEVER, dtype=np.int64)
            grown[: len(self._things)] = self._things
            self._things = grown
