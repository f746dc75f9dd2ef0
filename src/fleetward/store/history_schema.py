"""The tables of the metric history, made or brought up to date when the file is opened.

    names           the number by which the tables know a thing
    windows         one wide row per (window, duration, thing): what is counted for every device
    window_values   the same for who reads, with all parts of each metric
    datapoints      every other value in use, by the end of its window or the time of its report

What a commit costs is the bytes that it logs ahead, so a plain counter, whose parts follow from its count, has one
column.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import duckdb

from fleetward.meter.batch import Column
from fleetward.meter.metrics import BASIC, METRICS, PLAIN

PARTS = ("count", "total", "minimum", "maximum")
WIDE: Mapping[str, tuple[str, ...]] = {
    name: ("count",) if name in PLAIN else PARTS for name in METRICS if name in BASIC or name in PLAIN
}
"""The metrics that have columns in `windows`, and for which of their parts."""

NAME_NEW_ONES = (
    "INSERT INTO names SELECT row_number() OVER () + (SELECT coalesce(max(number), 0) FROM names), name"
    " FROM (SELECT DISTINCT name FROM arrived ANTI JOIN names USING (name))"
)

_TABLES = (
    "CREATE TABLE IF NOT EXISTS names (number INTEGER, name VARCHAR)",
    "CREATE TABLE IF NOT EXISTS windows (start BIGINT, seconds INTEGER, thing INTEGER)",
    "CREATE TABLE IF NOT EXISTS datapoints (stamp BIGINT, thing INTEGER, metric VARCHAR, dimension VARCHAR,"
    " seconds INTEGER, total DOUBLE, minimum DOUBLE, maximum DOUBLE, observations BIGINT, elements VARCHAR)",
)


def is_wide(column: Column) -> bool:
    metric, dimension = column
    return metric in WIDE and not dimension


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes the tables; a metric that is new gets its columns, and a file of an older version keeps its values."""
    for table in _TABLES:
        connection.execute(table)
    _number_things(connection)
    _fit_columns(connection)
    values = ", ".join(f'{_part(metric, part)} AS "{metric}.{part}"' for metric in WIDE for part in PARTS)
    connection.execute(f"CREATE OR REPLACE VIEW window_values AS SELECT start, seconds, thing, {values} FROM windows")  # noqa: S608


def _part(metric: str, part: str) -> str:
    """A part of a metric, from the columns that `windows` has; each observation of a plain counter is 1."""
    if part in WIDE[metric]:
        return f'"{metric}.{part}"'
    return f'"{metric}.count"' if part == "total" else f'least("{metric}.count", 1)'


def _fit_columns(connection: duckdb.DuckDBPyConnection) -> None:
    known = {row[0] for row in connection.execute("SELECT column_name FROM (DESCRIBE windows)").fetchall()}
    for metric, parts in WIDE.items():
        connection.begin()
        for column in (f"{metric}.{part}" for part in parts):
            if column not in known:
                connection.execute(f'ALTER TABLE windows ADD COLUMN "{column}" BIGINT')
        if parts != PARTS:
            _narrow(connection, metric, known)
        connection.commit()


def _narrow(connection: duckdb.DuckDBPyConnection, metric: str, known: Collection[str]) -> None:
    """Makes one column of a plain counter that an older version kept in four, or in `datapoints`."""
    for column in (f"{metric}.{part}" for part in PARTS[1:]):
        if column in known:
            connection.execute(f'ALTER TABLE windows DROP COLUMN "{column}"')
    if f"{metric}.count" not in known:
        connection.execute(
            f'INSERT INTO windows (start, seconds, thing, "{metric}.count")'  # noqa: S608 - names from METRICS only
            " SELECT stamp - 1000 * seconds, seconds, thing, total FROM datapoints WHERE metric = ? AND dimension = ''",
            [metric],
        )
        connection.execute("DELETE FROM datapoints WHERE metric = ? AND dimension = ''", [metric])


def _number_things(connection: duckdb.DuckDBPyConnection) -> None:
    """Brings a file up to date in which each row had the name of its thing."""
    for table in ("windows", "datapoints"):
        found = connection.execute(f"SELECT typeof(thing) FROM {table} LIMIT 1").fetchone()  # noqa: S608
        if found == ("VARCHAR",):
            connection.begin()
            connection.execute(f"CREATE TEMP VIEW arrived AS SELECT thing AS name FROM {table}")  # noqa: S608
            connection.execute(NAME_NEW_ONES)
            connection.execute("DROP VIEW arrived")
            numbered = f"SELECT {table}.* REPLACE (number AS thing) FROM {table} JOIN names ON thing = name"  # noqa: S608
            connection.execute(f"CREATE TABLE numbered AS {numbered}")
            connection.execute(f"DROP TABLE {table}")
            connection.execute(f"ALTER TABLE numbered RENAME TO {table}")
            connection.commit()
