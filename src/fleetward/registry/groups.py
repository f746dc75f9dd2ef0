"""Thing groups: a forest of static groups, and who is in which."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.registry import things as thing_rules
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.registry import policy_attachments, thing_group_members, thing_groups

MAX_GROUPS_PER_THING = 10


def find(look: Reader, name: str) -> RowMapping | None:
    return look.one(sa.select(thing_groups).where(thing_groups.c.name == name))


def get(look: Reader, name: str) -> RowMapping:
    """The group's row, or ResourceNotFound."""
    row = find(look, name)
    if row is None:
        hint = thing_rules.near_name(look, thing_groups.c.name, name)
        raise errors.ResourceNotFound(f"Thing group {name} not found.{hint}")
    return row


def create(
    tx: Transaction,
    name: str,
    parent: str | None = None,
    description: str = "",
    attributes: Mapping[str, str] | None = None,
) -> RowMapping:
    """Creates the group; the same configuration again succeeds, another one is a conflict."""
    wanted = {"parent": parent, "description": description, "attributes": dict(attributes or {})}
    existing = find(tx, name)
    if existing is not None:
        if any(existing[key] != value for key, value in wanted.items()):
            raise errors.ResourceAlreadyExists(
                f"Thing group {name} already exists with a different configuration", resourceId=existing["id"]
            )
        return existing
    if parent is not None:
        get(tx, parent)
    row = {"name": name, "id": str(uuid.uuid4()), "version": 1, "created_at": tx.now, **wanted}
    tx.execute(thing_groups.insert().values(**row))
    tx.touch("group", name)
    return get(tx, name)


def update(
    tx: Transaction,
    name: str,
    description: str | None = None,
    attributes: Mapping[str, str] | None = None,
    merge: bool = False,
    expected_version: int | None = None,
) -> int:
    """Changes description and attributes; returns the new version."""
    row = get(tx, name)
    thing_rules.check_version(row, expected_version, f"thing group {name}")
    values: dict[str, Any] = {"version": row["version"] + 1}
    if description is not None:
        values["description"] = description
    if attributes is not None:
        values["attributes"] = {**row["attributes"], **attributes} if merge else dict(attributes)
    tx.execute(thing_groups.update().where(thing_groups.c.name == name).values(**values))
    return int(values["version"])


def delete(tx: Transaction, name: str, expected_version: int | None = None) -> None:
    """Deletes the group; one that is not there succeeds, one with child groups is refused. Its things stay."""
    row = find(tx, name)
    if row is None:
        return
    thing_rules.check_version(row, expected_version, f"thing group {name}")
    if tx.scalar(sa.select(sa.func.count()).where(thing_groups.c.parent == name)):
        raise errors.InvalidRequest(f"Thing group {name} has child groups; delete them first")
    attached = sa.and_(policy_attachments.c.target_kind == "thinggroup", policy_attachments.c.target == name)
    tx.execute(policy_attachments.delete().where(attached))
    for member in members(tx, name):
        tx.touch("thing", member)
    tx.execute(thing_group_members.delete().where(thing_group_members.c.group_name == name))
    tx.execute(thing_groups.delete().where(thing_groups.c.name == name))
    tx.touch("group", name)


def add_thing(tx: Transaction, group: str, thing: str) -> None:
    """Puts a thing into a group; again is a success. Not two groups of one hierarchy, and not more than 10 groups."""
    get(tx, group)
    thing_rules.get(tx, thing)
    current = groups_of(tx, thing)
    if group in current:
        return
    if len(current) >= MAX_GROUPS_PER_THING:
        raise errors.LimitExceeded(f"Thing {thing} is in {MAX_GROUPS_PER_THING} groups already")
    root = ancestors(tx, group)[-1]
    for other in current:
        if ancestors(tx, other)[-1] == root:
            raise errors.InvalidRequest(
                f"Thing {thing} is in group {other}, which is in the same hierarchy as {group}; remove it there first"
            )
    tx.execute(thing_group_members.insert().values(group_name=group, thing_name=thing))
    tx.touch("thing", thing)


def remove_thing(tx: Transaction, group: str, thing: str) -> None:
    """Takes a thing out of a group; one that is not in it succeeds."""
    get(tx, group)
    thing_rules.get(tx, thing)
    row = sa.and_(thing_group_members.c.group_name == group, thing_group_members.c.thing_name == thing)
    if tx.execute(thing_group_members.delete().where(row)).rowcount:
        tx.touch("thing", thing)


def ancestors(look: Reader, name: str) -> list[str]:
    """The group, its parent, and so on up to the root of its hierarchy."""
    line = [name]
    while (row := find(look, line[-1])) is not None and row["parent"] is not None and row["parent"] not in line:
        line.append(row["parent"])
    return line


def descendants(look: Reader, name: str) -> list[str]:
    """The group and every group below it."""
    found = [name]
    for group in found:
        children = sa.select(thing_groups.c.name).where(thing_groups.c.parent == group).order_by(thing_groups.c.name)
        found.extend(child for child in look.execute(children).scalars() if child not in found)
    return found


def members(look: Reader, name: str, recursive: bool = False) -> list[str]:
    """The names of the things in the group (or in any group below it too), sorted."""
    names = descendants(look, name) if recursive else [name]
    column = thing_group_members.c.thing_name
    statement = sa.select(column).distinct().where(thing_group_members.c.group_name.in_(names)).order_by(column)
    return list(look.execute(statement).scalars())


def groups_of(look: Reader, thing: str) -> Sequence[str]:
    """The groups a thing is a direct member of, sorted."""
    column = thing_group_members.c.group_name
    return list(
        look.execute(sa.select(column).where(thing_group_members.c.thing_name == thing).order_by(column)).scalars()
    )
