"""iot: policies and their versions."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from fleetward import errors
from fleetward.api.call import Call
from fleetward.api.paging import page
from fleetward.api.policy_warnings import warn_of_misspelt_actions
from fleetward.api.times import datetime_of
from fleetward.registry import policies as rules
from fleetward.registry import tags
from fleetward.store.tables.registry import policies

LONGEST_NUMBER = 9
"""Digits of a version's number."""


def create_policy(call: Call) -> dict[str, Any]:
    name, document = call.params["policyName"], call.params["policyDocument"]
    added = tags.given(call.params)
    with call.transaction() as tx:
        rules.create(tx, name, document)
        tags.put(tx, call.rooms.arns.iot("policy", name), added)
    warn_of_misspelt_actions(call, name, document)
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
        tags.forget(tx, call.rooms.arns.iot("policy", call.params["policyName"]))
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
    warn_of_misspelt_actions(call, name, document)
    return {
        "policyArn": call.rooms.arns.iot("policy", name),
        "policyDocument": document,
        "policyVersionId": str(number),
        "isDefaultVersion": as_default,
    }


def get_policy_version(call: Call) -> dict[str, Any]:
    with call.read() as look:
        row = rules.get(look, call.params["policyName"])
        version = rules.version(look, row["name"], _number(call))
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
        rules.delete_version(tx, call.params["policyName"], _number(call))
    return {}


def set_default_policy_version(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.set_default(tx, call.params["policyName"], _number(call))
    return {}


def _reference(call: Call, name: str) -> dict[str, str]:
    return {"policyName": name, "policyArn": call.rooms.arns.iot("policy", name)}


def _number(call: Call) -> int:
    """The number in a version's id; one that no version can have is not found."""
    text = call.params["policyVersionId"].lstrip("0")
    if not text or len(text) > LONGEST_NUMBER:
        raise errors.ResourceNotFound(f"Policy {call.params['policyName']} has no such version")
    return int(text)
