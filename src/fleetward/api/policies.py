"""iot: policies, their versions and attachments, and what they amount to."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from fleetward.api.call import Call
from fleetward.api.paging import page, page_of
from fleetward.api.times import datetime_of
from fleetward.registry import groups
from fleetward.registry import policies as rules
from fleetward.store.tables.registry import policies


def create_policy(call: Call) -> dict[str, Any]:
    name, document = call.params["policyName"], call.params["policyDocument"]
    with call.transaction() as tx:
        rules.create(tx, name, document)
    return {**_reference(call, name), "policyDocument": document, "policyVersionId": "1"}


def get_policy(call: Call) -> dict[str, Any]:
    with call.read() as look:
        row = rules.get(look, call.params["policyName"])
        version = rules.version(look, row["name"])
    return {
        **_reference(call, row["name"]),
        "policyDocument": version["document"],
        "defaultVersionId": str(row["default_version"]),
        "creationDate": datetime_of(row["created_at"]),
        "lastModifiedDate": datetime_of(row["modified_at"]),
        "generationId": str(row["last_version"]),
    }


def delete_policy(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.delete(tx, call.params["policyName"])
    return {}


def list_policies(call: Call) -> dict[str, Any]:
    with call.read() as look:
        rows, token = page(
            call, look, sa.select(policies.c.name), policies.c.name, call.params.get("ascendingOrder", True)
        )
    return {"policies": [_reference(call, row["name"]) for row in rows], "nextMarker": token}


def create_policy_version(call: Call) -> dict[str, Any]:
    name, document = call.params["policyName"], call.params["policyDocument"]
    as_default = call.params.get("setAsDefault", False)
    with call.transaction() as tx:
        number = rules.create_version(tx, name, document, as_default)
    return {
        "policyArn": call.rooms.arns.iot("policy", name),
        "policyDocument": document,
        "policyVersionId": str(number),
        "isDefaultVersion": as_default,
    }


def get_policy_version(call: Call) -> dict[str, Any]:
    with call.read() as look:
        row = rules.get(look, call.params["policyName"])
        version = rules.version(look, row["name"], int(call.params["policyVersionId"]))
    return {
        **_reference(call, row["name"]),
        "policyDocument": version["document"],
        "policyVersionId": str(version["version"]),
        "isDefaultVersion": version["version"] == row["default_version"],
        "creationDate": datetime_of(version["created_at"]),
        "lastModifiedDate": datetime_of(version["created_at"]),
        "generationId": str(row["last_version"]),
    }


def list_policy_versions(call: Call) -> dict[str, Any]:
    with call.read() as look:
        default = rules.get(look, call.params["policyName"])["default_version"]
        versions = rules.versions(look, call.params["policyName"])
    return {
        "policyVersions": [
            {
                "versionId": str(row["version"]),
                "isDefaultVersion": row["version"] == default,
                "createDate": datetime_of(row["created_at"]),
            }
            for row in versions
        ]
    }


def delete_policy_version(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.delete_version(tx, call.params["policyName"], int(call.params["policyVersionId"]))
    return {}


def set_default_policy_version(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.set_default(tx, call.params["policyName"], int(call.params["policyVersionId"]))
    return {}


def attach_policy(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.attach(tx, call.params["policyName"], call.params["target"])
    return {}


def detach_policy(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.detach(tx, call.params["policyName"], call.params["target"])
    return {}


def list_attached_policies(call: Call) -> dict[str, Any]:
    with call.read() as look:
        kind, target = rules.find_target(look, call.params["target"])
        owners = [target]
        if kind == "thinggroup" and call.params.get("recursive", False):
            owners = groups.ancestors(look, target)
        names = dict.fromkeys(name for owner in owners for name in rules.attached(look, kind, owner))
        shown, token = page_of(call, sorted(names))
    return {"policies": [_reference(call, name) for name in shown], "nextMarker": token}


def list_targets_for_policy(call: Call) -> dict[str, Any]:
    with call.read() as look:
        rules.get(look, call.params["policyName"])
        targets = [
            call.rooms.arns.iot(row["target_kind"], row["target"])
            for row in rules.targets(look, call.params["policyName"])
        ]
    shown, token = page_of(call, targets)
    return {"targets": list(shown), "nextMarker": token}


def _reference(call: Call, name: str) -> dict[str, str]:
    return {"policyName": name, "policyArn": call.rooms.arns.iot("policy", name)}
