"""The packed, columnar pre-aggregates that cross door 1: one `Batch` per tick and gateway, never single rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fleetward.model import Millis

Ids: TypeAlias = NDArray[np.int64]
Column: TypeAlias = tuple[str, str]
"""(metric, dimension); the dimension is "" or "IN:name" or "NOT_IN:name"."""

TICK_MILLIS = 250


def unregistered_id(name: str) -> int:
    """The integer identity of a name without a thing record: negative, and the same in every gateway and every run."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return -1 - (int.from_bytes(digest, "big") >> 2)


@dataclass(frozen=True, slots=True)
class Cells:
    """What one metric saw in one tick, one row per device: how many observations, their sum and their extremes.

    `items` are, for a metric of elements (addresses, topics tried…), those of each row; None for all others.
    """

    device: Ids
    count: Ids
    total: Ids
    minimum: Ids
    maximum: Ids
    items: Sequence[tuple[Any, ...]] | None = None


@dataclass(frozen=True, slots=True)
class TopicCells:
    """What each device published to which topic in one tick; `topic` indexes `topics`. At most 8 rows per device."""

    topics: tuple[str, ...]
    device: Ids
    topic: Ids
    messages: Ids
    bytes: Ids


def _no_ids() -> Ids:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything one gateway saw in [start, end).

    `end` lies on a tick boundary (a multiple of TICK_MILLIS) and is also the watermark: nothing before it follows.
    `sequence` counts from 0 without gaps within one run of a gateway, and every tick sends one, empty or not.
    `names` gives the name of each device id that this gateway run mentions for the first time.
    `connected` and `disconnected` hold one row per session that began or ended.
    """

    gateway: str
    sequence: int
    start: Millis
    end: Millis
    names: Mapping[int, str] = field(default_factory=dict)
    connected: Ids = field(default_factory=_no_ids)
    disconnected: Ids = field(default_factory=_no_ids)
    cells: Mapping[Column, Cells] = field(default_factory=dict)
    topics: TopicCells | None = None
