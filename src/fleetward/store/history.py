"""The metric history in DuckDB: one wide row per (window, duration, thing), four columns per metric.

A crash leaves a consistent file: DuckDB logs a commit ahead in `<file>.wal` and replays that when it opens. The same
window may be appended again, as a replay after a crash does; it then replaces what was there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np

from fleetward.detect.outcome import MetricRows, WindowRows
from fleetward.meter.metrics import METRICS
from fleetward.model import Millis

_PARTS = ("count", "total", "minimum", "maximum")
_MERGED = {"count": "sum", "total": "sum", "minimum": "min", "maximum": "max"}
_CONFIG = {
    "threads": "2",
    "memory_limit": "512MB",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_access": "false",
}


class MetricValue(NamedTuple):
    """One metric of one thing over the window that ends at `timestamp`; the value of a counter is its `total`."""

    timestamp: Millis
    duration_seconds: int
    total: int
    minimum: int
    maximum: int
    observations: int


class History:
    """Calls block. One thread may append and prune while others read: each call has a cursor of its own."""

    def __init__(self, path: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self._path = path
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> History:
        """Opens the file, made readable by its owner only; a metric that METRICS gained gets its columns."""
        connection = duckdb.connect(str(path), config=dict(_CONFIG))
        connection.execute("CREATE TABLE IF NOT EXISTS windows (start BIGINT, seconds INTEGER, thing VARCHAR)")
        known = {row[0] for row in connection.execute("SELECT column_name FROM (DESCRIBE windows)").fetchall()}
        for column in (f"{metric}.{part}" for metric in METRICS for part in _PARTS):
            if column not in known:
                connection.execute(f'ALTER TABLE windows ADD COLUMN "{column}" BIGINT')
        history = cls(path, connection)
        history._protect()
        return history

    def append(self, rows: WindowRows) -> None:
        """Stores one window; a second row of one name, from its life as another identity, is added to the first."""
        metrics = {metric: columns for metric, columns in rows.metrics.items() if metric in METRICS}
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
            cursor.commit()
        self._protect()

    def values(self, thing: str, metric: str, start: Millis, end: Millis) -> list[MetricValue]:
        """The values of one thing whose window ended in [start, end], oldest first."""
        if metric not in METRICS:
            return []
        columns = ", ".join(f'"{metric}.{part}"' for part in ("total", "minimum", "maximum", "count"))
        found = self._all(
            f"SELECT start + 1000 * seconds AS stamp, seconds, {columns} FROM windows"  # noqa: S608
            f' WHERE thing = ? AND stamp BETWEEN ? AND ? AND "{metric}.count" IS NOT NULL ORDER BY stamp, seconds',
            [thing, start, end],
        )
        return [MetricValue(*row) for row in found]

    def things(self) -> list[str]:
        """The names of all things that have a row, sorted."""
        return [name for (name,) in self._all("SELECT DISTINCT thing FROM windows ORDER BY thing")]

    def prune(self, before: Millis) -> None:
        """Forgets the windows that started before that time."""
        with self._connection.cursor() as cursor:
            cursor.execute("DELETE FROM windows WHERE start < ?", [before])

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
