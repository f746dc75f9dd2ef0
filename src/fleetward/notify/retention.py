"""What this room forgets: told messages after two weeks, and subscriptions nobody confirmed or restored in time."""

from __future__ import annotations

import sqlalchemy as sa

from fleetward.notify.records import Standing, Status
from fleetward.store.database import Transaction
from fleetward.store.tables.notify import deliveries, messages, subscriptions

KEPT_FOR = 14 * 24 * 3600 * 1000
MAX_MESSAGES = 100_000


def forget(tx: Transaction) -> None:
    """Never forgets a message that somebody is still to receive."""
    pending = sa.select(deliveries.c.message_id).where(deliveries.c.status == Status.PENDING.value)
    newest_of_the_rest = (
        sa.select(messages.c.created_at)
        .order_by(messages.c.created_at.desc())
        .offset(MAX_MESSAGES)
        .limit(1)
        .scalar_subquery()
    )
    old = sa.or_(messages.c.created_at < tx.now - KEPT_FOR, messages.c.created_at <= newest_of_the_rest)
    tx.execute(sa.delete(messages).where(old, messages.c.id.not_in(pending)))
    unconfirmed = (subscriptions.c.status == Standing.PENDING.value) & (subscriptions.c.token_expires_at <= tx.now)
    ended = (subscriptions.c.status == Standing.DELETED.value) & (
        sa.func.coalesce(subscriptions.c.token_expires_at, subscriptions.c.deleted_at) <= tx.now
    )
    tx.execute(sa.delete(subscriptions).where(unconfirmed | ended))
