"""The attributes of things: how many there may be, and which of them things can be found by.

Things without a type have at most 3 attributes and are found by each; things with one have at most 50 and are found by
those that their type makes searchable (AWS IoT Core developer guide, "Thing types").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from fleetward import errors
from fleetward.registry.names import begins_with
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.registry import thing_attributes, things

MAX_WITHOUT_TYPE = 3
MAX_WITH_TYPE = 50


def check(attributes: Mapping[str, str], type_name: str | None) -> None:
    """Refuses more attributes than a thing of that type (None: of no type) may have."""
    most = MAX_WITHOUT_TYPE if type_name is None else MAX_WITH_TYPE
    if len(attributes) > most:
        raise errors.InvalidRequest(
            f"A thing {'without' if type_name is None else 'with'} a thing type can have at most {most} attributes, "
            f"not {len(attributes)}"
        )


def index(tx: Transaction, thing: str, attributes: Mapping[str, str], searchable: Sequence[str] | None) -> None:
    """Lets a new thing be found by its attributes; only by those in `searchable` unless that is None."""
    rows = [
        {"attribute": name, "value": value, "thing_name": thing}
        for name, value in attributes.items()
        if searchable is None or name in searchable
    ]
    if rows:
        tx.execute(thing_attributes.insert(), rows)


def forget(tx: Transaction, thing: str) -> None:
    tx.execute(thing_attributes.delete().where(thing_attributes.c.thing_name == thing))


def index_type(tx: Transaction, type_name: str, added: Sequence[str], removed: Sequence[str]) -> None:
    """A type's searchable attributes changed: lets all its things be found by the new ones."""
    of_type = things.c.type_name == type_name
    mine = thing_attributes.c.thing_name.in_(sa.select(things.c.name).where(of_type))
    tx.execute(thing_attributes.delete().where(thing_attributes.c.attribute.in_(list(removed)), mine))
    for name in added:
        value = things.c.attributes[name].as_string()
        found = sa.select(sa.literal(name), value, things.c.name).where(of_type, value.is_not(None))
        tx.execute(thing_attributes.insert().from_select(["attribute", "value", "thing_name"], found))


def find(
    look: Reader,
    attribute: str,
    value: str | None,
    limit: int,
    after: tuple[str, str] | None,
    prefix: bool = False,
    type_name: str | None = None,
) -> Sequence[sa.RowMapping]:
    """Rows of things, with `found` as the attribute's value, in the order of (value, name) and behind `after`.

    Only things with exactly that value (None: with any), or with `prefix` with one that begins with it.
    """
    place = thing_attributes.c
    statement = sa.select(things, place.value.label("found")).join(thing_attributes, place.thing_name == things.c.name)
    statement = statement.where(place.attribute == attribute)
    if type_name is not None:
        statement = statement.where(things.c.type_name == type_name)
    if value is not None and not prefix:
        statement = statement.where(place.value == value)
        if after is not None:
            statement = statement.where(place.thing_name > after[1])
        return look.all(statement.order_by(place.thing_name).limit(limit))
    if value is not None:
        statement = statement.where(begins_with(place.value, value))
    if after is not None:
        statement = statement.where(sa.tuple_(place.value, place.thing_name) > sa.tuple_(*after))
    return look.all(statement.order_by(place.value, place.thing_name).limit(limit))
