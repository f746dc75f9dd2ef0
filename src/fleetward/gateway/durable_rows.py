"""The durable file's tables (SQLite), and how values become rows and back."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

from fleetward.gateway.changes import Changes
from fleetward.gateway.packets import Subscription
from fleetward.gateway.properties import PacketType, decode_properties, encode_properties
from fleetward.gateway.saved import DurableState, SavedMessage, SavedSession
from fleetward.gateway.starting import DurableFileError
from fleetward.gateway.wire import Cursor, ProtocolViolation

APPLICATION_ID = 0x464C5754
SCHEMA_VERSION = 1

_MESSAGE_COLUMNS = """
    topic TEXT NOT NULL, payload BLOB NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL,
    packet_id INTEGER NOT NULL, released INTEGER NOT NULL, properties BLOB NOT NULL, expires_at INTEGER
"""
_SCHEMA = (
    """
    CREATE TABLE session (
        client_id TEXT PRIMARY KEY, certificate_id TEXT NOT NULL, version INTEGER NOT NULL,
        expires_after_seconds INTEGER, disconnected_at INTEGER,
        subscriptions TEXT NOT NULL, awaiting_release TEXT NOT NULL
    ) WITHOUT ROWID
    """,
    f"CREATE TABLE message (client_id TEXT, position INTEGER, {_MESSAGE_COLUMNS}, PRIMARY KEY (client_id, position))",
    f"CREATE TABLE retained (key TEXT PRIMARY KEY, {_MESSAGE_COLUMNS})",
)
_MESSAGE_FIELDS = "topic, payload, qos, retain, packet_id, released, properties, expires_at"
_CHUNKS = (256, 32, 4, 1)
_LARGE = 4 * 1024

Row: TypeAlias = Sequence[Any]


def open_file(path: Path) -> sqlite3.Connection:
    """Opens or creates the file (mode 0600) for this process alone; raises DurableFileError."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        os.chmod(path, 0o600)
        connection = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise DurableFileError(f"{path} cannot be opened: {error}") from error
    try:
        _prepare(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise DurableFileError(f"{path} cannot be used: {error}") from error
    except DurableFileError:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # EXCLUSIVE keeps a second gateway out; FULL because a lost power supply is a crash too.
    for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "journal_size_limit=67108864"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN IMMEDIATE")
    application, version, tables = (
        connection.execute(query).fetchone()[0]
        for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_schema")
    )
    if not tables and not application:
        _create(connection)
    elif application != APPLICATION_ID:
        raise DurableFileError(f"{path} is not a durable file of a Fleetward gateway")
    elif version != SCHEMA_VERSION:
        raise DurableFileError(f"{path} has format {version}; this version of Fleetward reads format {SCHEMA_VERSION}")
    elif (verdict := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise DurableFileError(f"{path} is corrupt ({verdict}); restore a copy, or move it away to start empty")
    connection.execute("DELETE FROM message WHERE client_id NOT IN (SELECT client_id FROM session)")
    connection.execute("COMMIT")


def _create(connection: sqlite3.Connection) -> None:
    for statement in (*_SCHEMA, f"PRAGMA application_id={APPLICATION_ID}", f"PRAGMA user_version={SCHEMA_VERSION}"):
        connection.execute(statement)


# --- writing ----------------------------------------------------------------------------------------------------------


def write(connection: sqlite3.Connection, changes: Changes) -> None:
    """Carries out the changes in one transaction; raises sqlite3.Error and then has changed nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement, rows in _statements(changes):
            _execute(connection, statement, rows)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(changes: Changes) -> Iterator[tuple[str, Iterable[Row]]]:
    """Pairs of a statement that takes any number of rows where it says VALUES, and those rows."""
    forgotten = [(client_id,) for client_id in changes.forgotten]
    yield "DELETE FROM session WHERE client_id IN (VALUES %s)", forgotten
    yield "DELETE FROM message WHERE client_id IN (VALUES %s)", forgotten
    yield "REPLACE INTO session VALUES %s", map(_session_row, changes.sessions.values())
    yield "DELETE FROM message WHERE (client_id, position) IN (VALUES %s)", _removed_messages(changes)
    yield "REPLACE INTO message VALUES %s", _kept_messages(changes)
    yield (
        "DELETE FROM retained WHERE key IN (VALUES %s)",
        ((topic,) for topic, message in changes.retained.items() if message is None),
    )
    yield (
        "REPLACE INTO retained VALUES %s",
        ((topic, *_message_row(message)) for topic, message in changes.retained.items() if message is not None),
    )


def _removed_messages(changes: Changes) -> Iterator[Row]:
    for client_id, messages in changes.messages.items():
        for order, message in messages.items():
            if message is None:
                yield client_id, order


def _kept_messages(changes: Changes) -> Iterator[Row]:
    for client_id, messages in changes.messages.items():
        for order, message in messages.items():
            if message is not None:
                yield client_id, order, *_message_row(message)


def _execute(connection: sqlite3.Connection, statement: str, rows: Iterable[Row]) -> None:
    """Many rows at a time: between two statements this thread has to win the interpreter back from the event loop."""
    for chunk in _chunked(rows):
        marks = ",".join(["(" + ",".join("?" * len(chunk[0])) + ")"] * len(chunk))
        connection.execute(statement % marks, [value for row in chunk for value in row])


def _chunked(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Chunks of a few sizes only, so that their statements stay prepared; what is large goes alone."""
    waiting: list[Row] = []
    for row in rows:
        if any(isinstance(value, bytes) and len(value) > _LARGE for value in row):
            yield [row]
            continue
        waiting.append(row)
        if len(waiting) == _CHUNKS[0]:
            yield waiting
            waiting = []
    for size in _CHUNKS[1:]:
        while len(waiting) >= size:
            yield waiting[:size]
            waiting = waiting[size:]


def _session_row(session: SavedSession) -> Row:
    subscriptions = [
        (each.filter, each.qos, each.no_local, each.retain_as_published, each.retain_handling)
        for each in session.subscriptions
    ]
    return (
        session.client_id,
        session.certificate_id,
        session.version,
        session.expires_after_seconds,
        session.disconnected_at,
        json.dumps(subscriptions),
        json.dumps(session.awaiting_release),
    )


def _message_row(message: SavedMessage) -> Row:
    return (
        message.topic,
        message.payload,
        message.qos,
        message.retain,
        message.packet_id,
        message.released,
        encode_properties(message.properties, PacketType.PUBLISH),
        message.expires_at,
    )


# --- reading ----------------------------------------------------------------------------------------------------------


def read(connection: sqlite3.Connection) -> DurableState:
    """All the file holds; raises DurableFileError when a row cannot be understood."""
    try:
        with closing(connection.execute("SELECT * FROM session")) as rows:
            sessions = tuple(_session(row) for row in rows)
        with closing(connection.execute(f"SELECT {_MESSAGE_FIELDS} FROM retained ORDER BY key")) as rows:  # noqa: S608
            retained = tuple(_message(row) for row in rows)
        return DurableState(sessions, _messages(connection), retained)
    except (sqlite3.Error, ValueError, TypeError, ProtocolViolation) as error:
        raise DurableFileError(f"the durable file is corrupt: {error}") from error


def orders(connection: sqlite3.Connection) -> dict[str, set[int]]:
    """Which messages the file holds: their orders by client id."""
    held: dict[str, set[int]] = {}
    for client_id, order in connection.execute("SELECT client_id, position FROM message"):
        held.setdefault(client_id, set()).add(order)
    return held


def _messages(connection: sqlite3.Connection) -> dict[str, tuple[tuple[int, SavedMessage], ...]]:
    messages: dict[str, list[tuple[int, SavedMessage]]] = {}
    query = f"SELECT client_id, position, {_MESSAGE_FIELDS} FROM message ORDER BY client_id, position"  # noqa: S608
    with closing(connection.execute(query)) as rows:
        for client_id, order, *fields in rows:
            messages.setdefault(client_id, []).append((order, _message(fields)))
    return {client_id: tuple(entries) for client_id, entries in messages.items()}


def _session(row: Row) -> SavedSession:
    client_id, certificate_id, version, expires_after_seconds, disconnected_at, subscriptions, awaiting_release = row
    return SavedSession(
        client_id,
        certificate_id,
        version,
        expires_after_seconds,
        disconnected_at,
        tuple(Subscription(*each) for each in json.loads(subscriptions)),
        tuple(json.loads(awaiting_release)),
    )


def _message(row: Row) -> SavedMessage:
    topic, payload, qos, retain, packet_id, released, packed, expires_at = row
    properties = dict(decode_properties(Cursor(packed, 0, len(packed)), PacketType.PUBLISH))
    return SavedMessage(topic, payload, qos, bool(retain), packet_id, bool(released), properties, expires_at)
