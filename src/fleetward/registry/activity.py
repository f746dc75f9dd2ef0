"""What devices' connections did, as it is kept: the latest of each thing, and not for ever."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.model import Millis
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.activity import activity

CONNECTED, DISCONNECTED, REFUSED = "connected", "disconnected", "refused"

NOBODY = ""
"""Stands for the thing in what is certainly no one thing's."""

OF_A_THING = 500
"""Events of a thing that are kept."""

OF_ALL = 1_000_000
"""Events that are kept altogether: names of things and clients can be made up without end."""

DAYS = 30

_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Event:
    thing: str
    time: Millis
    event: str
    client_id: str
    certificate_id: str
    address: str
    reason: str


_NAMES = tuple(field.name for field in fields(Event))

_SURPLUS = (
    sa.select(activity.c.id)
    .where(activity.c.thing == sa.bindparam("whose"))
    .order_by(activity.c.id.desc())
    .offset(OF_A_THING)
    .limit(1)
)
_FORGET_SURPLUS = activity.delete().where(
    activity.c.thing == sa.bindparam("whose"), activity.c.id <= _SURPLUS.scalar_subquery()
)


def write(tx: Transaction, events: Sequence[Event]) -> None:
    """Keeps the events, and of each of their things no more than it may have."""
    tx.execute(activity.insert(), [dict(zip(_NAMES, astuple(event), strict=True)) for event in events])
    tx.execute(_FORGET_SURPLUS, [{"whose": thing} for thing in {event.thing for event in events}])


def prune(tx: Transaction) -> None:
    """Forgets what is old or too much."""
    last = tx.scalar(sa.select(sa.func.max(activity.c.id))) or 0
    tx.execute(activity.delete().where(activity.c.time < tx.now - DAYS * _DAY))
    tx.execute(activity.delete().where(activity.c.id <= last - OF_ALL))


def of_thing(thing: str) -> sa.Select[Any]:
    return sa.select(activity).where(activity.c.thing == thing)


def latest_connect(look: Reader, certificates: Collection[str]) -> RowMapping | None:
    """The latest begin of a session with one of these certificates, whatever it stood for."""
    found = [
        row for certificate in certificates if (row := look.one(_LATEST_CONNECT, certificate=certificate)) is not None
    ]
    return max(found, key=lambda row: row["id"], default=None)


_LATEST_CONNECT = (
    sa.select(activity)
    .where(activity.c.certificate_id == sa.bindparam("certificate"), activity.c.event == CONNECTED)
    .order_by(activity.c.id.desc())
    .limit(1)
)
