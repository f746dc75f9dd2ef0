"""iot: things."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import IntegrityError

from fleetward import errors
from fleetward.api.call import Call
from fleetward.api.paging import page_after
from fleetward.registry import thing_attributes
from fleetward.registry import things as rules


def create_thing(call: Call) -> dict[str, Any]:
    if "billingGroupName" in call.params:
        raise errors.NotImplementedHere("Fleetward has no billing groups: billingGroupName cannot be given.")
    try:
        row = _created(call, call.rooms.view.thing(call.params["thingName"]) is None)
    except IntegrityError:  # somebody else has it in the store
        row = _created(call, False)
    return {
        "thingName": row["name"],
        "thingArn": call.rooms.arns.iot("thing", row["name"]),
        "thingId": rules.identity(row["id"], row["name"], row["created_at"]),
    }


def _created(call: Call, is_new: bool) -> Mapping[Any, Any]:
    attributes = call.params.get("attributePayload", {}).get("attributes", {})
    with call.transaction() as tx:
        return rules.create(tx, call.params["thingName"], attributes, call.params.get("thingTypeName"), is_new)


def describe_thing(call: Call) -> dict[str, Any]:
    """From the fleet in memory, which has taken in every change before that is answered."""
    name = call.params["thingName"]
    thing = call.rooms.view.thing(name)
    if thing is None:
        with call.read() as look:
            raise rules.not_found(look, name)
    return {
        "defaultClientId": name,
        "thingId": rules.identity(thing.id, name, thing.created_at),
        **_shown(call, name, thing.type_name, thing.attributes, thing.version),
    }


def update_thing(call: Call) -> dict[str, Any]:
    payload = call.params.get("attributePayload") or {}
    with call.transaction() as tx:
        rules.update(
            tx,
            call.params["thingName"],
            payload.get("attributes"),
            payload.get("merge", False),
            call.params.get("expectedVersion"),
            call.params.get("thingTypeName"),
            call.params.get("removeThingType", False),
        )
    return {}


def delete_thing(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.delete(tx, call.params["thingName"], call.params.get("expectedVersion"))
    return {}


def list_things(call: Call) -> dict[str, Any]:
    """All things by name, or those with an attribute by its value and then by name."""
    type_name, attribute = call.params.get("thingTypeName"), call.params.get("attributeName")
    value, prefix = call.params.get("attributeValue"), call.params.get("usePrefixAttributeValue", False)
    if attribute is None and value is not None:
        raise errors.InvalidRequest("attributeValue needs attributeName")
    with call.read() as look:
        if attribute is None:
            rows, token = page_after(
                call, lambda limit, after: rules.by_name(look, limit, after, type_name), lambda row: row["name"]
            )
        else:
            rows, token = page_after(
                call,
                lambda limit, after: thing_attributes.find(look, attribute, value, limit, after, prefix, type_name),
                lambda row: (row["found"], row["name"]),
            )
    shown = [_shown(call, row["name"], row["type_name"], row["attributes"], row["version"]) for row in rows]
    return {"things": shown, "nextToken": token}


def _shown(call: Call, name: str, type_name: str | None, attributes: Mapping[str, str], version: int) -> dict[str, Any]:
    return {
        "thingName": name,
        "thingArn": call.rooms.arns.iot("thing", name),
        "thingTypeName": type_name,
        "attributes": attributes,
        "version": version,
    }
