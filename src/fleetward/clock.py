"""The time, for the few files that may ask it."""

from __future__ import annotations

import time

from fleetward.model import Millis


def now_millis() -> Millis:
    return time.time_ns() // 1_000_000
