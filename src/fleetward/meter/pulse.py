"""The fleet's pulse: how much it sends right now, who sends, and who most of it. For people; detection has its own.

Memory is bounded: sums of BUCKET_MILLIS for the last KEPT of them, of the last MINUTE the devices that sent most, and
when each thing was heard last.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fleetward.meter.batch import Batch, Cells, Ids
from fleetward.meter.seen import UNREGISTERED, Seen
from fleetward.model import Millis

BUCKET_MILLIS = 5_000
KEPT = 180
"""Buckets: a quarter of an hour."""

MINUTE = 60_000
BUSY = 500
"""Devices remembered of each bucket: those that sent most bytes in it."""

REPORTING = 300_000
"""A device that sent something within so many milliseconds is reporting."""

SIZES = ("aws:message-byte-size", "")


def _no_ids() -> Ids:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Bucket:
    """What came in [start, start + BUCKET_MILLIS): messages and bytes of all, and of the busiest devices."""

    start: Millis
    messages: int = 0
    bytes: int = 0
    device: Ids = field(default_factory=_no_ids)
    device_messages: Ids = field(default_factory=_no_ids)
    device_bytes: Ids = field(default_factory=_no_ids)


@dataclass(frozen=True, slots=True)
class Busy:
    """What a device sent in the last minute."""

    id: int
    name: str | None
    """Of a device that is no registered thing; None for a thing, whose id tells."""
    messages: int
    bytes: int


class Pulse:
    """Takes batches on one thread and answers on any: buckets are replaced, never changed."""

    def __init__(self) -> None:
        self._buckets: deque[Bucket] = deque(maxlen=KEPT)
        self._names: OrderedDict[int, str] = OrderedDict()
        self._seen = Seen()

    def note(self, batch: Batch) -> None:
        start = (batch.end - 1) // BUCKET_MILLIS * BUCKET_MILLIS
        self._remember(batch)
        if not self._buckets or self._buckets[-1].start < start:
            self._buckets.append(Bucket(start))
        cells = batch.cells.get(SIZES)
        if cells is not None and len(cells.device):
            self._buckets[-1] = _grown(self._buckets[-1], cells)
            self._seen.note(cells.device, batch.end)

    def reporting(self, now: Millis) -> int:
        """How many devices sent something in the last five minutes, as far as this server has been up."""
        return self._seen.since(now - REPORTING)

    def rates(self, now: Millis) -> tuple[float, float]:
        """Messages and bytes a second over the last whole bucket; zeros when nothing came."""
        last = now // BUCKET_MILLIS * BUCKET_MILLIS - BUCKET_MILLIS
        seconds = BUCKET_MILLIS / 1000
        for bucket in list(self._buckets):
            if bucket.start == last:
                return bucket.messages / seconds, bucket.bytes / seconds
        return 0.0, 0.0

    def series(self, now: Millis) -> list[tuple[Millis, int, int]]:
        """(start, messages, bytes) of each whole bucket of the last quarter of an hour, oldest first."""
        first, current = now - KEPT * BUCKET_MILLIS, now // BUCKET_MILLIS * BUCKET_MILLIS
        kept = [bucket for bucket in list(self._buckets) if first <= bucket.start < current]
        return [(bucket.start, bucket.messages, bucket.bytes) for bucket in kept]

    def busiest(self, now: Millis, most: int) -> Sequence[Busy]:
        """The devices that sent most bytes in the last minute, the busiest first."""
        recent = [bucket for bucket in list(self._buckets) if bucket.start >= now - MINUTE]
        if not recent:
            return []
        merged = _merged(
            np.concatenate([bucket.device for bucket in recent]),
            np.concatenate([bucket.device_messages for bucket in recent]),
            np.concatenate([bucket.device_bytes for bucket in recent]),
            most,
        )
        return [
            Busy(int(id), self._names.get(int(id)), int(messages), int(size))
            for id, messages, size in zip(*merged, strict=True)
        ]

    def _remember(self, batch: Batch) -> None:
        for id, name in batch.names.items():
            if id < 0:
                self._names[id] = name
        while len(self._names) > UNREGISTERED:
            self._names.popitem(last=False)


def _grown(bucket: Bucket, cells: Cells) -> Bucket:
    busy = _merged(
        np.concatenate([bucket.device, cells.device]),
        np.concatenate([bucket.device_messages, cells.count]),
        np.concatenate([bucket.device_bytes, cells.total]),
        BUSY,
    )
    messages, size = int(cells.count.sum()), int(cells.total.sum())
    return Bucket(bucket.start, bucket.messages + messages, bucket.bytes + size, *busy)


def _merged(device: Ids, messages: Ids, size: Ids, most: int) -> tuple[Ids, Ids, Ids]:
    """Each device once with its sums, the one with most bytes first, at most `most`."""
    ids, place = np.unique(device, return_inverse=True)
    sums = np.zeros((2, len(ids)), dtype=np.int64)
    np.add.at(sums[0], place, messages)
    np.add.at(sums[1], place, size)
    order = np.argsort(-sums[1], kind="stable")[:most]
    return ids[order], sums[0][order], sums[1][order]
