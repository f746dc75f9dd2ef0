"""From which networks each device connected before: what makes one new."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fleetward.meter.batch import Cells, Ids
from fleetward.model import Millis

KEPT = 64
"""Networks remembered per device; of more, the one not seen for the longest is forgotten."""

NETWORK_MEMORY: Millis = 14 * 86_400_000
"""Unless the history is kept for longer, or for less."""


class Networks:
    """When each network of each slot was last seen. The first ones of a device are learned, not counted."""

    def __init__(self) -> None:
        self._seen: dict[int, dict[str, Millis]] = {}

    def new_ones(self, slots: Ids, cells: Cells, now: Millis, memory: Millis) -> Cells:
        """The cells of connections as the cells of connections from networks that are new to their device."""
        since = now - memory
        new = [
            self._count(slot, items, now, since) for slot, items in zip(slots.tolist(), cells.items or (), strict=True)
        ]
        total = np.array(new, dtype=np.int64)
        return replace(cells, total=total, minimum=np.minimum(total, 1), maximum=np.minimum(total, 1), items=None)

    def forget(self, slot: int) -> None:
        self._seen.pop(slot, None)

    def _count(self, slot: int, networks: tuple[str, ...], now: Millis, since: Millis) -> int:
        seen = self._seen.setdefault(slot, {})
        is_first, new = not seen, 0
        for network in networks:
            last = seen.pop(network, None)  # and in again: the order is that of the last sight
            new += not is_first and (last is None or last < since)
            seen[network] = now
            if len(seen) > KEPT:
                del seen[next(iter(seen))]
        return new
