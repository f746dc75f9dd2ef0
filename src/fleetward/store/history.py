"""The metric history in DuckDB: one wide row per (window, duration, thing), four columns per basic metric.

Every other value in use has a row of its own in `datapoints`: by the end of its window, or the time of its report.

A crash leaves a consistent file: DuckDB logs a commit ahead in `<file>.wal` and replays that when it opens. The same
window may be appended again, as a replay after a crash does; it then replaces what was there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np

from fleetward.detect.outcome import Datum, MetricRows, WindowRows
from fleetward.meter.batch import Column
from fleetward.meter.metrics import BASIC, METRICS, Kind
from fleetward.model import Millis, Value

_PARTS = ("count", "total", "minimum", "maximum")
_MERGED = {"count": "sum", "total": "sum", "minimum": "min", "maximum": "max"}
_DATAPOINTS = (
    "CREATE TABLE IF NOT EXISTS datapoints (stamp BIGINT, thing VARCHAR, metric VARCHAR, dimension VARCHAR,"
    " seconds INTEGER, total DOUBLE, minimum DOUBLE, maximum DOUBLE, observations BIGINT, elements VARCHAR)"
)
_IS_KEY = "stamp = ? AND thing = ? AND metric = ? AND dimension = ? AND seconds = ?"
_CONFIG = {
    "threads": "2",
    "memory_limit": "512MB",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_access": "false",
}


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
        """Opens the file, made readable by its owner only; a basic metric that is new gets its columns."""
        connection = duckdb.connect(str(path), config=dict(_CONFIG))
        connection.execute("CREATE TABLE IF NOT EXISTS windows (start BIGINT, seconds INTEGER, thing VARCHAR)")
        known = {row[0] for row in connection.execute("SELECT column_name FROM (DESCRIBE windows)").fetchall()}
        connection.execute(_DATAPOINTS)
        for column in (f"{metric}.{part}" for metric in BASIC for part in _PARTS):
            if column not in known:
                connection.execute(f'ALTER TABLE windows ADD COLUMN "{column}" BIGINT')
        history = cls(path, connection)
        history._protect()
        return history

    def append(self, rows: WindowRows) -> None:
        """Stores one window; a second row of one name, from its life as another identity, is added to the first."""
        metrics = {metric: columns for metric, columns in rows.metrics.items() if metric in BASIC}
        targets = ", ".join(f'"{metric}.{part}"' for metric in metrics for part in _PARTS)
        twice = len(set(rows.names)) < len(rows.names)
        values = ", ".join(_value(metric, part, merged=twice) for metric in metrics for part in _PARTS)
        window = [rows.start, rows.duration_seconds]
        with self._connection.cursor() as cursor:
            cursor.begin()
            cursor.execute("DELETE FROM windows WHERE start = ? AND seconds = ?", window)
            if rows.names and metrics:
                cursor.register("arrived", _table(rows.names, metrics))
                cursor.execute(
                    f"INSERT INTO windows (start, seconds, thing, {targets})"  # noqa: S608 - names from METRICS only
                    f" SELECT ?, ?, thing, {values} FROM arrived{' GROUP BY thing' if twice else ''}",
                    window,
                )
            for column, parts in rows.columns.items():
                _append_column(cursor, rows, column, parts)
            cursor.commit()
        self._protect()

    def append_data(self, data: Sequence[Datum]) -> None:
        """Stores values one by one; the same value again, as a replay brings it, replaces what was there."""
        if not data:
            return
        keys = [(datum.time, datum.thing, datum.metric, datum.dimension, datum.duration_seconds) for datum in data]
        with self._connection.cursor() as cursor:
            cursor.begin()
            cursor.executemany(f"DELETE FROM datapoints WHERE {_IS_KEY}", keys)  # noqa: S608
            rows = [(*key, *_parts_of(datum.value)) for key, datum in zip(keys, data, strict=True)]
            cursor.executemany("INSERT INTO datapoints VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            cursor.commit()
        self._protect()

    def values(self, thing: str, metric: str, start: Millis, end: Millis, dimension: str = "") -> list[MetricValue]:
        """The values of one thing whose window ended in [start, end], oldest first; `dimension` as columns have it."""
        if metric not in BASIC or dimension:
            return self._datapoints(thing, metric, start, end, dimension)
        columns = ", ".join(f'"{metric}.{part}"' for part in ("total", "minimum", "maximum", "count"))
        found = self._all(
            f"SELECT start + 1000 * seconds AS stamp, seconds, {columns} FROM windows"  # noqa: S608
            f' WHERE thing = ? AND stamp BETWEEN ? AND ? AND "{metric}.count" IS NOT NULL ORDER BY stamp, seconds',
            [thing, start, end],
        )
        return [MetricValue(*row) for row in found]

    def _datapoints(self, thing: str, metric: str, start: Millis, end: Millis, dimension: str) -> list[MetricValue]:
        found = self._all(
            "SELECT stamp, seconds, total, minimum, maximum, observations, elements FROM datapoints WHERE thing = ?"
            " AND metric = ? AND dimension = ? AND stamp BETWEEN ? AND ? ORDER BY stamp, seconds",
            [thing, metric, dimension, start, end],
        )
        return [_metric_value(metric, *row) for row in found]

    def things(self) -> list[str]:
        """The names of all things that have a row, sorted."""
        found = self._all("SELECT thing FROM windows UNION SELECT thing FROM datapoints ORDER BY thing")
        return [name for (name,) in found]

    def prune(self, before: Millis) -> None:
        """Forgets the windows that started before that time."""
        with self._connection.cursor() as cursor:
            cursor.execute("DELETE FROM windows WHERE start < ?", [before])
            cursor.execute("DELETE FROM datapoints WHERE stamp < ?", [before])

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


def _append_column(cursor: duckdb.DuckDBPyConnection, rows: WindowRows, column: Column, parts: MetricRows) -> None:
    metric, dimension = column
    stamp = rows.start + 1000 * rows.duration_seconds
    key = [stamp, metric, dimension, rows.duration_seconds]
    cursor.execute("DELETE FROM datapoints WHERE stamp = ? AND metric = ? AND dimension = ? AND seconds = ?", key)
    names = np.array(rows.names, dtype=object)[parts.has]
    if len(names):
        numbers = {part: getattr(parts, part)[parts.has] for part in _PARTS}
        cursor.register("arrived", {"thing": names, **numbers})
        cursor.execute(
            "INSERT INTO datapoints SELECT ?, thing, ?, ?, ?, total, minimum, maximum, count, NULL FROM arrived", key
        )


def _parts_of(value: Value) -> tuple[Any, ...]:
    """(total, minimum, maximum, observations, elements) of one value."""
    if isinstance(value, tuple):
        return (len(value), len(value), len(value), 1, json.dumps(value))
    return (value, value, value, 1, None)


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


def _table(names: tuple[str, ...], metrics: dict[str, MetricRows]) -> dict[str, Any]:
    table: dict[str, Any] = {"thing": np.array(names, dtype=object)}
    for metric, rows in metrics.items():
        table[f"{metric}.has"] = rows.has
        for part in _PARTS:
            table[f"{metric}.{part}"] = getattr(rows, part)
    return table
