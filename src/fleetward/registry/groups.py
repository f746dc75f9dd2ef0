"""Thing groups: a forest of static groups (AWS IoT Core developer guide, "Static thing groups")."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.registry import things as thing_rules
from fleetward.registry.names import begins_with, near_name
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.registry import policy_attachments, thing_group_members, thing_groups

MAX_GROUPS_PER_THING = 10
MAX_DEPTH = 7
MAX_CHILDREN = 100
MAX_ATTRIBUTES = 50
"""Of one group (AWS IoT Core endpoints and quotas, "Thing group limits")."""


def find(look: Reader, name: str) -> RowMapping | None:
    return look.one(sa.select(thing_groups).where(thing_groups.c.name == name))


def get(look: Reader, name: str) -> RowMapping:
    """The group's row, or ResourceNotFound."""
    row = find(look, name)
    if row is None:
        raise errors.ResourceNotFound(f"Thing group {name} not found.{near_name(look, thing_groups.c.name, name)}")
    return row


def create(
    tx: Transaction,
    name: str,
    parent: str | None = None,
    description: str = "",
    attributes: Mapping[str, str] | None = None,
) -> RowMapping:
    """Creates the group; the same configuration again succeeds, another one is a conflict."""
    wanted = {"parent": parent, "description": description, "attributes": _checked(attributes or {})}
    existing = find(tx, name)
    if existing is not None:
        if any(existing[key] != value for key, value in wanted.items()):
            raise errors.ResourceAlreadyExists(
                f"Thing group {name} already exists with a different configuration", resourceId=existing["id"]
            )
        return existing
    if parent is not None:
        _check_room_below(tx, parent)
    row = {"name": name, "id": str(uuid.uuid4()), "version": 1, "created_at": tx.now, **wanted}
    tx.execute(thing_groups.insert(), [row])
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
    """Changes description and attributes (an empty value removes its attribute); returns the new version."""
    row = get(tx, name)
    thing_rules.check_version(row, expected_version, f"thing group {name}")
    values: dict[str, Any] = {"version": row["version"] + 1}
    if description is not None:
        values["description"] = description
    if attributes is not None:
        values["attributes"] = _checked({**row["attributes"], **attributes} if merge else attributes)
    tx.execute(thing_groups.update().where(thing_groups.c.name == name).values(**values))
    return int(values["version"])


def delete(tx: Transaction, name: str, expected_version: int | None = None) -> None:
    """Deletes the group; one that is not there succeeds, one with child groups is refused. Its things stay."""
    row = find(tx, name)
    if row is None:
        return
    thing_rules.check_version(row, expected_version, f"thing group {name}")
    if _count_children(tx, name):
        raise errors.InvalidRequest(f"Thing group {name} has child groups; delete them first")
    attached = sa.and_(policy_attachments.c.target_kind == "thinggroup", policy_attachments.c.target == name)
    tx.execute(policy_attachments.delete().where(attached))
    for member in members(tx, name):
        tx.touch("thing", member)
    tx.execute(thing_group_members.delete().where(thing_group_members.c.group_name == name))
    tx.execute(thing_groups.delete().where(thing_groups.c.name == name))
    tx.touch("group", name)


def _check_room_below(look: Reader, parent: str) -> None:
    get(look, parent)
    if len(ancestors(look, parent)) >= MAX_DEPTH:
        raise errors.InvalidRequest(f"Thing group {parent} is {MAX_DEPTH} levels deep, the most a hierarchy can have")
    if _count_children(look, parent) >= MAX_CHILDREN:
        raise errors.InvalidRequest(f"Thing group {parent} has {MAX_CHILDREN} child groups, the most it can have")


def _count_children(look: Reader, name: str) -> int:
    return int(look.scalar(sa.select(sa.func.count()).where(thing_groups.c.parent == name)))


def _checked(attributes: Mapping[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in attributes.items() if value}
    if len(kept) > MAX_ATTRIBUTES:
        raise errors.InvalidRequest(f"A thing group can have at most {MAX_ATTRIBUTES} attributes")
    return kept


# --- the forest -------------------------------------------------------------------------------------------------------


def ancestors(look: Reader, name: str) -> list[str]:
    """The group, its parent, and so on up to the root of its hierarchy."""
    line = [name]
    while (row := find(look, line[-1])) is not None and row["parent"] is not None and row["parent"] not in line:
        line.append(row["parent"])
    return line


def descendants(look: Reader, name: str) -> list[str]:
    """The group, then every group below it, sorted."""
    return [name, *look.execute(sa.select(_below(name).c.name).order_by("name")).scalars()]


def _below(name: str) -> sa.CTE:
    """The names of all groups below one."""
    below = sa.select(thing_groups.c.name).where(thing_groups.c.parent == name).cte("below", recursive=True)
    children = sa.select(thing_groups.c.name).join(below, thing_groups.c.parent == below.c.name)
    return below.union(children)


def listed(
    look: Reader, limit: int, after: str | None, prefix: str | None, parent: str | None, recursive: bool
) -> Sequence[str]:
    """Names of groups in order, behind `after`: all, or those below `parent`; without `recursive` only the next level.

    The next level below no parent are the roots.
    """
    name = thing_groups.c.name
    statement = sa.select(name)
    if parent is not None and recursive:
        statement = statement.where(name.in_(sa.select(_below(parent).c.name)))
    elif not recursive:
        statement = statement.where(thing_groups.c.parent == parent)
    if prefix is not None:
        statement = statement.where(begins_with(name, prefix))
    if after is not None:
        statement = statement.where(name > after)
    return list(look.execute(statement.order_by(name).limit(limit)).scalars())


# --- who is in which --------------------------------------------------------------------------------------------------


def add_thing(tx: Transaction, group: str, thing: str) -> None:
    """Puts a thing into a group; again is a success. Not two groups of one hierarchy, and not more than 10 groups."""
    get(tx, group)
    thing_rules.get(tx, thing)
    current = groups_of(tx, thing)
    if group in current:
        return
    if len(current) >= MAX_GROUPS_PER_THING:
        raise errors.InvalidRequest(f"Thing {thing} is in {MAX_GROUPS_PER_THING} groups already, the most it can be in")
    root = ancestors(tx, group)[-1]
    for other in current:
        if ancestors(tx, other)[-1] == root:
            raise errors.InvalidRequest(
                f"Thing {thing} is in group {other}, which is in the same hierarchy as {group}; remove it there first"
            )
    tx.execute(thing_group_members.insert(), [{"group_name": group, "thing_name": thing}])
    tx.touch("thing", thing)


def remove_thing(tx: Transaction, group: str, thing: str) -> None:
    """Takes a thing out of a group; one that is not in it succeeds."""
    get(tx, group)
    thing_rules.get(tx, thing)
    row = sa.and_(thing_group_members.c.group_name == group, thing_group_members.c.thing_name == thing)
    if tx.execute(thing_group_members.delete().where(row)).rowcount:
        tx.touch("thing", thing)


def move_thing(tx: Transaction, thing: str, out_of: Sequence[str], into: Sequence[str]) -> None:
    """Takes a thing out of some groups and puts it into others, as one change."""
    if both := sorted({*out_of} & {*into}):
        raise errors.InvalidRequest(f"Thing group {both[0]} is both to be added and to be removed")
    thing_rules.get(tx, thing)
    for group in out_of:
        remove_thing(tx, group, thing)
    for group in into:
        add_thing(tx, group, thing)


def members(look: Reader, name: str, recursive: bool = False) -> list[str]:
    """The names of the things in the group (or in any group below it too), sorted."""
    names = descendants(look, name) if recursive else [name]
    column = thing_group_members.c.thing_name
    statement = sa.select(column).distinct().where(thing_group_members.c.group_name.in_(names)).order_by(column)
    return list(look.execute(statement).scalars())


def page_of_members(
    look: Reader, name: str, recursive: bool, limit: int, after: tuple[str, str] | None
) -> list[tuple[str, str]]:
    """Pairs (group, thing) of the group's members behind `after`, one group after the other.

    A thing is in one group of a hierarchy only, so that none comes twice.
    """
    found: list[tuple[str, str]] = []
    group_of, thing_of = thing_group_members.c.group_name, thing_group_members.c.thing_name
    for group in sorted(descendants(look, name)) if recursive else [name]:
        if after is not None and group < after[0]:
            continue
        statement = sa.select(thing_of).where(group_of == group)
        if after is not None and group == after[0]:
            statement = statement.where(thing_of > after[1])
        more = look.execute(statement.order_by(thing_of).limit(limit - len(found))).scalars()
        found += [(group, thing) for thing in more]
        if len(found) == limit:
            break
    return found


def groups_of(look: Reader, thing: str) -> Sequence[str]:
    """The groups a thing is a direct member of, sorted."""
    column = thing_group_members.c.group_name
    return list(
        look.execute(sa.select(column).where(thing_group_members.c.thing_name == thing).order_by(column)).scalars()
    )
