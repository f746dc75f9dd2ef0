"""How fast the metric history is: storing a window, reading one thing's two weeks, replaying them all.

    .venv/bin/python benchmarks/history.py              10,000 things, 14 days of windows of 300 s
    .venv/bin/python benchmarks/history.py --things 1000 --days 2 --json FILE

The two weeks (40 million rows) are written in bulk into the product's own tables, in a temporary folder that is removed
at the end (about half a GB; `--folder` says where); everything that is measured is the product's own function. The
replayed fleet is healthy but for 10 devices, whose messages become large on the last day.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import numpy as np

from fleetward.detect.backtest import backtest
from fleetward.detect.inputs import Enroll, Target, WatchedProfile
from fleetward.detect.outcome import Datum, MetricRows, WindowRows
from fleetward.meter.metrics import BASIC, IDLE_CONNECTIONS, MESSAGE_SIZE, MESSAGES_SENT, UNDELIVERABLE
from fleetward.model import Behavior, Operator, PercentileCriterion
from fleetward.store.history import History
from fleetward.store.past import DAY, PastInputs

WINDOW = 300_000
ROUNDS = 25
BAD = 10

GOALS = {"append_ms": 20.0, "values_ms": 60.0, "backtest_s": 15.0}
"""For 10,000 things and 14 days, at most."""


def name(number: int) -> str:
    return f"thing-{number:07}"


# --- two weeks, in bulk -----------------------------------------------------------------------------------------------


def fill(path: Path, things: int, days: Sequence[range]) -> None:
    """Writes what `things` devices did in those windows (numbers of windows since the epoch, day by day): about 30
    messages of 25 or 26 bytes each, and nothing unusual before the last day.
    """
    History.open(path).close()
    with duckdb.connect(str(path), config={"threads": "2", "memory_limit": "1GB"}) as connection:
        connection.execute(
            "INSERT INTO names SELECT range, format('thing-{:07d}', range) FROM range(1, ? + 1)", [things]
        )
        for day in days:
            connection.execute(_one_day(), [day.start, len(day), things, day == days[-1]])
        connection.execute("CHECKPOINT")


def _one_day() -> str:
    values = {f"{metric}.count": "sent" for metric in BASIC}
    values |= {f"{MESSAGE_SIZE}.total": "sent * large", f"{MESSAGE_SIZE}.minimum": "large - 1"}
    values |= {f"{MESSAGE_SIZE}.maximum": "large"}
    columns = ", ".join(f'"{column}"' for column in values)
    return (
        f"INSERT INTO windows (start, seconds, thing, {columns})"
        f" SELECT number * {WINDOW}, 300, thing, {', '.join(values.values())} FROM ("
        " SELECT ?::BIGINT + step.range AS number, thing.range AS thing,"
        " 29 + (hash(step.range, thing.range) % 3)::BIGINT AS sent,"
        f" CASE WHEN bad AND thing.range <= {BAD} THEN 3021 ELSE 26 END AS large"
        " FROM range(?) AS step, range(1, ? + 1) AS thing, (SELECT ?::BOOLEAN AS bad)"
        " ORDER BY step.range, thing.range)"
    )


# --- measuring --------------------------------------------------------------------------------------------------------


def seconds(act: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def a_window(names: tuple[str, ...], start: int) -> WindowRows:
    """Eight metrics of every thing."""
    size, sent = np.random.default_rng(start).integers(20, 3_000, (2, len(names)))
    has, extreme = sent > 0, np.ones(len(names), dtype=np.int8)
    counter, sizes = MetricRows(has, sent, sent, extreme, extreme), MetricRows(has, sent, sent * size, size, size + 1)
    metrics = {**dict.fromkeys(BASIC, counter), MESSAGE_SIZE: sizes}
    return WindowRows(start, 300, names, metrics, {(UNDELIVERABLE, ""): counter, (IDLE_CONNECTIONS, ""): counter})


def appends(history: History, names: tuple[str, ...], after: int) -> dict[str, float]:
    windows, lists, reports = [], [], []
    for turn in range(ROUNDS):
        rows = a_window(names, after + turn * WINDOW)
        addresses = [Datum(rows.start, 300, one, "aws:source-ip-address", "", ("192.0.2.1",)) for one in names]
        report = Datum(rows.start + 1, 0, names[turn], "aws:listening-tcp-ports", "", (22, 80))
        windows.append(seconds(lambda rows=rows: history.append(rows)))
        lists.append(seconds(lambda addresses=addresses: history.append_data(addresses)))
        reports.append(seconds(lambda report=report: history.append_data([report])))
    return {
        "append_ms": statistics.median(windows) * 1000,
        "append_lists_ms": statistics.median(lists) * 1000,
        "append_report_ms": statistics.median(reports) * 1000,
    }


def one_things_values(history: History, things: int, until: int) -> float:
    spent = []
    for turn in range(ROUNDS):
        thing, metric = name(1 + turn * things // ROUNDS), (MESSAGE_SIZE, MESSAGES_SENT)[turn % 2]
        spent.append(seconds(lambda thing=thing, metric=metric: history.values(thing, metric, 0, until)))
    return statistics.median(spent) * 1000


def replayed(history: History, things: int, until: int) -> tuple[float, int]:
    """Seconds of a back-test of the story's profile over everything, and how many devices it names."""
    rule = PercentileCriterion(Operator.LESS_THAN_EQUALS, 5_000, 10.0)
    profile = WatchedProfile("P", (Behavior("P", "Size", MESSAGE_SIZE, rule, 300),), targets=(Target("all"),))
    fleet = [Enroll(0, number, name(number)) for number in range(1, things + 1)]
    named: list[int] = []

    def act() -> None:
        past = PastInputs(history, {(MESSAGE_SIZE, "")}, {one.name: one.id for one in fleet}, {300}, 0, until)
        named.append(len(backtest(profile, fleet, past, 0, until, past.kept, isolates=True).devices))

    return seconds(act), named[0]


def measure(folder: Path, things: int, days: int) -> dict[str, float]:
    path, until, of_day = folder / "history.duckdb", days * DAY, DAY // WINDOW
    written = seconds(lambda: fill(path, things, [range(day * of_day, (day + 1) * of_day) for day in range(days)]))
    print(f"{things:,} things, {days} days written in {written:.0f} s: {path.stat().st_size / 1e6:,.0f} MB", flush=True)
    history = History.open(path)
    found = {"things": things, "days": days, "file_mb": path.stat().st_size / 1e6}
    found["values_ms"] = one_things_values(history, things, until)
    found["backtest_s"], found["backtest_devices"] = replayed(history, things, until)
    found |= appends(history, tuple(name(number) for number in range(1, things + 1)), until)
    history.close()
    return found


LINES: Sequence[tuple[str, str]] = (
    ("append_ms", "append of one window, 8 metrics of every thing: {:.1f} ms"),
    ("append_lists_ms", "append of a list for every thing: {:.1f} ms"),
    ("append_report_ms", "append of one report's value: {:.1f} ms"),
    ("values_ms", "one metric of one thing over all days: {:.0f} ms"),
    ("backtest_s", "back-test of one profile over everything: {:.1f} s"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--things", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        found = measure(Path(folder), options.things, options.days)
    for key, text in LINES:
        goal = GOALS.get(key)
        met = "" if goal is None else f", goal {goal:.0f}: {'reached' if found[key] <= goal else 'MISSED'}"
        print(text.format(found[key]) + met)
    print(f"the back-test names {found['backtest_devices']} devices, of which {BAD} went bad")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
