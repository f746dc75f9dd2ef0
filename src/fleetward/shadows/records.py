"""Shadows in the store: each change reads, merges and writes in the caller's one transaction, so that none is lost."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.model import Millis
from fleetward.shadows import document
from fleetward.shadows.document import Shadow, Update
from fleetward.shadows.request import check_size
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.registry import things
from fleetward.store.tables.shadows import shadows

VERSION_KEPT: Millis = 48 * 3_600_000
"""How long the version of a deleted shadow is taken up by a new one (developer guide, "Interacting with shadows")."""

MAX_BY_DEVICES = 100
"""Shadows, deleted ones included, that devices may make for one registered thing; and one certificate for all the names
that no thing has. AWS has no such bound, but there the disk is not yours."""

THING_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
SHADOW_NAME = re.compile(r"[$a-zA-Z0-9:_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Key:
    """Which shadow: the classic one has no name. The thing need not be registered, nor stay so."""

    thing: str
    name: str = ""

    @property
    def valid(self) -> bool:
        named = not self.name or SHADOW_NAME.fullmatch(self.name)
        return bool(named and THING_NAME.fullmatch(self.thing))


def get(look: Reader, key: Key) -> Shadow:
    row = _row(look, key)
    if row is None or row["deleted_at"] is not None:
        raise _no_shadow(key)
    return Shadow(row["state"], row["stamps"], row["version"])


def update(tx: Transaction, key: Key, change: Update, maker: str | None) -> tuple[Shadow, Shadow]:
    """The shadow before and after; made when there is none. `maker` is the certificate of a device that asks."""
    row = _row(tx, key, tx.now)
    if row is None and maker is not None:
        _check_room(tx, key, maker)
    before = Shadow(row["state"], row["stamps"], row["version"]) if row is not None else Shadow()
    after = document.apply(before, change, tx.now // 1000)
    check_size(after.state)
    values = {"state": after.state, "stamps": after.stamps, "version": after.version, "deleted_at": None}
    if row is None:
        forget(tx, key)
        tx.execute(sa.insert(shadows).values(thing=key.thing, name=key.name, made_by=maker, **values))
    else:
        tx.execute(sa.update(shadows).where(_is(key)).values(values))
    return before, after


def delete(tx: Transaction, key: Key) -> Shadow:
    """The shadow that is deleted; its version stays known for a while."""
    shadow = get(tx, key)
    tx.execute(sa.update(shadows).where(_is(key)).values(state={}, stamps={}, deleted_at=tx.now))
    tx.execute(sa.delete(shadows).where(shadows.c.deleted_at <= tx.now - VERSION_KEPT))
    return shadow


def forget(tx: Transaction, key: Key) -> None:
    """Removes what is left of a shadow that was deleted long ago."""
    tx.execute(sa.delete(shadows).where(_is(key)))


def named(thing: str) -> sa.Select[Any]:
    """The names of a thing's named shadows, for a page of them."""
    return sa.select(shadows.c.name).where(
        shadows.c.thing == thing, shadows.c.name != "", shadows.c.deleted_at.is_(None)
    )


def _row(look: Reader, key: Key, now: Millis | None = None) -> RowMapping | None:
    """The shadow's row, to be changed when `now` is given: then without one that was deleted too long ago."""
    statement = sa.select(shadows).where(_is(key))
    if now is not None:
        kept = sa.or_(shadows.c.deleted_at.is_(None), shadows.c.deleted_at > now - VERSION_KEPT)
        statement = statement.where(kept).with_for_update()
    return look.one(statement)


def _check_room(tx: Transaction, key: Key, maker: str) -> None:
    """Raises errors.Throttling when devices have made as many shadows as they may."""
    registered = tx.scalar(sa.select(things.c.id).where(things.c.name == key.thing))
    made = sa.select(sa.func.count()).select_from(shadows).where(shadows.c.made_by.isnot(None))
    if registered:
        made = made.where(shadows.c.thing == key.thing)
    else:
        has_thing = sa.exists().where(things.c.name == shadows.c.thing)
        made = made.where(shadows.c.made_by == maker, ~has_thing)
    if tx.scalar(made) >= MAX_BY_DEVICES:
        raise errors.Throttling(f"Devices may make no more than {MAX_BY_DEVICES} shadows here")


def _is(key: Key) -> sa.ColumnElement[bool]:
    return sa.and_(shadows.c.thing == key.thing, shadows.c.name == key.name)


def _no_shadow(key: Key) -> errors.ResourceNotFound:
    return errors.ResourceNotFound(f"No shadow exists with name: '{key.name or key.thing}'")
