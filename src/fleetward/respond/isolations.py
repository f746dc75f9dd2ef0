"""The record of which things are cut off, kept apart from the policies that do it.

It lags behind the registry on purpose: a thing is struck off only after its release has been carried through
(violations closed, windows zeroed), so that at the next start the difference to the registry is what a crash left
undone.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from fleetward.model import Millis
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.respond import isolations


def known(look: Reader) -> set[str]:
    return set(look.execute(sa.select(isolations.c.thing)).scalars())


def since(look: Reader, thing: str) -> Millis | None:
    """Since when a thing is on record as isolated."""
    moment: Millis | None = look.scalar(sa.select(isolations.c.since).where(isolations.c.thing == thing))
    return moment


def mark(tx: Transaction, things: Iterable[str]) -> None:
    """Puts things on record as isolated since now; those that are on record already keep their time."""
    before = known(tx)
    rows = [{"thing": thing, "since": tx.now} for thing in things if thing not in before]
    if rows:
        tx.execute(isolations.insert(), rows)


def strike(tx: Transaction, thing: str) -> None:
    tx.execute(isolations.delete().where(isolations.c.thing == thing))
