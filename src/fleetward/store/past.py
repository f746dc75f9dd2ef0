"""The metric history as the inputs of a kernel: one batch per step of time, with what began in it.

A stored window is counted whole at its start; a device with a count of 0 was connected. Blocks, and reads some hours at
a time.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetward.detect.inputs import Input, Report
from fleetward.detect.lint import Past
from fleetward.meter.batch import Batch, Cells, Column, Ids
from fleetward.meter.metrics import METRICS, Kind
from fleetward.model import Behavior, Millis, StaticCriterion, ValueKind
from fleetward.store.history import Arrays, History
from fleetward.store.history_schema import PARTS, is_wide

DAY = 86_400_000
DEFAULT_SECONDS = 300
READ_AT_ONCE = DAY // 8

_VIOLATES = {"less-than": ">=", "less-than-equals": ">", "greater-than": "<=", "greater-than-equals": "<"}


class PastInputs:
    """What the history holds of `columns` in [since, until), for devices with these integer ids by name.

    `durations` are those of the behaviours that will judge it.
    """

    def __init__(
        self,
        history: History,
        columns: Collection[Column],
        ids: Mapping[str, int],
        durations: Collection[int],
        since: Millis,
        until: Millis,
    ) -> None:
        self._history = history
        self._wide = sorted({metric for metric, dimension in columns if is_wide((metric, dimension))})
        self._others = sorted(set(columns) - {(metric, "") for metric in self._wide})
        numbers = {number: name for name, number in history.numbers().items() if name in ids}
        self._ids = {"thing": np.array(list(numbers)), "id": np.array([ids[name] for name in numbers.values()])}
        self._named = {ids[name]: name for name in numbers.values()}
        self._since, self._until = since, until
        self._numbers = 0
        self.kept = self._kept()
        grid = {seconds for windows in self.kept.values() for seconds in windows} | set(durations) | {DEFAULT_SECONDS}
        self._step = 1000 * math.gcd(*grid)
        self._covered = since

    def _kept(self) -> dict[Column, set[int]]:
        """In windows of how many seconds each column is there; 0 for values of reports."""
        kept: dict[Column, set[int]] = {}
        for metric in self._wide:
            wanted = f'SELECT DISTINCT seconds FROM window_values WHERE {_WITHIN} AND "{metric}.count" IS NOT NULL'  # noqa: S608
            found = self._query(wanted)
            kept[metric, ""] = {int(seconds) for seconds in found["seconds"]}
        for column in self._others:
            wanted = f"SELECT DISTINCT seconds FROM datapoints WHERE {_BEGINS_WITHIN} AND {_IS_COLUMN}"  # noqa: S608
            kept[column] = {int(seconds) for seconds in self._query(wanted, *column)["seconds"]}
        return {column: windows for column, windows in kept.items() if windows}

    def __iter__(self) -> Iterator[Input]:
        for start in range(self._since, self._until, READ_AT_ONCE):
            end, steps = min(start + READ_AT_ONCE, self._until), _Steps(self._step)
            self._read_windows(steps, start, end)
            for column in self._others:
                self._read_datapoints(steps, column, start, end)
            yield from self._inputs(steps, start, end)

    def _inputs(self, steps: _Steps, begin: Millis, end: Millis) -> Iterator[Input]:
        """The steps of what was read; time that no window covers is a gap, as it was when the server was down."""
        starts = sorted(steps.cells.keys() | steps.reports.keys() | steps.present.keys())
        yield from self._idle(-(-begin // self._step) * self._step, starts[0] if starts else end)
        for start, following in pairwise([*starts, end]):
            self._covered = max(self._covered, start + self._step, steps.ends.get(start, 0))
            yield from steps.reports.get(start, ())
            yield self._batch(start, steps.cells.get(start, {}), steps.present.get(start, ()))
            yield from self._idle(start + self._step, following)

    def _idle(self, start: Millis, until: Millis) -> Iterator[Input]:
        """Steps in which nothing begins, within windows that go on."""
        for step in range(start, min(until, self._covered), self._step):
            yield self._batch(step, {}, ())

    def _batch(self, start: Millis, cells: Mapping[Column, Cells], present: Collection[Ids]) -> Batch:
        there = np.unique(np.concatenate([*present, np.empty(0, dtype=np.int64)]))
        mentioned = {int(id) for cell in cells.values() for id in cell.device[cell.device < 0]}
        mentioned.update(int(id) for id in there[there < 0])
        self._numbers += 1
        names = {id: self._named[id] for id in mentioned}
        return Batch("past", self._numbers, start, start + self._step, names, there, there, cells)

    # --- reading ------------------------------------------------------------------------------------------------------

    def _read_windows(self, steps: _Steps, start: Millis, end: Millis) -> None:
        """The wide rows."""
        if not self._wide:
            return
        columns = ", ".join(f'"{metric}.{part}"' for metric in self._wide for part in PARTS)
        query = f"SELECT start, seconds, id, {columns} FROM window_values JOIN ids USING (thing) WHERE {_WITHIN}"  # noqa: S608
        found = _by_start(self._query(query, start=start, end=end))
        starts = found["start"]
        for first, last in _runs(starts):
            group = {name: column[first:last] for name, column in found.items()}
            steps.window(int(starts[first]), int(group["seconds"].max()))
            for metric in self._wide:
                self._add_wide(steps, metric, group)

    def _add_wide(self, steps: _Steps, metric: str, group: Arrays) -> None:
        start, counts = int(group["start"][0]), np.ma.asarray(group[f"{metric}.count"])
        has = ~np.ma.getmaskarray(counts)
        observed = has & (counts.filled(0) > 0)
        if observed.any():
            numbers = (np.ma.getdata(group[f"{metric}.{part}"])[observed].astype(np.int64) for part in PARTS)
            count, total, low, high = numbers
            steps.add(start, (metric, ""), Cells(group["id"][observed], count, total, low, high))
        if (idle := has & ~observed).any():
            steps.present[steps.at(start)].append(group["id"][idle])

    def _read_datapoints(self, steps: _Steps, column: Column, start: Millis, end: Millis) -> None:
        """Values that have rows of their own: of windows, which begin before their stamp, and of reports."""
        metric, dimension = column
        query = (
            "SELECT stamp, seconds, id, total, minimum, maximum, observations AS count, elements"  # noqa: S608
            f" FROM datapoints JOIN ids USING (thing) WHERE {_BEGINS_WITHIN} AND {_IS_COLUMN} ORDER BY stamp, seconds"
        )
        found = self._query(query, metric, dimension, start=start, end=end)
        for first, last in _runs(found["stamp"] * 100_000 + found["seconds"]):
            group = {name: values[first:last] for name, values in found.items()}
            stamp, seconds = int(group["stamp"][0]), int(group["seconds"][0])
            if seconds:
                steps.window(stamp - 1000 * seconds, seconds)
                steps.add(stamp - 1000 * seconds, column, _cells(metric, group))
            else:
                self._add_reports(steps, column, stamp, group)

    def _add_reports(self, steps: _Steps, column: Column, stamp: Millis, group: Arrays) -> None:
        for row, id in enumerate(group["id"].tolist()):
            elements = _elements(group, row)
            value = _number(column[0], group["total"][row]) if elements is None else elements
            self._numbers += 1
            steps.reports[steps.at(stamp)].append(Report(stamp, id, self._named[id], self._numbers, {column[0]: value}))

    def _query(
        self, query: str, *parameters: Any, start: Millis | None = None, end: Millis | None = None
    ) -> dict[str, NDArray[Any]]:
        period = [self._since if start is None else start, self._until if end is None else end]
        return self._history.columns(query, [*period, *parameters], ids=self._ids)


_WITHIN = "start >= ? AND start < ?"
_IS_COLUMN = "metric = ? AND dimension = ?"
_BEGINS_WITHIN = "stamp - 1000 * seconds >= ? AND stamp - 1000 * seconds < ?"


class _Steps:
    """What begins in each step of time."""

    def __init__(self, step: Millis) -> None:
        self._step = step
        self.cells: defaultdict[Millis, dict[Column, Cells]] = defaultdict(dict)
        self.present: defaultdict[Millis, list[Ids]] = defaultdict(list)
        self.reports: defaultdict[Millis, list[Report]] = defaultdict(list)
        self.ends: dict[Millis, Millis] = {}

    def at(self, time: Millis) -> Millis:
        return time - time % self._step

    def window(self, start: Millis, seconds: int) -> None:
        """Time is known to have been observed from `start` on."""
        step = self.at(start)
        self.ends[step] = max(self.ends.get(step, 0), start + 1000 * seconds)

    def add(self, start: Millis, column: Column, cells: Cells) -> None:
        self.cells[self.at(start)][column] = cells


def _by_start(found: Arrays) -> Arrays:
    """The rows by the start of their window, as they nearly always are: cheaper here than in the query."""
    starts = found["start"]
    if (starts[1:] >= starts[:-1]).all():
        return found
    order = np.argsort(starts, kind="stable")
    return {name: column[order] for name, column in found.items()}


def _runs(keys: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """The stretches of equal keys, as (first, behind the last)."""
    return pairwise([*np.flatnonzero(np.diff(keys, prepend=-1)).tolist(), len(keys)])


def _cells(metric: str, group: Arrays) -> Cells:
    fraction = metric not in METRICS
    numbers = [np.ma.getdata(group[part]) for part in PARTS]
    count, total, low, high = (numbers[0].astype(np.int64), *numbers[1:])
    if not fraction:
        total, low, high = (part.astype(np.int64) for part in (total, low, high))
    items = None
    if metric in METRICS and METRICS[metric].kind is Kind.SET:
        items = [_elements(group, row) or () for row in range(len(count))]
    return Cells(group["id"], count, total, low, high, items)


def _elements(group: Arrays, row: int) -> tuple[Any, ...] | None:
    text = group["elements"][row]
    return tuple(json.loads(text)) if isinstance(text, str) else None


def _number(metric: str, value: float) -> float:
    return int(value) if metric in METRICS and METRICS[metric].value is ValueKind.COUNT else float(value)


def extremes(history: History, behavior: Behavior, since: Millis, until: Millis) -> Past | None:
    """What lint wants to know of a static behaviour on a metric of the wide rows; None for any other."""
    criterion, metric = behavior.criterion, behavior.metric
    if not isinstance(criterion, StaticCriterion) or not is_wide(behavior.column):
        return None
    part = "total"
    if METRICS[metric].kind is Kind.SIZE:
        part = "maximum" if criterion.operator.is_upper_bound else "minimum"
    column, violates = f'"{metric}.{part}"', _VIOLATES[criterion.operator]
    found = history.columns(
        f"SELECT count(*) AS count, min({column}) AS low, max({column}) AS high,"  # noqa: S608
        f" count(*) FILTER (WHERE {column} {violates} ?) AS flagged, min(start) AS first"
        f" FROM window_values WHERE {_WITHIN} AND seconds = ? AND {column} IS NOT NULL",
        [criterion.bound, since, until, behavior.duration_seconds],
    )
    count, low, high, flagged, first = (column[0] for column in found.values())
    return Past(int(count), int(low), int(high), int(flagged), (until - int(first)) / DAY) if count else None
