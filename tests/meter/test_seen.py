"""Who sent something lately is counted exactly, for things, and for the latest devices that are none."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fleetward.meter.seen import UNREGISTERED, Seen

HEARD = st.lists(st.lists(st.integers(-20, 5_000), max_size=6), max_size=30)
"""The devices heard at each moment."""


@given(HEARD, st.integers(0, 30))
def test_each_device_counts_once_by_its_last_message(heard: list[list[int]], since: int) -> None:
    """A device counts when its last message came at that time or later, however often it sent before."""
    seen, last = Seen(), dict[int, int]()
    for now, devices in enumerate(heard):
        seen.note(np.unique(np.array(devices, dtype=np.int64)), now)
        last.update(dict.fromkeys(devices, now))
    assert seen.since(since) == sum(time >= since for time in last.values())


def test_names_made_up_do_not_fill_the_memory() -> None:
    """Of devices that are no things only the latest are remembered."""
    seen = Seen()
    seen.note(-np.arange(1, UNREGISTERED + 100, dtype=np.int64), 0)
    assert seen.since(0) == UNREGISTERED
