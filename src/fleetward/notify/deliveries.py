"""The outbox: messages and their deliveries as rows, written in the publisher's transaction before anything is sent.

A delivery under way is marked only in the deliverer's memory, so that after a crash it is simply due again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from fleetward.model import Millis
from fleetward.notify.channels.http import masked
from fleetward.notify.records import Delivery, Heading, Kind, Message, Status, Subscription
from fleetward.store.bulk import execute_many
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
        execute_many(tx, _STORE, [_row(message) for message in news.values()])
    return list(news.values())


def _row(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "topic_name": message.topic,
        "kind": message.kind.value,
        "text": message.text,
        "subject": message.subject,
        "structure": message.structure,
        "attributes": json.dumps(message.attributes) if message.attributes else "{}",
        "email_subject": message.email_subject,
        "email_text": message.email_text,
        "created_at": message.created_at,
    }


def add(tx: Transaction, addressed: Sequence[tuple[Message, Subscription]]) -> None:
    """One delivery, due at once, of each kept message to the subscription beside it."""
    if not addressed:
        return
    readers = {subscription.id: subscription for _, subscription in addressed}
    endpoints = {id: masked(subscription.endpoint) for id, subscription in readers.items()}
    rows = [
        {
            "message_id": message.id,
            "subscription_id": subscription.id,
            "protocol": subscription.protocol,
            "endpoint": endpoints[subscription.id],
            "status": Status.PENDING.value,
            "attempts": 0,
            "next_at": tx.now,
            "created_at": tx.now,
        }
        for message, subscription in addressed
    ]
    execute_many(tx, _ADD, rows)
    tx.touch("delivery")


def message(look: Reader, message_id: str) -> Message:
    row = look.one(sa.select(messages).where(messages.c.id == message_id))
    if row is None:
        raise LookupError(f"message {message_id} is gone")
    values = {key: value for key, value in row.items() if key not in ("topic_name", "kind")}
    return Message(topic=row["topic_name"], kind=Kind(row["kind"]), **values)


def headings(look: Reader, message_ids: Sequence[str]) -> list[Heading]:
    """What a line tells of each message, in their order."""
    found = {
        row["id"]: Heading(row["created_at"], row["subject"])
        for row in look.execute(_HEADINGS, {"ids": message_ids}).mappings()
    }
    return [found[id] for id in message_ids]


def due(
    look: Reader,
    now: Millis,
    limit: int,
    per_subscription: int,
    under_way: Collection[int] = (),
    busy_subscriptions: Collection[str] = (),
    busy_protocols: Collection[str] = (),
) -> list[Delivery]:
    """The deliveries to attempt now, the longest due first, without those named; so many of each subscription.

    The cost grows with the subscriptions that wait, not with the deliveries that do.
    """
    values = {
        "now": now,
        "limit": limit,
        "per_subscription": per_subscription,
        "under_way": list(under_way),
        "busy_subscriptions": list(busy_subscriptions),
        "busy_protocols": list(busy_protocols),
    }
    return [Delivery(**row) for row in look.execute(_DUE, values).mappings()]


def notifications_due(
    look: Reader, subscription_id: str, now: Millis, limit: int, under_way: Collection[int]
) -> list[Delivery]:
    """The notifications to deliver to one subscription now, the longest due first."""
    values = {"subscription": subscription_id, "now": now, "limit": limit, "under_way": list(under_way)}
    return [Delivery(**row) for row in look.execute(_NOTIFICATIONS_DUE, values).mappings()]


def next_due(look: Reader, now: Millis) -> Millis | None:
    """When the first delivery that is not due yet falls due."""
    due_at: Millis | None = look.execute(_NEXT_DUE, {"now": now}).scalar()
    return due_at


def _waiting() -> sa.CTE:
    """The subscriptions with pending deliveries, each found by one step in the index, and NULL at the end."""
    smallest = sa.select(sa.func.min(deliveries.c.subscription_id).label("subscription_id")).where(_PENDING)
    found = smallest.cte("waiting", recursive=True)
    following = smallest.where(deliveries.c.subscription_id > found.c.subscription_id).scalar_subquery()
    return found.union_all(sa.select(following).where(found.c.subscription_id.is_not(None)))


def _due_query() -> sa.Select[Any]:
    waiting, queued = _waiting(), deliveries.alias()
    first_due = (
        sa.select(queued.c.id)
        .where(
            queued.c.status == Status.PENDING.value,
            queued.c.subscription_id == waiting.c.subscription_id,
            queued.c.next_at <= sa.bindparam("now"),
            queued.c.id.not_in(sa.bindparam("under_way", expanding=True)),
        )
        .order_by(queued.c.next_at, queued.c.id)
        .limit(sa.bindparam("per_subscription", type_=sa.Integer))
    )
    return (
        sa.select(*(deliveries.c[name] for name in Delivery.__dataclass_fields__))
        .join_from(waiting, deliveries, deliveries.c.id.in_(first_due))
        .where(
            waiting.c.subscription_id.not_in(sa.bindparam("busy_subscriptions", expanding=True)),
            deliveries.c.protocol.not_in(sa.bindparam("busy_protocols", expanding=True)),
        )
        .order_by(deliveries.c.next_at, deliveries.c.id)
        .limit(sa.bindparam("limit", type_=sa.Integer))
    )


def _next_due_query() -> sa.Select[Any]:
    waiting = _waiting()
    of_each = deliveries.c.subscription_id == waiting.c.subscription_id
    later = (_PENDING, of_each, deliveries.c.next_at > sa.bindparam("now"))
    next_of_each = sa.select(sa.func.min(deliveries.c.next_at)).where(*later).scalar_subquery()
    return sa.select(sa.func.min(next_of_each)).select_from(waiting)


_HEADINGS = sa.select(
    messages.c.id,
    messages.c.created_at,
    sa.func.coalesce(messages.c.email_subject, messages.c.subject, "").label("subject"),
).where(messages.c.id.in_(sa.bindparam("ids", expanding=True)))

_NOTIFICATIONS_DUE = (
    sa.select(*(deliveries.c[name] for name in Delivery.__dataclass_fields__))
    .join_from(deliveries, messages)
    .where(
        _PENDING,
        deliveries.c.subscription_id == sa.bindparam("subscription"),
        deliveries.c.next_at <= sa.bindparam("now"),
        deliveries.c.id.not_in(sa.bindparam("under_way", expanding=True)),
        messages.c.kind == Kind.NOTIFICATION.value,
    )
    .order_by(deliveries.c.next_at, deliveries.c.id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)

# Built once: they are asked after each attempt.
_DUE = _due_query()
_NEXT_DUE = _next_due_query()


def record(
    tx: Transaction,
    delivery_ids: Sequence[int],
    status: Status,
    next_at: Millis | None = None,
    code: int | None = None,
    error: str | None = None,
) -> bool:
    """Writes down how an attempt at deliveries ended; not of those that have ended meanwhile, False if all have."""
    changed = tx.execute(
        sa.update(deliveries)
        .where(deliveries.c.id.in_(delivery_ids), _PENDING)
        .values(
            status=status.value,
            attempts=deliveries.c.attempts + 1,
            next_at=next_at,
            code=code,
            last_error=error and error[:MAX_ERROR],
            attempted_at=tx.now,
        )
    )
    return changed.rowcount > 0


def count(look: Reader) -> dict[str, int]:
    """How many deliveries stand where; every status is there."""
    query = sa.select(deliveries.c.status, sa.func.count().label("number")).group_by(deliveries.c.status)
    found = {row["status"]: row["number"] for row in look.all(query)}
    return {status.value: found.get(status.value, 0) for status in Status}
