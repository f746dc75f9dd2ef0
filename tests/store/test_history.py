"""The metric history: one row per window and thing, whatever is appended twice, killed or read meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from contextlib import closing
from itertools import product
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward.detect.counts import Counts
from fleetward.detect.outcome import Datum, MetricRows, WindowRows
from fleetward.meter.batch import Cells
from fleetward.meter.metrics import BASIC, MESSAGE_SIZE, MESSAGES_SENT, METRICS, TOPICS_TRIED, UNDELIVERABLE, Kind
from fleetward.store.history import History, MetricValue

WINDOW = 300_000


def rows(start: int, things: dict[str, int | None], metric: str = MESSAGE_SIZE, seconds: int = 300) -> WindowRows:
    """One window in which each thing sent two messages of that many bytes; None: it has no value."""
    has = np.array([size is not None for size in things.values()])
    size = np.array([value or 0 for value in things.values()])
    return WindowRows(start, seconds, tuple(things), {metric: MetricRows(has, 0 * size + 2, 2 * size, size, size)})


@pytest.fixture
def history(tmp_path):
    history = History.open(tmp_path / "history.duckdb")
    yield history
    history.close()


def test_values_come_in_order_with_the_windows_end(history):
    """Values are told by the end of their window, oldest first, within both bounds."""
    for number in (2, 0, 1):
        history.append(rows(number * WINDOW, {"a": 10 + number, "b": 99}))
    assert history.values("a", MESSAGE_SIZE, WINDOW, 2 * WINDOW) == [
        MetricValue(WINDOW, 300, 20, 10, 10, 2),
        MetricValue(2 * WINDOW, 300, 22, 11, 11, 2),
    ]
    assert history.things() == ["a", "b"]


def test_no_value_is_no_row_and_not_a_zero(history):
    """A thing without a value of a metric tells none; a counter of 0 is told."""
    history.append(rows(0, {"a": None, "b": 0}))
    assert history.values("a", MESSAGE_SIZE, 0, WINDOW) == []
    assert [value.total for value in history.values("b", MESSAGE_SIZE, 0, WINDOW)] == [0]
    assert history.values("b", MESSAGES_SENT, 0, WINDOW) == []
    assert history.values("b", 'nonsense"; DROP TABLE windows; --', 0, WINDOW) == []


def test_the_same_window_twice_is_one(history):
    """A replay replaces what it wrote before; windows of another duration stay."""
    history.append(rows(0, {"a": 10}, seconds=10))
    for _ in range(3):
        history.append(rows(0, {"a": 10, "b": 5}))
    assert [value.duration_seconds for value in history.values("a", MESSAGE_SIZE, 0, WINDOW)] == [10, 300]


def test_two_identities_of_a_name_are_one_row(history):
    """In the window in which a name was registered its two rows are merged."""
    size = np.array([10, 30])
    has = np.array([True, True])
    history.append(WindowRows(0, 300, ("a", "a"), {MESSAGE_SIZE: MetricRows(has, size // 10, size, size, size)}))
    assert history.values("a", MESSAGE_SIZE, 0, WINDOW) == [MetricValue(WINDOW, 300, 40, 10, 30, 4)]


def test_pruning_forgets_old_windows(history):
    """What started before the given time is gone, the rest stays."""
    for number in range(4):
        history.append(rows(number * WINDOW, {"a": 1}))
    history.prune(2 * WINDOW)
    assert [value.timestamp for value in history.values("a", MESSAGE_SIZE, 0, 10 * WINDOW)] == [3 * WINDOW, 4 * WINDOW]


def test_a_new_metric_gets_its_columns(tmp_path):
    """A file written before a metric existed takes that metric after the next opening, and keeps its rows."""
    path = tmp_path / "history.duckdb"
    with duckdb.connect(str(path)) as old:
        old.execute("CREATE TABLE windows (start BIGINT, seconds INTEGER, thing VARCHAR)")
        old.execute("INSERT INTO windows VALUES (0, 300, 'old')")
    history = History.open(path)
    history.append(rows(WINDOW, {"new": 7}))
    assert history.things() == ["new", "old"]
    for metric in METRICS:
        assert history.values("old", metric, 0, 10 * WINDOW) == []
    history.close()


def test_a_file_with_names_in_its_rows(tmp_path):
    """A file whose rows still name their things is brought up to date when it opens, and keeps every value."""
    path = tmp_path / "history.duckdb"
    with duckdb.connect(str(path)) as old:
        column = f'"{MESSAGE_SIZE}.'
        parts = ", ".join(f'{column}{part}" BIGINT' for part in ("count", "total", "minimum", "maximum"))
        old.execute(f"CREATE TABLE windows (start BIGINT, seconds INTEGER, thing VARCHAR, {parts})")
        old.execute("INSERT INTO windows VALUES (0, 300, 'a', 2, 20, 9, 11), (0, 300, 'b', 1, 5, 5, 5)")
        old.execute(
            "CREATE TABLE datapoints (stamp BIGINT, thing VARCHAR, metric VARCHAR, dimension VARCHAR,"
            " seconds INTEGER, total DOUBLE, minimum DOUBLE, maximum DOUBLE, observations BIGINT, elements VARCHAR)"
        )
        old.execute("INSERT INTO datapoints VALUES (7, 'c', 'cpu', '', 0, 0.5, 0.5, 0.5, 1, NULL)")
    for _ in range(2):
        history = History.open(path)
        assert history.things() == ["a", "b", "c"]
        assert history.values("a", MESSAGE_SIZE, 0, WINDOW) == [MetricValue(WINDOW, 300, 20, 9, 11, 2)]
        assert [value.total for value in history.values("c", "cpu", 0, WINDOW)] == [0.5]
        history.close()


def test_a_file_with_four_columns_for_a_counter(tmp_path):
    """A file that kept plain counters in four columns, or as datapoints, keeps every value and needs one column."""
    path = tmp_path / "history.duckdb"
    with duckdb.connect(str(path)) as old:
        parts = ", ".join(f'"{MESSAGES_SENT}.{part}" BIGINT' for part in ("count", "total", "minimum", "maximum"))
        old.execute("CREATE TABLE names AS SELECT 1 AS number, 'a' AS name")
        old.execute(f"CREATE TABLE windows (start BIGINT, seconds INTEGER, thing INTEGER, {parts})")
        old.execute("INSERT INTO windows VALUES (0, 300, 1, 3, 3, 1, 1), (300000, 300, 1, 0, 0, 0, 0)")
        old.execute(
            "CREATE TABLE datapoints AS SELECT 600000::BIGINT AS stamp, 1 AS thing, metric, '' AS dimension,"
            " 600 AS seconds, 5.0::DOUBLE AS total, 1.0::DOUBLE AS minimum, 1.0::DOUBLE AS maximum,"
            " 5::BIGINT AS observations, NULL::VARCHAR AS elements FROM (VALUES (?), (?)) AS kept(metric)",
            [UNDELIVERABLE, TOPICS_TRIED],
        )
    for _ in range(2):
        history = History.open(path)
        assert history.values("a", MESSAGES_SENT, 0, 9 * WINDOW) == [
            MetricValue(WINDOW, 300, 3, 1, 1, 3),
            MetricValue(2 * WINDOW, 300, 0, 0, 0, 0),
        ]
        for metric in (UNDELIVERABLE, TOPICS_TRIED):
            assert history.values("a", metric, 0, 9 * WINDOW) == [MetricValue(600_000, 600, 5, 1, 1, 5)]
        history.close()
    with duckdb.connect(str(path)) as file:
        columns = {row[0] for row in file.execute("SELECT column_name FROM (DESCRIBE windows)").fetchall()}
        assert {column for column in columns if column.startswith(MESSAGES_SENT)} == {f"{MESSAGES_SENT}.count"}
        assert file.execute("SELECT metric FROM datapoints").fetchall() == [(TOPICS_TRIED,)]


NUMERIC = sorted(name for name, metric in METRICS.items() if metric.kind is not Kind.SET)


def counted(metric: str, numbers: list[int | None]) -> MetricRows:
    """What the kernel hands over of three things with so many observations; None: no value."""
    counts, has = Counts(3, METRICS[metric]), np.array([number is not None for number in numbers])
    count = np.array([number or 0 for number in numbers])
    total = count if counts.is_plain else 7 * count
    counts.add(np.arange(3), Cells(np.arange(3), count, total, 0 * count + 3, 0 * count + 9))
    return counts.rows(has, np.arange(3))


@given(
    st.lists(
        st.dictionaries(st.sampled_from(NUMERIC), st.lists(st.none() | st.integers(0, 2**40), min_size=3, max_size=3)),
        max_size=4,
    )
)
@settings(max_examples=25)
def test_what_the_kernel_counts_is_told_again(windows):
    """Whatever metrics a window has, wide or not, each value is told with all its parts, as the kernel counted it."""
    names, told = ("a", "b", "c"), defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, closing(History.open(Path(folder) / "history.duckdb")) as history:
        for number, window in enumerate(windows):
            columns = {(metric, ""): counted(metric, numbers) for metric, numbers in window.items()}
            for (metric, _), rows in columns.items():
                for slot in np.flatnonzero(rows.has):
                    parts = (part[slot] for part in (rows.total, rows.minimum, rows.maximum, rows.count))
                    told[names[slot], metric].append(MetricValue((number + 1) * WINDOW, 300, *parts))
            basic = {metric: columns.pop((metric, "")) for metric in BASIC if (metric, "") in columns}
            history.append(WindowRows(number * WINDOW, 300, names, basic, columns))
        for name, metric in product(names, NUMERIC):
            assert history.values(name, metric, 0, 9 * WINDOW) == told[name, metric]


def test_single_values_replace_themselves(history):
    """Many values are stored at once, lists and numbers alike; the same ones again replace what was there."""
    data = [Datum(WINDOW, 300, f"thing-{n}", "aws:source-ip-address", "", (f"192.0.2.{n}",)) for n in range(50)]
    data += [Datum(WINDOW, 0, f"thing-{n}", "cpu", "", n / 4) for n in range(50)]
    for _ in range(2):
        history.append_data(data)
    assert history.values("thing-7", "aws:source-ip-address", 0, WINDOW) == [
        MetricValue(WINDOW, 300, 1, 1, 1, 1, ("192.0.2.7",))
    ]
    assert history.values("thing-7", "cpu", 0, WINDOW) == [MetricValue(WINDOW, 0, 1.75, 1.75, 1.75, 1)]
    assert len(history.things()) == 50


def test_pruning_forgets_names(history):
    """A thing of which nothing is left is not known any more; one that comes back later is."""
    history.append(rows(0, {"gone": 1, "stays": 1}))
    history.append(rows(WINDOW, {"stays": 2}))
    history.prune(WINDOW)
    assert history.things() == ["stays"]
    history.append(rows(2 * WINDOW, {"gone": 3, "new": 4}))
    assert history.things() == ["gone", "new", "stays"]
    assert [value.total for value in history.values("gone", MESSAGE_SIZE, 0, 9 * WINDOW)] == [6]
    assert [value.total for value in history.values("stays", MESSAGE_SIZE, 0, 9 * WINDOW)] == [4]


def test_the_files_belong_to_the_owner_only(tmp_path):
    """The file and its log are 0600, whatever the umask."""
    before = os.umask(0)
    try:
        history = History.open(tmp_path / "history.duckdb")
        history.append(rows(0, {"a": 1}))
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    history.close()


def test_a_killed_process_keeps_what_was_appended(tmp_path):
    """After SIGKILL the file opens again and has every window whose append returned."""
    code = (
        "import os, signal, sys; from pathlib import Path; import numpy as np\n"
        "from fleetward.store.history import History\n"
        "from fleetward.detect.outcome import Datum, MetricRows, WindowRows\n"
        "history = History.open(Path(sys.argv[1])); one = np.ones(1000, dtype=np.int64)\n"
        "names = tuple(f'thing-{number}' for number in range(1000))\n"
        "for number in range(20):\n"
        "    rows = MetricRows(one > 0, one, one, one, one)\n"
        "    history.append(WindowRows(number * 300_000, 300, names, {'aws:message-byte-size': rows}))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "history.duckdb"
    killed = subprocess.run([sys.executable, "-c", code, path], check=False)
    assert killed.returncode == -signal.SIGKILL
    history = History.open(path)
    assert len(history.values("thing-7", MESSAGE_SIZE, 0, 100 * WINDOW)) == 20
    assert len(history.things()) == 1000
    history.close()


def test_readers_read_while_the_writer_writes(history):
    """One thread appends while others read: nobody fails, and nobody sees half a window."""
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(30):
                totals = [value.total for value in history.values("a", MESSAGE_SIZE, 0, 10**9)]
                assert totals == [2] * len(totals)
        except BaseException as failure:
            failures.append(failure)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(30):
        history.append(rows(number * WINDOW, {"a": 1, "b": 2}))
        if number % 10 == 9:
            history.prune((number - 5) * WINDOW)
    for reader in readers:
        reader.join()
    assert failures == []
