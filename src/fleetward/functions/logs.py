"""The log store behind the CloudWatch Logs API: groups, streams, events.

Writing collects lines in memory for a moment and stores them together, so that a log line costs a function no wait;
a crash of the server loses that moment. Nothing grows without bound: no stream, no group, not the memory in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import RowMapping

from fleetward.errors import ResourceAlreadyExists, ResourceNotFound
from fleetward.functions.records import Clock
from fleetward.model import Millis
from fleetward.store.database import Database, Reader, Transaction
from fleetward.store.tables.functions import log_events, log_groups, log_streams

log = structlog.get_logger()

EVENT_BYTES = 100
"""What an event costs the store beside its text; it counts towards every bound here. (AWS charges 26.)"""
STREAM_BYTES = 4 * 1024 * 1024
GROUP_BYTES = 32 * 1024 * 1024
GROUP_STREAMS = 200
DEFAULT_RETENTION_DAYS = 30
"""For groups without a retention policy. (AWS keeps those for ever, and bills for it.)"""

_FLUSH_SECONDS = 0.25
_FLUSH_LINES = 1000
"""So many at once, that storing them holds nobody up; the others after a moment."""
_BUFFER_BYTES = 4 * 1024 * 1024
_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Line:
    group: str
    stream: str
    time: Millis
    message: str


class Logs:
    """Takes lines from the house loop; `flush` makes them readable, and readers call it first."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lines: list[Line] = []
        self._bytes = 0
        self._flushing: asyncio.TimerHandle | None = None

    def write(self, group: str, stream: str, message: str) -> None:
        if self._bytes > _BUFFER_BYTES:
            return
        self._bytes += len(message) + EVENT_BYTES
        self._lines.append(Line(group, stream, self._clock(), message))
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self._flush_some)

    def flush(self) -> None:
        """Stores all there is."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        lines, self._lines, self._bytes = self._lines, [], 0
        if lines:
            self._store(lines)

    def _flush_some(self) -> None:
        lines, self._lines = self._lines[:_FLUSH_LINES], self._lines[_FLUSH_LINES:]
        self._bytes -= _size(lines)
        self._flushing = None
        if self._lines:
            self._flushing = asyncio.get_running_loop().call_later(_FLUSH_SECONDS / 5, self._flush_some)
        self._store(lines)

    def _store(self, lines: Sequence[Line]) -> None:
        try:
            with self._database.transaction(self._clock()) as tx:
                store(tx, lines)
        except sa.exc.SQLAlchemyError as problem:
            log.error("function_logs_lost", lines=len(lines), problem=str(problem))


def _size(lines: Sequence[Line]) -> int:
    return sum(len(line.message) for line in lines) + EVENT_BYTES * len(lines)


# --- writing ----------------------------------------------------------------------------------------------------------


def store(tx: Transaction, lines: Sequence[Line]) -> None:
    by_stream: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        by_stream.setdefault((line.group, line.stream), []).append(line)
    for (group, stream), some in by_stream.items():
        _open(tx, group, stream)
        rows = [
            {"group_name": group, "stream_name": stream, "time": x.time, "ingested_at": tx.now, "message": x.message}
            for x in some
        ]
        tx.execute(sa.insert(log_events), rows)
        _account(tx, group, stream, some[-1].time, _size(some))
    for group in {line.group for line in lines}:
        _prune(tx, group)


def create_group(tx: Transaction, name: str) -> None:
    if find_group(tx, name) is not None:
        raise ResourceAlreadyExists("The specified log group already exists")
    tx.execute(sa.insert(log_groups).values(name=name, created_at=tx.now))


def delete_group(tx: Transaction, name: str) -> None:
    get_group(tx, name)
    tx.execute(sa.delete(log_groups).where(log_groups.c.name == name))


def set_retention(tx: Transaction, name: str, days: int | None) -> None:
    get_group(tx, name)
    tx.execute(sa.update(log_groups).where(log_groups.c.name == name).values(retention_days=days))


def _open(tx: Transaction, group: str, stream: str) -> None:
    if find_group(tx, group) is None:
        create_group(tx, group)
    if find_stream(tx, group, stream) is None:
        values = {"group_name": group, "name": stream, "created_at": tx.now, "last_event_at": tx.now, "size": 0}
        tx.execute(sa.insert(log_streams).values(values))


def _account(tx: Transaction, group: str, stream: str, last: Millis, size: int) -> None:
    row = find_stream(tx, group, stream)
    total = size + (row["size"] if row else 0)
    if total > STREAM_BYTES:
        total = _trim(tx, group, stream)
    change = sa.update(log_streams).where(log_streams.c.group_name == group, log_streams.c.name == stream)
    tx.execute(change.values(last_event_at=last, size=total))


def _trim(tx: Transaction, group: str, stream: str) -> int:
    """Keeps the newest half of what a stream may hold; returns its size."""
    mine = sa.and_(log_events.c.group_name == group, log_events.c.stream_name == stream)
    kept = 0
    for row in tx.execute(
        sa.select(log_events.c.id, sa.func.length(log_events.c.message)).where(mine).order_by(log_events.c.id.desc())
    ):
        size = row[1] + EVENT_BYTES
        if kept + size > STREAM_BYTES // 2:
            tx.execute(sa.delete(log_events).where(mine, log_events.c.id <= row[0]))
            break
        kept += size
    return kept


def _prune(tx: Transaction, group_name: str) -> None:
    """Drops the oldest streams of a group that is over its size, its number of streams or its retention."""
    days = get_group(tx, group_name)["retention_days"] or DEFAULT_RETENTION_DAYS
    total = 0
    for index, row in enumerate(streams(tx, group_name)):
        total += row["size"]
        if total > GROUP_BYTES or index >= GROUP_STREAMS or row["last_event_at"] < tx.now - days * _DAY:
            gone = (log_streams.c.group_name == group_name, log_streams.c.name == row["name"])
            tx.execute(sa.delete(log_streams).where(*gone))


# --- reading ----------------------------------------------------------------------------------------------------------


def find_group(look: Reader, name: str) -> RowMapping | None:
    return look.one(sa.select(log_groups).where(log_groups.c.name == name))


def find_stream(look: Reader, group: str, name: str) -> RowMapping | None:
    return look.one(sa.select(log_streams).where(log_streams.c.group_name == group, log_streams.c.name == name))


def get_group(look: Reader, name: str) -> RowMapping:
    row = find_group(look, name)
    if row is None:
        raise ResourceNotFound("The specified log group does not exist.")
    return row


def get_stream(look: Reader, group_name: str, name: str) -> RowMapping:
    get_group(look, group_name)
    row = find_stream(look, group_name, name)
    if row is None:
        raise ResourceNotFound("The specified log stream does not exist.")
    return row


def groups(look: Reader, prefix: str = "") -> Sequence[RowMapping]:
    """By name, each with `size` in bytes, `EVENT_BYTES` for each event included."""
    size = sa.select(sa.func.coalesce(sa.func.sum(log_streams.c.size), 0)).where(
        log_streams.c.group_name == log_groups.c.name
    )
    query = sa.select(log_groups, size.scalar_subquery().label("size")).order_by(log_groups.c.name)
    return look.all(query.where(log_groups.c.name.startswith(prefix, autoescape=True)))


def streams(look: Reader, group_name: str, prefix: str = "") -> Sequence[RowMapping]:
    """Newest event first."""
    get_group(look, group_name)
    query = sa.select(log_streams).where(log_streams.c.group_name == group_name)
    query = query.where(log_streams.c.name.startswith(prefix, autoescape=True))
    return look.all(query.order_by(log_streams.c.last_event_at.desc(), log_streams.c.name))


@dataclass(frozen=True, slots=True)
class Span:
    """Which events: those with start ≤ time < end, and after or before an id."""

    start: Millis | None = None
    end: Millis | None = None
    after: int | None = None
    before: int | None = None


def events(
    look: Reader, group_name: str, names: Sequence[str] | None, span: Span, limit: int, newest: bool = False
) -> Sequence[RowMapping]:
    """In order of arrival: the first `limit` of the span, or the last ones when `newest`. `names` None: all streams."""
    columns = log_events.c
    query = sa.select(log_events).where(columns.group_name == group_name)
    if names is not None:
        query = query.where(columns.stream_name.in_(names))
    for bound, condition in (
        (span.start, lambda x: columns.time >= x),
        (span.end, lambda x: columns.time < x),
        (span.after, lambda x: columns.id > x),
        (span.before, lambda x: columns.id < x),
    ):
        if bound is not None:
            query = query.where(condition(bound))
    rows = look.all(query.order_by(columns.id.desc() if newest else columns.id).limit(limit))
    return rows[::-1] if newest else rows
