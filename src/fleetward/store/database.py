"""The SQL truth: one `Database`, read with `read()` and changed inside `transaction()`.

A transaction collects what it touched; listeners hear of it once, after the commit. That is how the change feed, the
alert deliverer and the scheduler learn that there is something to do without knowing one another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection, CursorResult, Engine, RowMapping
from sqlalchemy.sql import Executable

from fleetward.model import Millis
from fleetward.records import Record
from fleetward.store.trail import SYSTEM, Actor, Ledger

Touch: TypeAlias = tuple[str, str]
"""(kind, key) of something a transaction changed: ("thing", "SensorDevice02"), ("delivery", ""), ("profile", "P")…"""

CommitListener: TypeAlias = Callable[[Sequence[Touch]], None]

Touched: TypeAlias = "Mapping[Touch, Record | None]"
"""What a transaction touched, in the order in which it did so first, and what became of it where that is known."""

Preparation: TypeAlias = "Callable[[Reader, Touched], Callable[[], None] | None]"
"""Looks at a change that is complete but not committed; returns what is to be done once it is."""


@dataclass(slots=True)
class Reader:
    """A consistent look at the store."""

    connection: Connection

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[*tuple[Any, ...]]:
        return self.connection.execute(statement, parameters)

    def one(self, statement: Executable, **parameters: Any) -> RowMapping | None:
        """The first row as a mapping, or None."""
        return self.connection.execute(statement, parameters).mappings().first()

    def all(self, statement: Executable, **parameters: Any) -> Sequence[RowMapping]:
        return self.connection.execute(statement, parameters).mappings().all()

    def scalar(self, statement: Executable) -> Any:
        return self.connection.execute(statement).scalar()


@dataclass(slots=True)
class Transaction(Reader):
    """One atomic change, made at `now`; nobody sees it, and no listener is called, before it commits."""

    now: Millis
    touched: dict[Touch, Record | None] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[*tuple[Any, ...]]:
        return self.ledger.execute(self.connection, statement, parameters)

    def touch(self, kind: str, key: str = "", record: Record | None = None) -> None:
        """Notes a change, to be read back before the commit unless it is known that it made this `record`."""
        self.touched[(kind, key)] = record


class Database:
    """The store behind one SQLAlchemy URL (SQLite by default).

    Writers take turns (a lock in this process, BEGIN IMMEDIATE between processes); readers never wait for them (WAL).
    Safe to use from several threads.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)
        self._writing = threading.RLock()
        self._preparations: list[Preparation] = []

    def on_commit(self, listener: CommitListener) -> None:
        """Calls `listener` after each commit that touched something, on the committing thread, in commit order.

        All listeners have heard of a commit before its `transaction()` returns, whatever happens to one of them.
        """
        self.before_commit(lambda _, touched: partial(listener, tuple(touched)))

    def before_commit(self, preparation: Preparation) -> None:
        """As `on_commit`, for one that must read in the transaction itself what became of what it touched."""
        self._preparations.append(preparation)

    @contextmanager
    def connect(self, writing: bool = False) -> Iterator[Connection]:
        """A connection in a transaction of its own, committed when the block ends and undone when it raises."""
        with self.engine.connect() as connection, connection.begin():
            if self.engine.dialect.name == "sqlite":
                _begin_sqlite(connection, writing)
            yield connection

    @contextmanager
    def read(self) -> Iterator[Reader]:
        with self.connect() as connection:
            yield Reader(connection)

    @contextmanager
    def transaction(self, now: Millis, actor: Actor = SYSTEM) -> Iterator[Transaction]:
        """A change that commits when the block ends and is undone when it raises; `actor` goes on the audit trail."""
        with self._writing:
            with self.connect(writing=True) as connection:
                transaction = Transaction(connection, now)
                yield transaction
                transaction.ledger.write(connection, now, actor)
                prepared = self._prepare(transaction)
            _take_all(iter(prepared))

    def _prepare(self, transaction: Transaction) -> list[Callable[[], None]]:
        """What is to be done after the commit, in its order."""
        if not transaction.touched:
            return []
        steps = (prepare(transaction, transaction.touched) for prepare in self._preparations)
        return [step for step in steps if step is not None]

    def close(self) -> None:
        self.engine.dispose()


def _take_all(steps: Iterator[Callable[[], None]]) -> None:
    """Takes every step, also those behind one that fails."""
    for step in steps:
        try:
            step()
        except BaseException:
            _take_all(steps)
            raise


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"


def _engine(url: str) -> Engine:
    engine = sa.create_engine(url, pool_use_lifo=True)  # the connection used last still has its pages
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(dbapi_connection: Any, _record: Any) -> None:
    # The driver's own transaction handling starts a transaction too late; ours is explicit (see Database.connect).
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=15000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection, writing: bool) -> None:
    # A writer that begins as a reader can fail halfway with SQLITE_BUSY; IMMEDIATE makes it wait at the door instead.
    # Straight to the driver, not by an event of the engine: one that has events takes half as long again for a row.
    connection.connection.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
