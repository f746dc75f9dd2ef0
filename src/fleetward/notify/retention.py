"""What this room forgets: told messages after two weeks, and subscriptions nobody confirmed or restored in time."""

from __future__ import annotations

import sqlalchemy as sa

from fleetward.notify.records import Standing, Status
from fleetward.store.database import Transaction
from fleetward.store.tables.notify import deliveries, messages, subscriptions

KEPT_FOR = 14 * 24 * 3600 * 1000
MAX_MESSAGES = 100_000
AT_ONCE = 500
"""Messages forgotten in one transaction: whoever else wants to write waits no longer than for these."""


def forget(tx: Transaction) -> int:
    """Forgets at most AT_ONCE messages, the oldest first; returns how many. Never one that somebody is to receive."""
    pending = sa.exists().where(deliveries.c.message_id == messages.c.id, deliveries.c.status == Status.PENDING.value)
    newest = sa.select(messages.c.created_at).order_by(messages.c.created_at.desc()).offset(MAX_MESSAGES).limit(1)
    until = max(tx.now - KEPT_FOR - 1, tx.scalar(newest) or 0)
    some = sa.select(messages.c.id).where(messages.c.created_at <= until, ~pending)
    some = some.order_by(messages.c.created_at).limit(AT_ONCE)
    forgotten = tx.execute(sa.delete(messages).where(messages.c.id.in_(some))).rowcount
    _forget_subscriptions(tx)
    return forgotten


def _forget_subscriptions(tx: Transaction) -> None:
    unconfirmed = (subscriptions.c.status == Standing.PENDING.value) & (subscriptions.c.token_expires_at <= tx.now)
    ended = (subscriptions.c.status == Standing.DELETED.value) & (
        sa.func.coalesce(subscriptions.c.token_expires_at, subscriptions.c.deleted_at) <= tx.now
    )
    tx.execute(sa.delete(subscriptions).where(unconfirmed | ended))
