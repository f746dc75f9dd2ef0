"""Things: created, changed and deleted under AWS's rules."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.registry import thing_group_members, thing_principals, things


def find(look: Reader, name: str) -> RowMapping | None:
    return look.one(sa.select(things).where(things.c.name == name))


def get(look: Reader, name: str) -> RowMapping:
    """The thing's row, or ResourceNotFound."""
    row = find(look, name)
    if row is None:
        raise errors.ResourceNotFound(f"Thing {name} not found.{_near(look, name)}")
    return row


def create(
    tx: Transaction, name: str, attributes: Mapping[str, str] | None = None, type_name: str | None = None
) -> RowMapping:
    """Creates the thing; the same configuration again succeeds, another one is a conflict."""
    wanted = _without_empty(attributes or {})
    existing = find(tx, name)
    if existing is not None:
        if (existing["attributes"], existing["type_name"]) != (wanted, type_name):
            raise errors.ResourceAlreadyExists(
                f"Thing {name} already exists in account with different attributes", resourceId=name
            )
        return existing
    tx.execute(things.insert().values(name=name, attributes=wanted, type_name=type_name, version=1, created_at=tx.now))
    tx.touch("thing", name)
    return get(tx, name)


def update(
    tx: Transaction,
    name: str,
    attributes: Mapping[str, str] | None = None,
    merge: bool = False,
    expected_version: int | None = None,
) -> None:
    """Replaces the attributes, or merges them; an empty value removes its attribute."""
    row = get(tx, name)
    check_version(row, expected_version, f"thing {name}")
    values: dict[str, Any] = {"version": row["version"] + 1}
    if attributes is not None:
        values["attributes"] = _without_empty({**row["attributes"], **attributes} if merge else attributes)
    tx.execute(things.update().where(things.c.name == name).values(**values))
    tx.touch("thing", name)


def delete(tx: Transaction, name: str, expected_version: int | None = None) -> None:
    """Deletes the thing; deleting one that is not there succeeds, one with attached principals is refused."""
    row = find(tx, name)
    if row is None:
        return
    check_version(row, expected_version, f"thing {name}")
    if tx.scalar(sa.select(sa.func.count()).where(thing_principals.c.thing_name == name)):
        raise errors.InvalidRequest(
            f"Thing {name} cannot be deleted because it has attached principals; detach them first"
        )
    tx.execute(thing_group_members.delete().where(thing_group_members.c.thing_name == name))
    tx.execute(things.delete().where(things.c.name == name))
    tx.touch("thing", name)


def check_version(row: RowMapping, expected: int | None, what: str) -> None:
    """Refuses a change that was made against another version."""
    if expected is not None and expected != row["version"]:
        raise errors.VersionConflict(f"The version for {what} is {row['version']}, not the expected {expected}")


def _without_empty(attributes: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in attributes.items() if value}


def _near(look: Reader, name: str) -> str:
    return near_name(look, things.c.name, name)


def near_name(look: Reader, column: sa.Column[str], wanted: str) -> str:
    """A hint for a name that is not there: ` Did you mean X?`, or nothing.

    Only names that share the first letters are looked at, so that the hint costs one index range.
    """
    prefix = wanted[:3].replace("\\", "").replace("%", "").replace("_", "")
    if not prefix:
        return ""
    names = look.execute(sa.select(column).where(column.startswith(prefix)).order_by(column).limit(200)).scalars()
    close = difflib.get_close_matches(wanted, list(names), n=1, cutoff=0.8)
    return f" Did you mean {close[0]}?" if close else ""
