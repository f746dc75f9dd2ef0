"""iot: thing groups and who is in them."""

from __future__ import annotations

from typing import Any

from fleetward import errors
from fleetward.api import names
from fleetward.api.call import Call
from fleetward.api.paging import page_after, page_of
from fleetward.api.times import datetime_of
from fleetward.detect import profile_store
from fleetward.registry import groups as rules
from fleetward.registry import tags, things


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
        tags.put(tx, group_arn, tags.given(call.params))
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
    parent, prefix = call.params.get("parentGroup"), call.params.get("namePrefixFilter")
    recursive = call.params.get("recursive", True)
    with call.read() as look:
        if parent is not None:
            rules.get(look, parent)
        found, token = page_after(
            call,
            lambda limit, after: rules.listed(look, limit, after, prefix, parent, recursive),
            lambda name: name,
        )
    return {"thingGroups": [_reference(call, name) for name in found], "nextToken": token}


def add_thing_to_thing_group(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.add_thing(tx, _group(call), _thing(call))
    return {}


def remove_thing_from_thing_group(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.remove_thing(tx, _group(call), _thing(call))
    return {}


def update_thing_groups_for_thing(call: Call) -> dict[str, Any]:
    if "thingName" not in call.params:
        raise errors.InvalidRequest("thingName must be given")
    out_of, into = call.params.get("thingGroupsToRemove", []), call.params.get("thingGroupsToAdd", [])
    with call.transaction() as tx:
        rules.move_thing(tx, call.params["thingName"], out_of, into)
    return {}


def list_thing_groups_for_thing(call: Call) -> dict[str, Any]:
    with call.read() as look:
        things.get(look, call.params["thingName"])
        found, token = page_of(call, rules.groups_of(look, call.params["thingName"]))
    return {"thingGroups": [_reference(call, name) for name in found], "nextToken": token}


def list_things_in_thing_group(call: Call) -> dict[str, Any]:
    group, recursive = call.params["thingGroupName"], call.params.get("recursive", False)
    with call.read() as look:
        rules.get(look, group)
        found, token = page_after(
            call,
            lambda limit, after: rules.page_of_members(look, group, recursive, limit, after),
            lambda place: place,
        )
    return {"things": [thing for _, thing in found], "nextToken": token}


def _reference(call: Call, name: str) -> dict[str, str]:
    return {"groupName": name, "groupArn": call.rooms.arns.iot("thinggroup", name)}


def _thing(call: Call) -> str:
    return names.either(call, "thing", "thingName", "thingArn")


def _group(call: Call) -> str:
    return names.either(call, "thinggroup", "thingGroupName", "thingGroupArn")
