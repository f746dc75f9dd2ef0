"""Device shadows. They outlive the things they are named after, and need none."""

import sqlalchemy as sa

from fleetward.store.tables.base import Millis, metadata

shadows = sa.Table(
    "shadows",
    metadata,
    sa.Column("thing", sa.String(128), primary_key=True),
    # Empty for the classic shadow, which has no name.
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("state", sa.JSON, nullable=False),
    sa.Column("stamps", sa.JSON, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    # The certificate of the device that made it; null when it was made over the API.
    sa.Column("made_by", sa.String(64), index=True),
    # A deleted shadow stays for as long as a new one takes up its version.
    sa.Column("deleted_at", Millis, index=True),
)
