"""Topics, subscriptions, what was published, and the outbox of deliveries that is also the delivery log."""

import sqlalchemy as sa

from fleetward.store.tables.base import Millis, metadata

topics = sa.Table(
    "topics",
    metadata,
    sa.Column("name", sa.String(256), primary_key=True),
    sa.Column("attributes", sa.JSON, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
)

# A deleted subscription stays for as long as its unsubscribe confirmation may restore it.
_LIVE = sa.text("status <> 'deleted'")

subscriptions = sa.Table(
    "subscriptions",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("topic_name", sa.ForeignKey("topics.name", ondelete="CASCADE"), nullable=False),
    sa.Column("protocol", sa.String(16), nullable=False),
    sa.Column("endpoint", sa.String(2048), nullable=False),
    sa.Column("attributes", sa.JSON, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("principal", sa.String(2048)),
    # The SHA-256 of the one token that confirms it; the token itself is never stored (notify/signature.py derives it).
    sa.Column("token_issue", sa.Integer, nullable=False),
    sa.Column("token_hash", sa.String(64), index=True),
    sa.Column("token_expires_at", Millis),
    sa.Column("confirmation_authenticated", sa.Boolean, nullable=False),
    sa.Column("authenticate_on_unsubscribe", sa.Boolean, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    sa.Column("deleted_at", Millis),
    sa.Index(
        "uq_subscriptions_live_endpoint",
        "topic_name",
        "protocol",
        "endpoint",
        unique=True,
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    ),
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("id", sa.String(100), primary_key=True),
    # No foreign keys from here down: the log outlives topics and subscriptions.
    sa.Column("topic_name", sa.String(256), nullable=False, index=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("subject", sa.Text),
    sa.Column("structure", sa.String(16)),
    sa.Column("attributes", sa.JSON, nullable=False),
    sa.Column("email_subject", sa.Text),
    sa.Column("email_text", sa.Text),
    sa.Column("created_at", Millis, nullable=False, index=True),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    # AUTOINCREMENT: a delivery's number names it in the functions room and must never name another one.
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("message_id", sa.ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
    sa.Column("subscription_id", sa.String(36), nullable=False),
    sa.Column("protocol", sa.String(16), nullable=False),
    sa.Column("endpoint", sa.String(2048), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", Millis),
    sa.Column("code", sa.Integer),
    sa.Column("last_error", sa.Text),
    sa.Column("created_at", Millis, nullable=False),
    sa.Column("attempted_at", Millis),
    sa.UniqueConstraint("message_id", "subscription_id"),
    sa.Index("ix_deliveries_due", "status", "subscription_id", "next_at"),
    sqlite_autoincrement=True,
)

mails = sa.Table(
    "mails",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("message_id", sa.String(100), nullable=False),
    sa.Column("sender", sa.Text, nullable=False),
    sa.Column("recipient", sa.String(320), nullable=False, index=True),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created_at", Millis, nullable=False),
    sqlite_autoincrement=True,
)
