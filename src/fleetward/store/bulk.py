"""One statement over many rows, handed to the driver as they are.

For the mass alarm: binding and typing a row costs SQLAlchemy several times what writing it costs SQLite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy.engine import Dialect
from sqlalchemy.sql.dml import Insert, Update

from fleetward.store.database import Transaction


def execute_many(tx: Transaction, statement: Insert | Update, rows: Sequence[Mapping[str, Any]]) -> None:
    """Executes the statement once a row; all rows have the same keys, at least two.

    Values are what the driver takes: JSON is text already, enumerations their values. Nothing goes on the audit trail,
    so this is for tables that it does not keep; and statements are to be built once, for each is compiled once.
    """
    if rows:
        sql, names = _compiled(statement, tuple(rows[0]), tx.connection.dialect)
        tx.connection.exec_driver_sql(sql, list(map(itemgetter(*names), rows)) if names else list(map(dict, rows)))


@lru_cache(maxsize=64)
def _compiled(statement: Insert | Update, keys: tuple[str, ...], dialect: Dialect) -> tuple[str, tuple[str, ...]]:
    """The SQL, and the order of its parameters where they have no names."""
    compiled = statement.compile(dialect=dialect, column_keys=list(keys) if isinstance(statement, Insert) else None)
    return str(compiled), tuple(getattr(compiled, "positiontup", None) or ())
