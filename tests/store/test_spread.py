"""What the history tells of one device over time, and of the whole fleet in one window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetward.detect.outcome import Datum, MetricRows, WindowRows
from fleetward.meter.metrics import MESSAGE_SIZE
from fleetward.store import spread
from fleetward.store.history import History
from fleetward.store.spread import BINS, Measure

SECONDS = 10
MINUTE = 60_000
SIZES = Measure((MESSAGE_SIZE, ""), 60, "total")
FLEET = st.lists(st.integers(0, 1_000_000), min_size=1, max_size=40)
anew = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=30)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    history = History.open(tmp_path / "history.duckdb")
    yield history
    history.close()


def rows(start: int, sizes: list[int]) -> WindowRows:
    """One short window in which each device sent one message of that size."""
    size = np.array(sizes)
    has = np.ones(len(sizes), dtype=bool)
    names = tuple(f"d{number}" for number in range(len(sizes)))
    return WindowRows(start, SECONDS, names, {MESSAGE_SIZE: MetricRows(has, 0 * size + 1, size, size, size)})


@anew
@given(FLEET)
def test_every_device_is_in_one_bin(history: History, sizes: list[int]) -> None:
    """Short windows are put together; each device is counted in the bin that its value lies in, the ends included."""
    for start in range(0, MINUTE, 1000 * SECONDS):
        history.append(rows(start, sizes))
    found = spread.distribution(history, SIZES, "d0", MINUTE)
    assert found is not None
    totals = sorted(6 * size for size in sizes)
    assert (found.devices, sum(found.counts), found.value) == (len(sizes), len(sizes), 6 * sizes[0])
    assert (found.edges[0], found.edges[-1]) == (totals[0], totals[-1])
    assert len(found.counts) == len(found.edges) - 1 == (BINS if totals[0] < totals[-1] else 1)
    assert list(found.edges) == sorted(found.edges)
    assert found.logarithmic == (totals[-1] + 1 > spread.FAR_APART * (totals[0] + 1))
    # A value on an edge may fall on either side of it by rounding.
    for place, edge in enumerate(found.edges[1:-1], 1):
        near = sum(abs(total - edge) <= 1e-6 * (1 + abs(edge)) for total in totals)
        assert abs(sum(found.counts[:place]) - sum(total < edge for total in totals)) <= near


def test_a_device_over_time(history: History) -> None:
    """Windows of the wanted length, by their ends, oldest first; what lies outside of the period is left out."""
    for start in range(0, 3 * MINUTE, 1000 * SECONDS):
        history.append(rows(start, [start // MINUTE + 1, 100]))
    assert spread.values(history, SIZES, "d0", 0, 3 * MINUTE) == [(MINUTE, 6), (2 * MINUTE, 12), (3 * MINUTE, 18)]
    assert spread.values(history, SIZES, "d0", MINUTE, 2 * MINUTE) == [(2 * MINUTE, 12)]
    worst = Measure((MESSAGE_SIZE, ""), 60, "maximum")
    assert spread.values(history, worst, "d0", 0, MINUTE) == [(MINUTE, 1)]
    assert spread.values(history, SIZES, "nobody", 0, 3 * MINUTE) == []


def test_reports_are_values_of_their_own(history: History) -> None:
    """A gauge that is judged report by report is shown report by report, and has no window to compare in."""
    history.append_data([Datum(time, 0, "a", "Temperature", "", time / 10) for time in (5, 7)])
    gauge = Measure(("Temperature", ""), 0, "maximum")
    assert spread.values(history, gauge, "a", 0, 10) == [(5, 0.5), (7, 0.7)]
    assert spread.distribution(history, gauge, "a", 10) is None


def test_nothing_is_known_of_a_window_without_rows(history: History) -> None:
    """A window that nobody sent anything in has no distribution."""
    assert spread.distribution(history, SIZES, "a", MINUTE) is None
