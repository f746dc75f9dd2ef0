"""iot: security profiles, what is wrong with them, and where they are attached."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.api import profile_warnings
from fleetward.api.call import Call
from fleetward.api.paging import page, page_of
from fleetward.api.times import datetime_of
from fleetward.detect import profile_members, profile_store, profiles, targets
from fleetward.detect.catalog import catalog
from fleetward.detect.inputs import Target
from fleetward.respond import automatic
from fleetward.store.database import Reader
from fleetward.store.tables.detect import security_profiles


def create_security_profile(call: Call) -> dict[str, Any]:
    name = call.params["securityProfileName"]
    added_tags = {tag["Key"]: tag.get("Value", "") for tag in call.params.get("tags") or ()}
    with call.transaction() as tx:
        automatic.check_tags(tx, call.rooms.arns.iot("securityprofile", name), added_tags)
        profile_store.create(tx, call.rooms.arns, name, call.params, added_tags)
    profile_warnings.give(call, name)
    return _identified(call, name, "securityProfileName", "securityProfileArn")


def update_security_profile(call: Call) -> dict[str, Any]:
    name = call.params["securityProfileName"]
    with call.transaction() as tx:
        row = profile_store.update(tx, name, call.params, call.params.get("expectedVersion"))
    profile_warnings.give(call, name)
    return _shown(call, row)


def delete_security_profile(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        profile_store.delete(
            tx, call.rooms.arns, call.params["securityProfileName"], call.params.get("expectedVersion")
        )
    return {}


def describe_security_profile(call: Call) -> dict[str, Any]:
    with call.read() as look:
        return _shown(call, profile_store.get(look, call.params["securityProfileName"]))


def list_security_profiles(call: Call) -> dict[str, Any]:
    metric, dimension = call.params.get("metricName"), call.params.get("dimensionName")
    if metric and dimension:
        raise errors.InvalidRequest("metricName and dimensionName cannot be given together")
    with call.read() as look:
        if metric or dimension:
            names, token = page_of(call, _using(look, metric, dimension))
        else:
            rows, token = page(call, look, sa.select(security_profiles.c.name), security_profiles.c.name)
            names = [row["name"] for row in rows]
    return {"securityProfileIdentifiers": [_identified(call, name) for name in names], "nextToken": token}


def validate_security_profile_behaviors(call: Call) -> dict[str, Any]:
    """Tells everything that is wrong, breaches of the service model's constraints included, as a 200."""
    if "behaviors" not in call.params:
        raise errors.InvalidRequest(call.breaches[0])
    with call.read() as look:
        complaints = profiles.validate(call.params["behaviors"], catalog(look)) or call.breaches
    return {"valid": not complaints, "validationErrors": [{"errorMessage": complaint} for complaint in complaints]}


def attach_security_profile(call: Call) -> dict[str, Any]:
    name, target = call.params["securityProfileName"], _target(call)
    with call.transaction() as tx:
        profile_store.attach(tx, name, target)
    profile_warnings.give(call, name)
    return {}


def detach_security_profile(call: Call) -> dict[str, Any]:
    target = _target(call)
    with call.transaction() as tx:
        profile_store.detach(tx, call.params["securityProfileName"], target)
    return {}


def list_targets_for_security_profile(call: Call) -> dict[str, Any]:
    with call.read() as look:
        rows = profile_store.attachments_of(look, call.params["securityProfileName"])
    found, token = page_of(call, rows)
    return {"securityProfileTargets": [_shown_target(call, row) for row in found], "nextToken": token}


def list_security_profiles_for_target(call: Call) -> dict[str, Any]:
    target = _target(call)
    with call.read() as look:
        rows = profile_store.attachments_for(look, target, call.params.get("recursive", False))
    found, token = page_of(call, rows)
    mappings = [
        {
            "securityProfileIdentifier": _identified(call, row["profile_name"]),
            "target": _shown_target(call, row),
        }
        for row in found
    ]
    return {"securityProfileTargetMappings": mappings, "nextToken": token}


def _using(look: Reader, metric: str | None, dimension: str | None) -> list[str]:
    """The names of the profiles that use a metric or a dimension."""
    documents = {row["name"]: row["document"] for row in profile_store.every(look)}
    if metric:
        return [name for name, one in documents.items() if metric in profile_members.used_metrics(one)]
    return [name for name, one in documents.items() if dimension in profile_members.used_dimensions(one)]


def _target(call: Call) -> Target:
    return targets.parse(call.params["securityProfileTargetArn"], call.rooms.arns)


def _identified(call: Call, name: str, name_key: str = "name", arn_key: str = "arn") -> dict[str, Any]:
    return {name_key: name, arn_key: call.rooms.arns.iot("securityprofile", name)}


def _shown(call: Call, row: RowMapping) -> dict[str, Any]:
    return {
        **_identified(call, row["name"], "securityProfileName", "securityProfileArn"),
        "behaviors": [],
        **row["document"],
        "version": row["version"],
        "creationDate": datetime_of(row["created_at"]),
        "lastModifiedDate": datetime_of(row["modified_at"]),
    }


def _shown_target(call: Call, row: RowMapping) -> dict[str, Any]:
    return {"arn": targets.render(profile_store.target_in(row), call.rooms.arns)}
