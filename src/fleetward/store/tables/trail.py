"""The audit trail: who changed what, from where, when, and what it was before and after."""

import sqlalchemy as sa

from fleetward.store.tables.base import Millis, metadata

trail = sa.Table(
    "trail",
    metadata,
    # AUTOINCREMENT: the id is the paging token of readers.
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("time", Millis, nullable=False, index=True),
    sa.Column("principal", sa.String(2048), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("operation", sa.String(128), nullable=False),
    sa.Column("request_id", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    # What was changed, in the words of the table: kind "thing group member", name "IsolatedDevices/SensorDevice02".
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("name", sa.String(2048), nullable=False),
    sa.Column("before", sa.JSON(none_as_null=True)),
    sa.Column("after", sa.JSON(none_as_null=True)),
    sa.Index("ix_trail_name", "kind", "name", "id"),
    sa.Index("ix_trail_principal", "principal", "id"),
    sqlite_autoincrement=True,
)
