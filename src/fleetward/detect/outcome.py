"""What the kernel answers: violation events, progress of open violations, and rows for the metric history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fleetward.meter.batch import Ids
from fleetward.model import AlarmEvent, Millis

Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Progress:
    """A further violating datapoint of an open violation: moves its last value and time, and is no event."""

    violation_id: str
    value: int
    time: Millis


@dataclass(frozen=True, slots=True)
class MetricRows:
    """One metric over one window, one row per device; rows where `has` is False have no value."""

    has: Mask
    count: Ids
    total: Ids
    minimum: Ids
    maximum: Ids


@dataclass(frozen=True, slots=True)
class WindowRows:
    """What devices did in the window [start, start + duration_seconds), one row per name.

    A name has two rows in the window in which it was registered: one for each identity.
    """

    start: Millis
    duration_seconds: int
    names: tuple[str, ...]
    metrics: Mapping[str, MetricRows]


@dataclass(slots=True)
class Outcome:
    """What one input led to, in the order in which it happened."""

    events: list[AlarmEvent] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    windows: list[WindowRows] = field(default_factory=list)
