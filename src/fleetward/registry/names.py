"""Looking names up: by how they begin, and by what they resemble."""

from __future__ import annotations

import difflib
from typing import Any

import sqlalchemy as sa

from fleetward.store.database import Reader

LAST_CHARACTER = "\U0010ffff"
NEIGHBOURS = 50


def begins_with(column: sa.ColumnElement[str], prefix: str) -> sa.ColumnElement[bool]:
    """A range of the column's index; LIKE would look at every row, and not mind upper and lower case."""
    return sa.and_(column >= prefix, column < prefix + LAST_CHARACTER)


def near_name(look: Reader, column: sa.Column[str], wanted: str, as_beginning: bool = False) -> str:
    """A hint for a name that is not there: ` Did you mean X?`, or nothing.

    Only its neighbours in the order of names are looked at, so that the hint costs two index ranges; `as_beginning`
    compares with as much of them as was asked for.
    """
    before = _neighbours(look, column, column < wanted, column.desc())
    after = _neighbours(look, column, column > wanted, column.asc())
    candidates = [name[: len(wanted)] if as_beginning else name for name in before + after]
    close = difflib.get_close_matches(wanted, candidates, n=1, cutoff=0.8)
    return f" Did you mean {close[0]}?" if close else ""


def _neighbours(look: Reader, column: sa.Column[str], side: sa.ColumnElement[bool], order: Any) -> list[str]:
    return list(look.execute(sa.select(column).where(side).order_by(order).limit(NEIGHBOURS)).scalars())
