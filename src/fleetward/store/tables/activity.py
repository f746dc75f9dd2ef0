"""What devices' connections did: begins, ends and refusals, so that whoever asks later why a device is away is told."""

import sqlalchemy as sa

from fleetward.store.tables.base import Millis, metadata

activity = sa.Table(
    "activity",
    metadata,
    # AUTOINCREMENT: the id is the paging token of readers, and the oldest go first.
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("thing", sa.String(128), nullable=False),
    sa.Column("time", Millis, nullable=False, index=True),
    # connected, disconnected or refused
    sa.Column("event", sa.String(16), nullable=False),
    sa.Column("client_id", sa.String(128), nullable=False),
    sa.Column("certificate_id", sa.String(64), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("reason", sa.String(256), nullable=False),
    sa.Index("ix_activity_thing", "thing", "id"),
    sa.Index("ix_activity_certificate", "certificate_id", "id"),
    sqlite_autoincrement=True,
)
"""`thing` is the thing that a connection stood for, or else the name that what it did was counted under; of a refusal
it is empty where the certificate does not tell which thing it was.
"""
