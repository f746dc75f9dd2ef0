"""Which things are cut off now, so that a release that a crash interrupted is still carried through."""

import sqlalchemy as sa

from fleetward.store.tables.base import Millis, metadata

isolations = sa.Table(
    "isolations",
    metadata,
    sa.Column("thing", sa.String(128), primary_key=True),
    sa.Column("since", Millis, nullable=False),
)
