"""The metric history in DuckDB: one wide row per (window, duration, thing) for what is counted for every device.

Every other value in use has a row of its own in `datapoints`: by the end of its window, or the time of its report.
Both know a thing by its number in `names`: finding one thing's rows among millions compares integers.

A crash leaves a consistent file: DuckDB logs a commit ahead in `<file>.wal` and replays that when it opens. The same
window may be appended again, as a replay after a crash does; it then replaces what was there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import duckdb
import numpy as np
from numpy.typing import NDArray

from fleetward.detect.outcome import Datum, MetricRows, WindowRows
from fleetward.meter.batch import Column, Ids
from fleetward.meter.metrics import METRICS, Kind
from fleetward.model import Millis, Value
from fleetward.store.history_schema import NAME_NEW_ONES, PARTS, WIDE, is_wide, prepare

MAX_DURATION = 86_400
"""Seconds of the longest window."""

_MERGED = {"count": "sum", "total": "sum", "minimum": "min", "maximum": "max"}
_NUMBER_OF = "thing = (SELECT number FROM names WHERE name = ?)"
_NUMBERS = "SELECT place, number FROM arrived JOIN names USING (name)"
_FORGET_NAMES = (
    "DELETE FROM names WHERE number NOT IN (SELECT thing FROM windows UNION ALL SELECT thing FROM datapoints)"
)
_REPLACE_DATA = (
    "DELETE FROM datapoints AS old USING arrived AS new WHERE old.stamp BETWEEN ? AND ? AND old.stamp = new.stamp"
    " AND old.thing = new.thing AND old.metric = new.metric AND old.dimension = new.dimension"
    " AND old.seconds = new.seconds"
)
_CONFIG = {
    "threads": "2",
    "memory_limit": "512MB",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_access": "false",
}

Arrays: TypeAlias = Mapping[str, NDArray[Any]]


class MetricValue(NamedTuple):
    """One metric of one thing over the window that ends at `timestamp`; the value of a counter is its `total`.

    `duration_seconds` is 0 for a report's value. `elements` are those of a list metric.
    """

    timestamp: Millis
    duration_seconds: int
    total: float
    minimum: float
    maximum: float
    observations: int
    elements: tuple[Any, ...] | None = None

    def shown(self, metric: str) -> Value:
        """What the API shows: the elements, a gauge's highest level, or the total."""
        if self.elements is not None:
            return self.elements
        is_gauge = metric not in METRICS or METRICS[metric].kind is Kind.GAUGE
        return self.maximum if is_gauge else self.total


class History:
    """Calls block. One thread may append and prune while others read: each call has a cursor of its own."""

    def __init__(self, path: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self._path = path
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> History:
        """Opens the file, made readable by its owner only and brought up to date."""
        connection = duckdb.connect(str(path), config=dict(_CONFIG))
        prepare(connection)
        history = cls(path, connection)
        history._protect()
        return history

    def append(self, rows: WindowRows) -> None:
        """Stores one window; a second row of one name, from its life as another identity, is added to the first."""
        columns = {(metric, ""): parts for metric, parts in rows.metrics.items()} | dict(rows.columns)
        metrics = {column[0]: parts for column, parts in columns.items() if is_wide(column)}
        window = [rows.start, rows.duration_seconds]
        with self._connection.cursor() as cursor:
            cursor.begin()
            things = _numbered(cursor, rows.names)
            cursor.execute("DELETE FROM windows WHERE start = ? AND seconds = ?", window)
            if rows.names and metrics:
                _append_wide(cursor, window, things, metrics)
            for column, parts in columns.items():
                if not is_wide(column):
                    _append_column(cursor, window, things, column, parts)
            cursor.commit()
        self._protect()

    def append_data(self, data: Sequence[Datum]) -> None:
        """Stores single values; the same value again, as a replay brings it, replaces what was there."""
        if not data:
            return
        stamps = [datum.time for datum in data]
        with self._connection.cursor() as cursor:
            cursor.begin()
            things = _numbered(cursor, [datum.thing for datum in data])
            cursor.register("arrived", _data_table(data, things))
            cursor.execute(_REPLACE_DATA, [min(stamps), max(stamps)])
            cursor.execute("INSERT INTO datapoints SELECT * FROM arrived")
            cursor.commit()
        self._protect()

    def values(self, thing: str, metric: str, start: Millis, end: Millis, dimension: str = "") -> list[MetricValue]:
        """The values of one thing whose window ended in [start, end], oldest first; `dimension` as columns have it."""
        if not is_wide((metric, dimension)):
            return self._datapoints(thing, metric, start, end, dimension)
        columns = ", ".join(f'"{metric}.{part}"' for part in ("total", "minimum", "maximum", "count"))
        found = self._all(
            f"SELECT start + 1000 * seconds AS stamp, seconds, {columns} FROM window_values WHERE {_NUMBER_OF}"  # noqa: S608
            f' AND start BETWEEN ? AND ? AND stamp BETWEEN ? AND ? AND "{metric}.count" IS NOT NULL'
            " ORDER BY stamp, seconds",
            [thing, start - 1000 * MAX_DURATION, end, start, end],
        )
        return [MetricValue(*row) for row in found]

    def _datapoints(self, thing: str, metric: str, start: Millis, end: Millis, dimension: str) -> list[MetricValue]:
        found = self._all(
            "SELECT stamp, seconds, total, minimum, maximum, observations, elements FROM datapoints"  # noqa: S608
            f" WHERE {_NUMBER_OF} AND metric = ? AND dimension = ? AND stamp BETWEEN ? AND ? ORDER BY stamp, seconds",
            [thing, metric, dimension, start, end],
        )
        return [_metric_value(metric, *row) for row in found]

    def things(self) -> list[str]:
        """The names of all things that have a row, sorted."""
        return list(self.numbers())

    def numbers(self) -> dict[str, int]:
        """The same, with the number that each has in the tables."""
        return dict(self._all("SELECT name, number FROM names ORDER BY name"))

    def prune(self, before: Millis) -> None:
        """Forgets the windows that started before that time."""
        with self._connection.cursor() as cursor:
            cursor.begin()
            cursor.execute("DELETE FROM windows WHERE start < ?", [before])
            cursor.execute("DELETE FROM datapoints WHERE stamp < ?", [before])
            cursor.execute(_FORGET_NAMES)
            cursor.commit()

    def columns(self, query: str, parameters: Iterable[Any], **tables: Arrays) -> dict[str, NDArray[Any]]:
        """The columns of a query's answer, masked where there is no value; `tables` can be joined under their names."""
        with self._connection.cursor() as cursor:
            for name, arrays in tables.items():
                cursor.register(name, arrays)
            return dict(cursor.execute(query, list(parameters)).fetchnumpy())

    def close(self) -> None:
        self._connection.close()

    def _all(self, query: str, parameters: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            return cursor.execute(query, list(parameters)).fetchall()

    def _protect(self) -> None:
        # DuckDB makes its files, and the log anew after each checkpoint, with the process's umask.
        for path in (self._path, self._path.with_name(self._path.name + ".wal")):
            if path.exists():
                os.chmod(path, 0o600)


def _numbered(cursor: duckdb.DuckDBPyConnection, names: Sequence[str]) -> Ids:
    """The number of each name; new ones get one."""
    cursor.register("arrived", {"name": np.array(names, dtype=object), "place": np.arange(len(names))})
    found = cursor.execute(_NUMBERS).fetchnumpy()
    if len(found["place"]) < len(names):
        cursor.execute(NAME_NEW_ONES)
        found = cursor.execute(_NUMBERS).fetchnumpy()
    numbers = np.empty(len(names), dtype=np.int64)
    numbers[found["place"]] = found["number"]
    return numbers


def _append_wide(
    cursor: duckdb.DuckDBPyConnection, window: Sequence[int], things: Ids, metrics: Mapping[str, MetricRows]
) -> None:
    twice = len(np.unique(things)) < len(things)
    targets = ", ".join(f'"{metric}.{part}"' for metric in metrics for part in WIDE[metric])
    values = ", ".join(_value(metric, part, merged=twice) for metric in metrics for part in WIDE[metric])
    cursor.register("arrived", _wide_table(things, metrics))
    cursor.execute(
        f"INSERT INTO windows (start, seconds, thing, {targets})"  # noqa: S608 - names from METRICS only
        f" SELECT ?, ?, thing, {values} FROM arrived{' GROUP BY thing' if twice else ''}",
        window,
    )


def _append_column(
    cursor: duckdb.DuckDBPyConnection, window: Sequence[int], things: Ids, column: Column, parts: MetricRows
) -> None:
    (start, seconds), (metric, dimension) = window, column
    key = [start + 1000 * seconds, metric, dimension, seconds]
    cursor.execute("DELETE FROM datapoints WHERE stamp = ? AND metric = ? AND dimension = ? AND seconds = ?", key)
    if parts.has.any():
        numbers = {part: getattr(parts, part)[parts.has] for part in PARTS}
        cursor.register("arrived", {"thing": things[parts.has], **numbers})
        cursor.execute(
            "INSERT INTO datapoints SELECT ?, thing, ?, ?, ?, total, minimum, maximum, count, NULL FROM arrived", key
        )


def _data_table(data: Sequence[Datum], things: Ids) -> Arrays:
    """In the order of the table's columns."""
    numbers = np.array([len(one.value) if isinstance(one.value, tuple) else one.value for one in data], np.float64)
    listed = [json.dumps(one.value) if isinstance(one.value, tuple) else None for one in data]
    return {
        "stamp": np.array([one.time for one in data], np.int64),
        "thing": things,
        "metric": np.array([one.metric for one in data], object),
        "dimension": np.array([one.dimension for one in data], object),
        "seconds": np.array([one.duration_seconds for one in data], np.int32),
        **dict.fromkeys(("total", "minimum", "maximum"), numbers),
        "observations": np.ones(len(data), np.int64),
        "elements": np.array(listed, object),
    }


def _metric_value(
    metric: str, stamp: Millis, seconds: int, total: float, low: float, high: float, count: int, elements: str | None
) -> MetricValue:
    if metric in METRICS:  # only custom metrics have fractions
        total, low, high = int(total), int(low), int(high)
    listed = None if elements is None else tuple(json.loads(elements))
    return MetricValue(stamp, seconds, total, low, high, count, listed)


def _value(metric: str, part: str, merged: bool) -> str:
    value = f'"{metric}.{part}"'
    if merged:
        return f'{_MERGED[part]}({value}) FILTER (WHERE "{metric}.has")'
    return f'CASE WHEN "{metric}.has" THEN {value} END'


def _wide_table(things: Ids, metrics: Mapping[str, MetricRows]) -> Arrays:
    table: dict[str, NDArray[Any]] = {"thing": things}
    for metric, rows in metrics.items():
        table[f"{metric}.has"] = rows.has
        for part in WIDE[metric]:
            table[f"{metric}.{part}"] = getattr(rows, part)
    return table
