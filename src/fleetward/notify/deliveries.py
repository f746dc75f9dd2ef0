"""The outbox: messages and their deliveries as rows, written in the publisher's transaction before anything is sent.

A delivery under way is marked only in the deliverer's memory, so that after a crash it is simply due again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from fleetward.model import Millis
from fleetward.notify.channels.http import masked
from fleetward.notify.records import Delivery, Kind, Message, Status, Subscription
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.notify import deliveries, messages

MAX_ERROR = 1000
_PENDING = deliveries.c.status == Status.PENDING.value


# Built once: mass alarms publish by the hundred thousand.
_KNOWN = sa.select(messages.c.id).where(messages.c.id.in_(sa.bindparam("ids", expanding=True)))
_STORE = sa.insert(messages)
_ADD = sa.insert(deliveries)


def store(tx: Transaction, given: Sequence[Message]) -> list[Message]:
    """Keeps messages; returns those whose id was not kept already."""
    news = {message.id: message for message in given}
    for known in tx.execute(_KNOWN, {"ids": list(news)}).scalars().all():
        del news[known]
    if news:
        tx.execute(_STORE, [_row(message) for message in news.values()])
    return list(news.values())


def _row(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "topic_name": message.topic,
        "kind": message.kind.value,
        "text": message.text,
        "subject": message.subject,
        "structure": message.structure,
        "attributes": message.attributes,
        "email_subject": message.email_subject,
        "email_text": message.email_text,
        "created_at": message.created_at,
    }


def add(tx: Transaction, addressed: Sequence[tuple[Message, Subscription]]) -> None:
    """One delivery, due at once, of each kept message to the subscription beside it."""
    if not addressed:
        return
    rows = [
        {
            "message_id": message.id,
            "subscription_id": subscription.id,
            "protocol": subscription.protocol,
            "endpoint": masked(subscription.endpoint),
            "status": Status.PENDING.value,
            "attempts": 0,
            "next_at": tx.now,
            "created_at": tx.now,
        }
        for message, subscription in addressed
    ]
    tx.execute(_ADD, rows)
    tx.touch("delivery")


def message(look: Reader, message_id: str) -> Message:
    row = look.one(sa.select(messages).where(messages.c.id == message_id))
    if row is None:
        raise LookupError(f"message {message_id} is gone")
    values = {key: value for key, value in row.items() if key not in ("topic_name", "kind")}
    return Message(topic=row["topic_name"], kind=Kind(row["kind"]), **values)


def due(
    look: Reader,
    now: Millis,
    limit: int,
    under_way: Collection[int] = (),
    busy_subscriptions: Collection[str] = (),
    busy_protocols: Collection[str] = (),
) -> list[Delivery]:
    """The deliveries to attempt now, the longest due first, without those named."""
    query = (
        sa.select(*(deliveries.c[name] for name in Delivery.__dataclass_fields__))
        .where(
            _PENDING,
            deliveries.c.next_at <= now,
            deliveries.c.id.not_in(under_way),
            deliveries.c.subscription_id.not_in(busy_subscriptions),
            deliveries.c.protocol.not_in(busy_protocols),
        )
        .order_by(deliveries.c.next_at, deliveries.c.id)
        .limit(limit)
    )
    return [Delivery(**row) for row in look.all(query)]


def next_due(look: Reader, now: Millis) -> Millis | None:
    """When the first delivery that is not due yet falls due."""
    due_at: Millis | None = look.scalar(
        sa.select(sa.func.min(deliveries.c.next_at)).where(_PENDING, deliveries.c.next_at > now)
    )
    return due_at


def record(
    tx: Transaction,
    delivery_id: int,
    status: Status,
    next_at: Millis | None = None,
    code: int | None = None,
    error: str | None = None,
) -> bool:
    """Writes down how an attempt ended; False, and nothing written, when the delivery has ended meanwhile."""
    changed = tx.execute(
        sa.update(deliveries)
        .where(deliveries.c.id == delivery_id, _PENDING)
        .values(
            status=status.value,
            attempts=deliveries.c.attempts + 1,
            next_at=next_at,
            code=code,
            last_error=error and error[:MAX_ERROR],
            attempted_at=tx.now,
        )
    )
    return changed.rowcount == 1


def count(look: Reader) -> dict[str, int]:
    """How many deliveries stand where; every status is there."""
    query = sa.select(deliveries.c.status, sa.func.count().label("number")).group_by(deliveries.c.status)
    found = {row["status"]: row["number"] for row in look.all(query)}
    return {status.value: found.get(status.value, 0) for status in Status}
