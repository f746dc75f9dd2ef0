"""The durable queue of asynchronous invocations: at least once, with AWS's two retries.

pending → running → succeeded
   ↑         └────→ failed
   └─ after a failed attempt that is not the last, or a crash of the server
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.errors import RequestTooLarge
from fleetward.functions.records import MAX_ASYNC_PAYLOAD, InvocationStatus
from fleetward.model import Millis
from fleetward.store import newest
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.functions import invocations

MAX_ATTEMPTS = 3

_KEEP_SUCCEEDED = 3_600_000
_KEEP_FAILED = 14 * 86_400_000

_PENDING, _RUNNING = InvocationStatus.PENDING, InvocationStatus.RUNNING


def enqueue(
    tx: Transaction, name: str, payload: bytes, source: str, source_id: str, max_attempts: int = MAX_ATTEMPTS
) -> str:
    """Puts an invocation of the function `name` into the queue, as part of the caller's transaction; returns its id.

    `source` and `source_id` say who wants it ("sns", a delivery's id); the row can be found by them.
    """
    if len(payload) > MAX_ASYNC_PAYLOAD:
        raise RequestTooLarge(f"{len(payload)} byte payload is too large for the Event invocation type")
    invocation_id = str(uuid.uuid4())
    values = {
        "id": invocation_id,
        "function_name": name,
        "payload": payload,
        "source": source,
        "source_id": source_id,
        "status": _PENDING,
        "attempts": 0,
        "max_attempts": max_attempts,
        "due_at": tx.now,
        "created_at": tx.now,
    }
    tx.execute(sa.insert(invocations).values(values))
    tx.touch("invocation", invocation_id)
    return invocation_id


def take(tx: Transaction, name: str) -> RowMapping | None:
    """The next due invocation of that function, now running."""
    due = (invocations.c.status == _PENDING, invocations.c.function_name == name, invocations.c.due_at <= tx.now)
    row = tx.one(sa.select(invocations).where(*due).order_by(invocations.c.sequence).limit(1))
    if row is not None:
        _change(tx, row["id"], status=_RUNNING, attempts=row["attempts"] + 1)
    return row


def succeed(tx: Transaction, row: RowMapping) -> None:
    _finish(tx, row, InvocationStatus.SUCCEEDED, None)


def fail(tx: Transaction, row: RowMapping, error: str, delays: Sequence[Millis]) -> Millis | None:
    """Notes the error of this attempt, and returns when the next one is due; None when it was the last.

    The next one follows after `delays[attempt - 1]` ms.
    """
    attempt = row["attempts"] + 1
    if attempt >= row["max_attempts"]:
        _finish(tx, row, InvocationStatus.FAILED, error)
        return None
    due_at = tx.now + (delays[min(attempt, len(delays)) - 1] if delays else 0)
    _change(tx, row["id"], status=_PENDING, due_at=due_at, last_error=error)
    tx.touch("invocation", row["id"])
    return due_at


def give_up(tx: Transaction, row: RowMapping, error: str) -> None:
    """No attempt can ever succeed: the function is gone."""
    _finish(tx, row, InvocationStatus.FAILED, error)


def put_back(tx: Transaction, row: RowMapping, delay: Millis) -> None:
    """The attempt did not take place."""
    _change(tx, row["id"], status=_PENDING, attempts=row["attempts"], due_at=tx.now + delay)


def recover(tx: Transaction) -> None:
    """After a start: what was running when the server ended is to be run again; that attempt does not count."""
    again = {"status": _PENDING, "attempts": invocations.c.attempts - 1, "due_at": tx.now}
    tx.execute(sa.update(invocations).where(invocations.c.status == _RUNNING).values(again))


def find(look: Reader, invocation_id: str) -> RowMapping | None:
    return look.one(sa.select(invocations).where(invocations.c.id == invocation_id))


def runs_of(look: Reader, function: str) -> sa.Select[Any]:
    """What was queued for that function and is still known."""
    known = invocations.c.status.in_([status.value for status in InvocationStatus])
    return sa.select(invocations).where(newest.holds(look, invocations.c.function_name, function, known))


def due(look: Reader, now: Millis) -> Sequence[str]:
    """The names of functions that have something to do."""
    query = sa.select(invocations.c.function_name).distinct()
    rows = look.all(query.where(invocations.c.status == _PENDING, invocations.c.due_at <= now))
    return [row["function_name"] for row in rows]


def next_due(look: Reader, now: Millis) -> Millis | None:
    """When something will be due that is not yet."""
    query = sa.select(sa.func.min(invocations.c.due_at))
    moment: Millis | None = look.scalar(query.where(invocations.c.status == _PENDING, invocations.c.due_at > now))
    return moment


def is_unstarted(look: Reader, source: str, prefix: str) -> bool:
    """Whether an invocation from that source, whose source_id starts so, waits for its first attempt or runs."""
    waiting = sa.or_(
        invocations.c.status == _RUNNING, sa.and_(invocations.c.status == _PENDING, invocations.c.attempts == 0)
    )
    mine = (invocations.c.source == source, invocations.c.source_id.startswith(prefix, autoescape=True))
    return look.one(sa.select(invocations.c.id).where(*mine, waiting).limit(1)) is not None


def prune(tx: Transaction) -> None:
    """Forgets what ended long ago."""
    for status, keep in ((InvocationStatus.SUCCEEDED, _KEEP_SUCCEEDED), (InvocationStatus.FAILED, _KEEP_FAILED)):
        old = sa.and_(invocations.c.status == status, invocations.c.finished_at < tx.now - keep)
        tx.execute(sa.delete(invocations).where(old))


def _finish(tx: Transaction, row: RowMapping, status: InvocationStatus, error: str | None) -> None:
    _change(tx, row["id"], status=status, finished_at=tx.now, last_error=error, payload=b"")
    tx.touch("invocation", row["id"])


def _change(tx: Transaction, invocation_id: str, **values: object) -> None:
    tx.execute(sa.update(invocations).where(invocations.c.id == invocation_id).values(values))
