"""The fleet's pulse says what came in, within bounded memory."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fleetward.meter.batch import TICK_MILLIS, Batch, Cells
from fleetward.meter.pulse import BUCKET_MILLIS, MINUTE, SIZES, UNREGISTERED, Pulse

START = 1_800_000_000_000
SENT = st.lists(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 9_000)), max_size=5), max_size=400
)
"""For each tick: (device, messages, bytes)."""


def batch(number: int, rows: list[tuple[int, int, int]], names: dict[int, str] | None = None) -> Batch:
    rows = [row for place, row in enumerate(rows) if row[0] not in {other[0] for other in rows[:place]}]
    device, count, total = (np.array([row[column] for row in rows], dtype=np.int64) for column in range(3))
    cells = {SIZES: Cells(device, count, total, total, total)} if rows else {}
    end = START + (number + 1) * TICK_MILLIS
    return Batch("g", number, end - TICK_MILLIS, end, names or {}, cells=cells)


@given(SENT)
def test_the_busiest_are_those_that_sent_most(ticks: list[list[tuple[int, int, int]]]) -> None:
    """The busiest devices are those with most bytes in the buckets of the last minute, with their exact sums."""
    pulse, sizes, messages = Pulse(), Counter[int](), Counter[int]()
    batches = [batch(number, rows) for number, rows in enumerate(ticks)]
    now = START + len(ticks) * TICK_MILLIS
    for one in batches:
        pulse.note(one)
        if (one.end - 1) // BUCKET_MILLIS * BUCKET_MILLIS >= now - MINUTE and SIZES in one.cells:
            cells = one.cells[SIZES]
            sizes.update(dict(zip(cells.device.tolist(), cells.total.tolist(), strict=True)))
            messages.update(dict(zip(cells.device.tolist(), cells.count.tolist(), strict=True)))
    found = pulse.busiest(now, 3)
    assert [one.bytes for one in found] == sorted(sizes.values(), reverse=True)[:3]
    assert all((sizes[one.id], messages[one.id]) == (one.bytes, one.messages) for one in found)


@given(SENT)
def test_the_series_adds_up(ticks: list[list[tuple[int, int, int]]]) -> None:
    """The series holds every message and byte of its time once."""
    pulse = Pulse()
    batches = [batch(number, rows) for number, rows in enumerate(ticks)]
    for one in batches:
        pulse.note(one)
    later = START + len(ticks) * TICK_MILLIS + BUCKET_MILLIS
    assert sum(size for _, _, size in pulse.series(later)) == sum(
        int(one.cells[SIZES].total.sum()) for one in batches if SIZES in one.cells
    )


def test_a_silent_fleet_has_no_rate() -> None:
    """A bucket in which nothing came is a rate of zero, not the last one that was seen."""
    pulse = Pulse()
    pulse.note(batch(0, [(1, 10, 1_000)]))
    assert pulse.rates(START + BUCKET_MILLIS) == (2.0, 200.0)
    assert pulse.rates(START + 2 * BUCKET_MILLIS) == (0.0, 0.0)


def test_names_of_strangers_are_bounded() -> None:
    """However many names unregistered devices make up, only so many are remembered."""
    pulse = Pulse()
    for number in range(3):
        pulse.note(batch(number, [], {-1 - number * UNREGISTERED - i: f"made-up-{i}" for i in range(UNREGISTERED)}))
    assert len(pulse._names) == UNREGISTERED
