"""iot: tags on resources that take them."""

from __future__ import annotations

from typing import Any

from fleetward import arn as arns
from fleetward import errors
from fleetward.api import names
from fleetward.api.call import Call
from fleetward.api.paging import page_of
from fleetward.detect import custom_metrics, dimensions, profile_store
from fleetward.registry import ca_certificates, groups, policies, tags, thing_types
from fleetward.respond import automatic, mitigation_actions
from fleetward.store.database import Reader, Transaction

TAGGABLE = {
    "thinggroup": groups.get,
    "thingtype": thing_types.get,
    "cacert": ca_certificates.get,
    "policy": policies.get,
    "securityprofile": profile_store.get,
    "custommetric": custom_metrics.get,
    "dimension": dimensions.get,
    "mitigationaction": mitigation_actions.get,
}
"""Kind of resource → what finds it, or refuses. Things and certificates take no tags on AWS either (service
authorization reference, "Actions, resources, and condition keys for AWS IoT")."""


def tag_resource(call: Call) -> dict[str, Any]:
    arn, added = call.params["resourceArn"], tags.given(call.params)
    with call.transaction() as tx:
        _touch(tx, _find(call, tx))
        for key, value in added.items():
            profile_store.check_tag(arn, key, value)
        automatic.check_tags(tx, arn, added)
        tags.put(tx, arn, added)
    return {}


def untag_resource(call: Call) -> dict[str, Any]:
    if reserved := next((key for key in call.params["tagKeys"] if key.lower().startswith(tags.RESERVED)), None):
        raise errors.InvalidRequest(f"Tag key {reserved} is reserved and cannot be removed")
    with call.transaction() as tx:
        _touch(tx, _find(call, tx))
        tags.remove(tx, call.params["resourceArn"], call.params["tagKeys"])
    return {}


def list_tags_for_resource(call: Call) -> dict[str, Any]:
    with call.read() as look:
        _find(call, look)
        found = tags.of(look, call.params["resourceArn"])
    shown, token = page_of(call, [{"Key": key, "Value": value} for key, value in found.items()])
    return {"tags": list(shown), "nextToken": token}


def _find(call: Call, look: Reader) -> arns.Arn:
    parsed = names.resource(call, call.params["resourceArn"], *TAGGABLE)
    TAGGABLE[parsed.kind](look, parsed.name)
    return parsed


def _touch(tx: Transaction, resource: arns.Arn) -> None:
    if resource.kind == "securityprofile":
        tx.touch("profile", resource.name)
