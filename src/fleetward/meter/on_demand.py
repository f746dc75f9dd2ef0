"""What is counted only while a profile asks for it: dimensions, elements, and the metrics that are not basic."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np

from fleetward.meter import metrics
from fleetward.meter.batch import Cells, Column
from fleetward.meter.dimensions import DimensionMatcher
from fleetward.model import Demand

MAX_ITEMS = metrics.MAX_DISTINCT
"""Different elements of one device and column in one tick."""


class OnDemand:
    """One tick's counts by column and device id; a row exists only for what happened."""

    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        self._wanted = frozenset(metric for metric, dimension in demand.columns if not dimension)
        self._matcher = DimensionMatcher(demand)
        self._dimensioned = bool(demand.filters)
        self._counts: dict[Column, dict[int, list[int]]] = {}
        self._items: dict[Column, dict[int, dict[str, None]]] = {}

    def wants(self, metric: str) -> bool:
        return metric in self._wanted

    def count(self, metric: str, device: int, size: int = 1) -> None:
        """Counts one observation of a metric without a dimension, if it is asked for."""
        if metric in self._wanted:
            self._add((metric, ""), device, size)

    def note(self, metric: str, device: int, item: str) -> None:
        """Counts one observation of an element, if its metric is asked for."""
        if metric in self._wanted:
            self._note((metric, ""), device, item)

    def about(self, metric: str, device: int, topic: str, client_id: str, size: int = 1) -> None:
        """Counts one observation about a topic in the dimensions that it belongs to."""
        if self._dimensioned:
            for column in self._matcher.columns(metric, topic, client_id):
                self._add(column, device, size)

    def note_about(self, metric: str, device: int, topic: str, client_id: str, item: str) -> None:
        if self._dimensioned and item:
            for column in self._matcher.columns(metric, topic, client_id):
                self._note(column, device, item)

    def pack(self) -> dict[Column, Cells]:
        """The cells of what was counted since the last time."""
        packed = {column: _packed(rows, self._items.get(column)) for column, rows in self._counts.items()}
        self._counts, self._items = {}, {}
        return packed

    def _add(self, column: Column, device: int, size: int) -> None:
        row = self._counts.setdefault(column, {}).setdefault(device, [0, 0, size, size])
        row[0] += 1
        row[1] += size
        row[2] = min(row[2], size)
        row[3] = max(row[3], size)

    def _note(self, column: Column, device: int, item: str) -> None:
        items = self._items.setdefault(column, {}).setdefault(device, {})
        if len(items) < MAX_ITEMS:
            items[item] = None
        self._add(column, device, 1)


def _packed(rows: Mapping[int, list[int]], items: Mapping[int, Iterable[str]] | None) -> Cells:
    device = np.fromiter(rows, np.int64, len(rows))
    count, total, low, high = (np.ascontiguousarray(part) for part in np.array(list(rows.values()), dtype=np.int64).T)
    listed = None if items is None else [tuple(items.get(id, ())) for id in rows]
    return Cells(device, count, total, low, high, listed)


def digest(text: str) -> str:
    """Stands for a topic or a client id of any length where only being different counts."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """The /24 or /48 that an address belongs to; "" for what is no address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))
