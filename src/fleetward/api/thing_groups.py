"""iot: thing groups and who is in them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from fleetward import arn, errors
from fleetward.api.call import Call
from fleetward.api.paging import page, page_of
from fleetward.api.times import datetime_of
from fleetward.detect import profile_store
from fleetward.registry import groups as rules
from fleetward.registry import tags, things
from fleetward.store.tables.registry import thing_groups


def create_thing_group(call: Call) -> dict[str, Any]:
    name, properties = call.params["thingGroupName"], call.params.get("thingGroupProperties", {})
    group_arn = call.rooms.arns.iot("thinggroup", name)
    with call.transaction() as tx:
        row = rules.create(
            tx,
            name,
            call.params.get("parentGroupName"),
            properties.get("thingGroupDescription", ""),
            properties.get("attributePayload", {}).get("attributes"),
        )
        tags.put(tx, group_arn, {tag["Key"]: tag.get("Value", "") for tag in call.params.get("tags", [])})
    return {"thingGroupName": name, "thingGroupArn": group_arn, "thingGroupId": row["id"]}


def describe_thing_group(call: Call) -> dict[str, Any]:
    with call.read() as look:
        row = rules.get(look, call.params["thingGroupName"])
        line = rules.ancestors(look, row["name"])[1:]
    return {
        "thingGroupName": row["name"],
        "thingGroupId": row["id"],
        "thingGroupArn": call.rooms.arns.iot("thinggroup", row["name"]),
        "version": row["version"],
        "thingGroupProperties": {
            "thingGroupDescription": row["description"],
            "attributePayload": {"attributes": row["attributes"]},
        },
        "thingGroupMetadata": {
            "parentGroupName": row["parent"],
            "rootToParentThingGroups": [_reference(call, name) for name in reversed(line)],
            "creationDate": datetime_of(row["created_at"]),
        },
    }


def update_thing_group(call: Call) -> dict[str, Any]:
    properties = call.params["thingGroupProperties"]
    payload = properties.get("attributePayload", {})
    with call.transaction() as tx:
        version = rules.update(
            tx,
            call.params["thingGroupName"],
            properties.get("thingGroupDescription"),
            payload.get("attributes"),
            payload.get("merge", False),
            call.params.get("expectedVersion"),
        )
    return {"version": version}


def delete_thing_group(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.delete(tx, call.params["thingGroupName"], call.params.get("expectedVersion"))
        tags.forget(tx, call.rooms.arns.iot("thinggroup", call.params["thingGroupName"]))
        profile_store.forget_group(tx, call.params["thingGroupName"])
    return {}


def list_thing_groups(call: Call) -> dict[str, Any]:
    statement = sa.select(thing_groups.c.name)
    if prefix := call.params.get("namePrefixFilter"):
        statement = statement.where(thing_groups.c.name.startswith(prefix, autoescape=True))
    with call.read() as look:
        if (parent := call.params.get("parentGroup")) is not None:
            rules.get(look, parent)
            below = rules.descendants(look, parent)[1:]
            if not call.params.get("recursive", True):
                statement = statement.where(thing_groups.c.parent == parent)
            statement = statement.where(thing_groups.c.name.in_(below))
        elif call.params.get("recursive") is False:
            statement = statement.where(thing_groups.c.parent.is_(None))
        rows, token = page(call, look, statement, thing_groups.c.name)
    return {"thingGroups": [_reference(call, row["name"]) for row in rows], "nextToken": token}


def add_thing_to_thing_group(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.add_thing(tx, _group(call), _thing(call))
    return {}


def remove_thing_from_thing_group(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.remove_thing(tx, _group(call), _thing(call))
    return {}


def update_thing_groups_for_thing(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        for group in call.params.get("thingGroupsToRemove", []):
            rules.remove_thing(tx, group, call.params["thingName"])
        for group in call.params.get("thingGroupsToAdd", []):
            rules.add_thing(tx, group, call.params["thingName"])
    return {}


def list_thing_groups_for_thing(call: Call) -> dict[str, Any]:
    with call.read() as look:
        things.get(look, call.params["thingName"])
        names, token = page_of(call, rules.groups_of(look, call.params["thingName"]))
    return {"thingGroups": [_reference(call, name) for name in names], "nextToken": token}


def list_things_in_thing_group(call: Call) -> dict[str, Any]:
    with call.read() as look:
        rules.get(look, call.params["thingGroupName"])
        members = rules.members(look, call.params["thingGroupName"], call.params.get("recursive", False))
        names, token = page_of(call, members)
    return {"things": list(names), "nextToken": token}


def _reference(call: Call, name: str) -> dict[str, str]:
    return {"groupName": name, "groupArn": call.rooms.arns.iot("thinggroup", name)}


def _thing(call: Call) -> str:
    return _named(call, "thing", "thingName", "thingArn")


def _group(call: Call) -> str:
    return _named(call, "thinggroup", "thingGroupName", "thingGroupArn")


def _named(call: Call, kind: str, name_key: str, arn_key: str) -> str:
    """The name given directly or by ARN; one of the two must be there."""
    if name := call.params.get(name_key):
        return str(name)
    parsed = arn.parse(call.params.get(arn_key, ""))
    if parsed is None or parsed.service != "iot" or parsed.kind != kind:
        raise errors.InvalidRequest(f"Either {name_key} or a valid {arn_key} must be given")
    return parsed.name
