"""The delivery log: what became of every message, through to the function it set off."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from fleetward.arn import Arns
from fleetward.notify import subscriptions
from fleetward.notify.channels.function import SOURCE
from fleetward.store import newest
from fleetward.store.database import Reader
from fleetward.store.tables.functions import invocations
from fleetward.store.tables.notify import deliveries, messages


def delivery_log(
    look: Reader, arns: Arns, topic: str | None = None, message_id: str | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """The newest deliveries first, of a topic or of one message.

    A row: delivery, message_id, kind, subject, topic_arn, subscription_arn, protocol, endpoint, status, attempts, code,
    error, next_at, created_at, attempted_at; and for one handed over to a function: invocation_id, invocation_status,
    invocation_attempts. `error` is the function's once the delivery itself has succeeded. Times in epoch milliseconds.
    """
    rows = [dict(row) for row in look.all(deliveries_before(look, None, topic, message_id).limit(limit))]
    for row in rows:
        topic_name = row.pop("topic_name")
        row["topic_arn"] = arns.topic(topic_name)
        row["subscription_arn"] = subscriptions.arn(arns, topic_name, row.pop("subscription_id"))
    return rows


def deliveries_before(
    look: Reader, number: int | None, topic: str | None = None, message_id: str | None = None
) -> sa.Select[Any]:
    """The deliveries with a smaller number (None: all), the newest first, of a topic or of one message."""
    query = _joined().order_by(deliveries.c.id.desc())
    if number is not None:
        query = query.where(deliveries.c.id < number)
    if topic is not None:
        query = query.where(newest.holds(look, messages.c.topic_name, topic))
    if message_id is not None:
        query = query.where(messages.c.id == message_id)
    return query


def _joined() -> sa.Select[Any]:
    invoked = sa.and_(invocations.c.source == SOURCE, invocations.c.source_id == sa.cast(deliveries.c.id, sa.String))
    return sa.select(
        deliveries.c.id.label("delivery"),
        deliveries.c.message_id,
        messages.c.kind,
        messages.c.subject,
        messages.c.topic_name,
        deliveries.c.subscription_id,
        deliveries.c.protocol,
        deliveries.c.endpoint,
        deliveries.c.status,
        deliveries.c.attempts,
        deliveries.c.code,
        sa.func.coalesce(invocations.c.last_error, deliveries.c.last_error).label("error"),
        deliveries.c.next_at,
        deliveries.c.created_at,
        deliveries.c.attempted_at,
        invocations.c.id.label("invocation_id"),
        invocations.c.status.label("invocation_status"),
        invocations.c.attempts.label("invocation_attempts"),
    ).select_from(deliveries.join(messages).outerjoin(invocations, invoked))
