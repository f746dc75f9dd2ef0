"""Thing types: what things of one kind have in common (AWS IoT Core developer guide, "Thing types")."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.registry import thing_attributes
from fleetward.registry.names import near_name
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.registry import thing_types, things

MAX_SEARCHABLE = 3
DELETABLE_AFTER = 5 * 60_000
"""Milliseconds that a type must have been deprecated for."""


def find(look: Reader, name: str) -> RowMapping | None:
    return look.one(sa.select(thing_types).where(thing_types.c.name == name))


def get(look: Reader, name: str) -> RowMapping:
    """The type's row, or ResourceNotFound."""
    row = find(look, name)
    if row is None:
        raise errors.ResourceNotFound(f"Thing type {name} not found.{near_name(look, thing_types.c.name, name)}")
    return row


def usable(look: Reader, name: str) -> RowMapping:
    """The row of a type that a thing can be given; a deprecated one is refused."""
    row = get(look, name)
    if row["deprecated_at"] is not None:
        raise errors.InvalidRequest(f"Thing type {name} is deprecated, so no further thing can be given it")
    return row


def create(
    tx: Transaction,
    name: str,
    description: str = "",
    searchable: Sequence[str] = (),
    mqtt5: Mapping[str, Any] | None = None,
) -> RowMapping:
    """Creates the type; the same configuration again succeeds, another one is a conflict."""
    wanted = {
        "description": description,
        "searchable_attributes": _checked(searchable),
        "mqtt5_configuration": dict(mqtt5) if mqtt5 else None,
    }
    existing = find(tx, name)
    if existing is not None:
        if any(existing[key] != value for key, value in wanted.items()):
            raise errors.ResourceAlreadyExists(
                f"Thing type {name} already exists with a different configuration", resourceId=existing["id"]
            )
        return existing
    row = {"name": name, "id": str(uuid.uuid4()), "deprecated_at": None, "created_at": tx.now, **wanted}
    tx.execute(thing_types.insert(), [row])
    return get(tx, name)


def update(
    tx: Transaction,
    name: str,
    description: str | None = None,
    searchable: Sequence[str] | None = None,
    mqtt5: Mapping[str, Any] | None = None,
) -> None:
    """Changes what is given; things of the type are found by its new searchable attributes at once."""
    row = get(tx, name)
    values: dict[str, Any] = {}
    if description is not None:
        values["description"] = description
    if mqtt5 is not None:
        values["mqtt5_configuration"] = dict(mqtt5) or None
    if searchable is not None:
        new, old = _checked(searchable), row["searchable_attributes"]
        values["searchable_attributes"] = new
        added, removed = [key for key in new if key not in old], [key for key in old if key not in new]
        thing_attributes.index_type(tx, name, added, removed)
    if values:
        tx.execute(thing_types.update().where(thing_types.c.name == name).values(**values))


def deprecate(tx: Transaction, name: str, undo: bool = False) -> None:
    """Closes the type to further things, or opens it again; things that have it keep it."""
    row = get(tx, name)
    if undo == (row["deprecated_at"] is not None):
        moment = None if undo else tx.now
        tx.execute(thing_types.update().where(thing_types.c.name == name).values(deprecated_at=moment))


def delete(tx: Transaction, name: str) -> None:
    """Deletes a type that was deprecated at least five minutes ago and that no thing has."""
    row = get(tx, name)
    if row["deprecated_at"] is None or tx.now - row["deprecated_at"] < DELETABLE_AFTER:
        raise errors.InvalidRequest(
            f"Cannot delete thing type {name}: deprecate it first and wait for 5 minutes, then delete it"
        )
    if tx.scalar(sa.select(things.c.name).where(things.c.type_name == name).limit(1)) is not None:
        raise errors.InvalidRequest(f"Cannot delete thing type {name}: things are associated with it")
    tx.execute(thing_types.delete().where(thing_types.c.name == name))


def _checked(searchable: Sequence[str]) -> list[str]:
    if len(searchable) > MAX_SEARCHABLE:
        raise errors.InvalidRequest(f"A thing type can have at most {MAX_SEARCHABLE} searchable attributes")
    if len(set(searchable)) < len(searchable):
        raise errors.InvalidRequest("searchableAttributes names an attribute twice")
    return list(searchable)
