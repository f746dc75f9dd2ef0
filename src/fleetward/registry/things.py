"""Things: created, changed and deleted under AWS's rules."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.model import Millis
from fleetward.records import ThingRecord
from fleetward.registry import thing_attributes, thing_types
from fleetward.registry.names import near_name
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.registry import thing_group_members, thing_principals, things

IDENTITIES = uuid.UUID("5b1f4c36-7d0e-4f57-9a6e-0c5a3f1d2e84")
"""The namespace of things' ids."""


_BY_NAME = sa.select(things).where(things.c.name == sa.bindparam("wanted"))
_PAGE = (
    sa.select(things).where(things.c.name > sa.bindparam("after")).order_by(things.c.name).limit(sa.bindparam("most"))
)
_PAGE_OF_TYPE = _PAGE.where(things.c.type_name == sa.bindparam("type"))
_INSERT = things.insert().returning(things.c.id)
"""Statements put together once, which takes longer than reading a row."""


def find(look: Reader, name: str) -> RowMapping | None:
    return look.one(_BY_NAME, wanted=name)


def get(look: Reader, name: str) -> RowMapping:
    """The thing's row, or ResourceNotFound."""
    row = find(look, name)
    if row is None:
        raise not_found(look, name)
    return row


def not_found(look: Reader, name: str) -> errors.ResourceNotFound:
    return errors.ResourceNotFound(f"Thing {name} not found.{near_name(look, things.c.name, name)}")


def identity(id: int, name: str, created_at: Millis) -> str:
    """A thing's id as AWS shows it, a UUID; a thing that is made anew under the same name has another."""
    return str(uuid.uuid5(IDENTITIES, f"{id}/{name}/{created_at}"))


def by_name(look: Reader, limit: int, after: str | None, type_name: str | None = None) -> Sequence[RowMapping]:
    """Rows of things (of one type, if asked) in the order of their names, behind `after`."""
    if type_name is None:
        return look.all(_PAGE, after=after or "", most=limit)
    return look.all(_PAGE_OF_TYPE, after=after or "", most=limit, type=type_name)


def create(
    tx: Transaction,
    name: str,
    attributes: Mapping[str, str] | None = None,
    type_name: str | None = None,
    is_new: bool = False,
) -> Mapping[Any, Any]:
    """Creates the thing and returns its row; the same configuration again succeeds, another one is a conflict.

    With `is_new` nobody looks whether there is such a thing; should there be one, this raises IntegrityError.
    """
    wanted = _without_empty(attributes or {})
    existing = None if is_new else find(tx, name)
    if existing is not None:
        if (existing["attributes"], existing["type_name"]) != (wanted, type_name):
            raise errors.ResourceAlreadyExists(
                f"Thing {name} already exists in account with different attributes",
                resourceId=identity(existing["id"], name, existing["created_at"]),
            )
        return existing
    thing_attributes.check(wanted, type_name)
    searchable = None if type_name is None else thing_types.usable(tx, type_name)["searchable_attributes"]
    row = {"name": name, "attributes": wanted, "type_name": type_name, "version": 1, "created_at": tx.now}
    id = tx.execute(_INSERT, row).scalar_one()
    thing_attributes.index(tx, name, wanted, searchable)
    tx.touch("thing", name, ThingRecord(name, id, type_name, wanted, created_at=tx.now))
    return {**row, "id": id}


def update(
    tx: Transaction,
    name: str,
    attributes: Mapping[str, str] | None = None,
    merge: bool = False,
    expected_version: int | None = None,
    type_name: str | None = None,
    remove_type: bool = False,
) -> None:
    """Replaces the attributes, or merges them; an empty value removes its attribute. Gives a type or takes it away."""
    row = get(tx, name)
    check_version(row, expected_version, f"thing {name}")
    if remove_type and type_name is not None:
        raise errors.InvalidRequest("thingTypeName and removeThingType cannot be given together")
    if type_name is not None and type_name != row["type_name"]:
        thing_types.usable(tx, type_name)
    kind = None if remove_type else type_name or row["type_name"]
    values: dict[str, Any] = {"version": row["version"] + 1, "type_name": kind, "attributes": row["attributes"]}
    if attributes is not None:
        values["attributes"] = _without_empty({**row["attributes"], **attributes} if merge else attributes)
    thing_attributes.check(values["attributes"], kind)
    tx.execute(things.update().where(things.c.name == name).values(**values))
    thing_attributes.forget(tx, name)
    searchable = None if kind is None else thing_types.get(tx, kind)["searchable_attributes"]
    thing_attributes.index(tx, name, values["attributes"], searchable)
    tx.touch("thing", name)


def delete(tx: Transaction, name: str, expected_version: int | None = None) -> None:
    """Deletes the thing; deleting one that is not there succeeds, one with attached principals is refused."""
    row = find(tx, name)
    if row is None:
        return
    check_version(row, expected_version, f"thing {name}")
    if tx.scalar(sa.select(sa.func.count()).where(thing_principals.c.thing_name == name)):
        raise errors.InvalidRequest(f"Cannot delete. Thing {name} is still attached to one or more principals")
    tx.execute(thing_group_members.delete().where(thing_group_members.c.thing_name == name))
    thing_attributes.forget(tx, name)
    tx.execute(things.delete().where(things.c.name == name))
    tx.touch("thing", name)


def check_version(row: RowMapping, expected: int | None, what: str) -> None:
    """Refuses a change that was made against another version."""
    if expected is not None and expected != row["version"]:
        raise errors.VersionConflict(f"The version for {what} is {row['version']}, not the expected {expected}")


def _without_empty(attributes: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in attributes.items() if value}
