"""iot: where devices connect, and tags on iot's resources."""

from __future__ import annotations

from typing import Any

from fleetward import arn as arns
from fleetward import errors
from fleetward.api.call import Call
from fleetward.api.paging import page_of
from fleetward.detect import profile_store
from fleetward.registry import certificates, groups, policies, tags, things
from fleetward.store.database import Reader

TAGGABLE = {
    "thing": things.get,
    "thinggroup": groups.get,
    "cert": certificates.get,
    "policy": policies.get,
    "securityprofile": profile_store.get,
}
"""Kind of resource → what finds it, or refuses."""


def describe_endpoint(call: Call) -> dict[str, Any]:
    """The host that the broker's certificate covers; AWS's answer has no field for the port."""
    kind = call.params.get("endpointType", "iot:Data-ATS")
    if kind not in ("iot:Data-ATS", "iot:Data"):
        raise errors.InvalidRequest(f"Endpoint type {kind} is not served; use iot:Data-ATS")
    return {"endpointAddress": call.rooms.settings.mqtt_host}


def tag_resource(call: Call) -> dict[str, Any]:
    arn = call.params["resourceArn"]
    added = {tag["Key"]: tag.get("Value", "") for tag in call.params["tags"]}
    with call.transaction() as tx:
        _touch(tx, _find(tx, arn))
        for key, value in added.items():
            profile_store.check_tag(arn, key, value)
        tags.put(tx, arn, added)
    return {}


def untag_resource(call: Call) -> dict[str, Any]:
    arn = call.params["resourceArn"]
    with call.transaction() as tx:
        _touch(tx, _find(tx, arn))
        tags.remove(tx, arn, call.params["tagKeys"])
    return {}


def list_tags_for_resource(call: Call) -> dict[str, Any]:
    with call.read() as look:
        _find(look, call.params["resourceArn"])
        found = tags.of(look, call.params["resourceArn"])
    shown, token = page_of(call, [{"Key": key, "Value": value} for key, value in found.items()])
    return {"tags": list(shown), "nextToken": token}


def _find(look: Reader, text: str) -> arns.Arn:
    parsed = arns.parse(text)
    if parsed is None or parsed.service != "iot" or parsed.kind not in TAGGABLE:
        raise errors.InvalidRequest(f"{text} is not the ARN of a resource that takes tags")
    TAGGABLE[parsed.kind](look, parsed.name)
    return parsed


def _touch(tx: Any, resource: arns.Arn) -> None:
    if resource.kind == "securityprofile":
        tx.touch("profile", resource.name)
