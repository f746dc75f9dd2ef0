"""The newest rows with some value, where the index on that value does not know their order."""

from __future__ import annotations

import sqlalchemy as sa

from fleetward.store.database import Reader

MANY = 2_000
"""Rows beyond which sorting them costs more than going back from the newest until a page is full."""


def holds(look: Reader, column: sa.Column[str], value: str, *also: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """That `column` is `value`, said so that an index finds few rows, and many are met by going back from the newest.

    `also` is what else the index wants to know.
    """
    found = look.all(sa.select(sa.literal(1).label("one")).where(column == value, *also).limit(MANY + 1))
    return column.concat("") == value if len(found) > MANY else sa.and_(column == value, *also)
