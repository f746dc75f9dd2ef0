"""The gateway's own durable file: persistent sessions, queued and in-flight messages, retained messages.

A change never waits for the disk: it goes to a writer thread, coalesced by key, one transaction each quarter of a
second. After a crash at most the last second of changes is lost.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Protocol

import structlog

from fleetward.gateway import durable_rows
from fleetward.gateway.changes import Changes, message_bytes
from fleetward.gateway.saved import DurableState, SavedMessage, SavedSession
from fleetward.gateway.starting import DurableFileError

__all__ = [
    "Durable",
    "DurableFile",
    "DurableFileError",
    "DurableState",
    "NullDurable",
    "SavedMessage",
    "SavedSession",
]

INTERVAL_SECONDS = 0.25
DEFAULT_LIMIT = 256 * 1024 * 1024
"""Bytes of messages that may wait for the writer. What waits is what the broker holds itself, except while the disk
stands still; further messages are then not made durable, counted in `lost`, until it moves again."""

log = structlog.get_logger()


class Durable(Protocol):
    """What the broker needs; `DurableFile` keeps it on disk, `NullDurable` keeps nothing."""

    def load(self) -> DurableState:
        """What was written so far. Reads the whole file: for start-up, not for the event loop."""

    def save_session(self, session: SavedSession) -> None:
        """Adds or replaces the session under its client id; its messages stay."""

    def forget_session(self, client_id: str) -> None:
        """Removes the session and all its messages; what is saved after this call stays."""

    def save_message(self, client_id: str, order: int, message: SavedMessage) -> None:
        """Adds or replaces (client_id, order); `order` (64 bits) ascends in order of delivery."""

    def forget_message(self, client_id: str, order: int) -> None: ...

    def retain(self, topic: str, message: SavedMessage) -> None:
        """Adds or replaces the retained message of `topic`."""

    def forget_retained(self, topic: str) -> None: ...

    def flush(self) -> None:
        """Blocks until everything asked for before is on disk; raises DurableFileError when it cannot be."""

    def close(self) -> None:
        """Flushes and closes."""


class NullDurable:
    """Keeps nothing: a gateway that lives in memory only."""

    def load(self) -> DurableState:
        return DurableState()

    def save_session(self, session: SavedSession) -> None: ...
    def forget_session(self, client_id: str) -> None: ...
    def save_message(self, client_id: str, order: int, message: SavedMessage) -> None: ...
    def forget_message(self, client_id: str, order: int) -> None: ...
    def retain(self, topic: str, message: SavedMessage) -> None: ...
    def forget_retained(self, topic: str) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class DurableFile:
    """The durable file at one path (SQLite); see `Durable` for what each call means. Safe to use from several threads.

    `lost` counts the changes that could not be made durable.
    """

    @classmethod
    def open(cls, path: Path, limit: int = DEFAULT_LIMIT) -> DurableFile:
        """Opens or creates (mode 0600) the file; raises DurableFileError when it is corrupt, newer, or in use."""
        return cls(durable_rows.open_file(path), limit)

    def __init__(self, connection: sqlite3.Connection, limit: int) -> None:
        self.lost = 0
        self._limit = limit
        self._connection = connection
        self._using_file = threading.Lock()
        self._lock = threading.Lock()  # held for moments only: the event loop takes it
        self._progress = threading.Condition(self._lock)
        self._pending = Changes()
        self._writing = Changes()
        self._stored = durable_rows.orders(connection)
        self._batch = 0  # the number of `_writing`; `_pending` will be the next
        self._written = 0  # the number of the last batch on disk
        self._failures = 0
        self._told = 0  # how much of `lost` the log has
        self._closing = False
        self._due = threading.Event()  # there is something to write
        self._urgent = threading.Event()  # ... and somebody waits for it
        self._writer = threading.Thread(target=self._write_behind, name="durable-file", daemon=True)
        self._writer.start()

    # --- changes: called on the event loop ----------------------------------------------------------------------------

    def save_session(self, session: SavedSession) -> None:
        with self._lock:
            self._pending.sessions[session.client_id] = session
            self._wake_writer()

    def forget_session(self, client_id: str) -> None:
        with self._lock:
            self._pending.forget_session(client_id)
            self._wake_writer()

    def save_message(self, client_id: str, order: int, message: SavedMessage) -> None:
        with self._lock:
            if self._has_room(message):
                self._pending.set_message(client_id, order, message)
                self._wake_writer()

    def forget_message(self, client_id: str, order: int) -> None:
        """Costs the disk nothing when the message was not written yet: most are acknowledged before."""
        with self._lock:
            if order in self._writing.messages.get(client_id, ()) or order in self._stored.get(client_id, ()):
                self._pending.set_message(client_id, order, None)
                self._wake_writer()
            else:
                self._pending.drop_message(client_id, order)

    def retain(self, topic: str, message: SavedMessage) -> None:
        with self._lock:
            if self._has_room(message):
                self._pending.set_retained(topic, message)
                self._wake_writer()

    def forget_retained(self, topic: str) -> None:
        with self._lock:
            self._pending.set_retained(topic, None)
            self._wake_writer()

    def _has_room(self, message: SavedMessage) -> bool:
        if self._pending.bytes + self._writing.bytes + message_bytes(message) <= self._limit:
            return True
        self.lost += 1
        return False

    def _wake_writer(self) -> None:
        if not self._due.is_set():
            self._due.set()

    # --- reading, waiting, closing: not for the event loop ------------------------------------------------------------

    def load(self) -> DurableState:
        with self._using_file:
            return durable_rows.read(self._connection)

    def flush(self) -> None:
        if self._closing:
            raise DurableFileError("the durable file is closed")
        with self._progress:
            target = self._batch + 1 if self._pending else self._batch
            failures = self._failures
            self._urgent.set()
            self._due.set()
            self._progress.wait_for(lambda: self._written >= target or self._failures > failures)
            if self._written < target:
                raise DurableFileError("the durable file cannot be written (see the log)")

    def close(self) -> None:
        if self._closing:
            return
        try:
            self.flush()
        finally:
            self._closing = True
            self._due.set()
            self._urgent.set()
            self._writer.join()
            self._connection.close()

    # --- the writer thread --------------------------------------------------------------------------------------------

    def _write_behind(self) -> None:
        while not self._closing:
            self._due.wait()
            self._urgent.wait(INTERVAL_SECONDS)
            with self._lock:
                if not self._writing:
                    self._pending, self._writing = self._writing, self._pending
                    self._batch += 1
            self._write()

    def _write(self) -> None:
        try:
            with self._using_file:
                durable_rows.write(self._connection, self._writing)
        except sqlite3.OperationalError as error:
            self._failed(error)
            return
        except Exception:
            log.exception("durable file: a batch of changes was given up")
            self.lost += 1
        else:
            self._remember_stored()
        self._succeeded()

    def _failed(self, error: Exception) -> None:
        """A full or failing disk: the batch is tried again after a while."""
        log.error("durable file: cannot write, will try again", error=str(error), lost=self.lost)
        with self._progress:
            self._failures += 1
            self._urgent.clear()
            self._progress.notify_all()

    def _remember_stored(self) -> None:
        for client_id in self._writing.forgotten:
            with self._lock:
                self._stored.pop(client_id, None)
        for client_id, messages in self._writing.messages.items():
            kept = {order for order, message in messages.items() if message is not None}
            with self._lock:
                stored = self._stored.setdefault(client_id, set())
                stored.difference_update(messages.keys() - kept)
                stored |= kept
                if not stored:
                    del self._stored[client_id]

    def _succeeded(self) -> None:
        if self.lost > self._told:
            log.warning("durable file: changes were not made durable", lost=self.lost - self._told)
            self._told = self.lost
        with self._progress:
            self._writing = Changes()
            self._written = self._batch
            if not self._pending:
                self._due.clear()
                self._urgent.clear()
            self._progress.notify_all()
