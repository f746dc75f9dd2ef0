"""iam: managed policies, their versions, and whom they are attached to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.access import entities, managed
from fleetward.access.aws_managed import AWS_MANAGED
from fleetward.access.entities import ROLE, USER
from fleetward.access.managed import Managed
from fleetward.api.call import Call
from fleetward.api.entity_policies import more, shown, shown_tags, tags_of
from fleetward.api.paging import page_of
from fleetward.api.policy_warnings import warn_of_misspelt_actions
from fleetward.registry import tags
from fleetward.store.database import Reader
from fleetward.store.tables.access import managed_policies

# --- policies ---------------------------------------------------------------------------------------------------------


def create_policy(call: Call) -> dict[str, Any]:
    params = call.params
    given = tags_of(params.get("Tags", ()))
    with call.transaction() as tx:
        made = managed.create(
            tx,
            call.rooms.arns,
            params["PolicyName"],
            params.get("Path", "/"),
            params.get("Description", ""),
            params["PolicyDocument"],
        )
        tags.put(tx, made.arn, given)
        answer = {"Policy": {**_shown(tx, made), "Tags": shown_tags(given) or None}}
    warn_of_misspelt_actions(call, params["PolicyName"], params["PolicyDocument"])
    return answer


def get_policy(call: Call) -> dict[str, Any]:
    with call.read() as look:
        found = managed.get(look, call.params["PolicyArn"])
        described = {"Description": found.description or None, "Tags": shown_tags(tags.of(look, found.arn)) or None}
        return {"Policy": {**_shown(look, found), **described}}


def delete_policy(call: Call) -> None:
    with call.transaction() as tx:
        managed.delete(tx, call.params["PolicyArn"])
        tags.forget(tx, call.params["PolicyArn"])


def list_policies(call: Call) -> dict[str, Any]:
    params = call.params
    if params.get("PolicyUsageFilter") == "PermissionsBoundary":
        return {"Policies": [], **more(None)}
    with call.read() as look:
        every = [one for one in _in_scope(call, look) if one.path.startswith(params.get("PathPrefix", "/"))]
        found = [_shown(look, one) for one in every]
        if params.get("OnlyAttached"):
            found = [one for one in found if one["AttachmentCount"]]
        policies, marker = page_of(call, found)
    return {"Policies": policies, **more(marker)}


def _in_scope(call: Call, look: Reader) -> list[Managed]:
    scope = call.params.get("Scope", "All")
    rows = look.all(sa.select(managed_policies).order_by(managed_policies.c.name)) if scope != "AWS" else ()
    own = [managed.of_row(f"arn:aws:iam::{call.rooms.arns.account}", row) for row in rows]
    return own + ([managed.of_aws(arn) for arn in sorted(AWS_MANAGED)] if scope != "Local" else [])


def _shown(look: Reader, policy: Managed) -> dict[str, Any]:
    return {
        "PolicyName": policy.name,
        "PolicyId": policy.id,
        "Arn": policy.arn,
        "Path": policy.path,
        "DefaultVersionId": f"v{policy.default_version}",
        "AttachmentCount": managed.attachment_count(look, policy.arn),
        "PermissionsBoundaryUsageCount": 0,
        "IsAttachable": True,
        "CreateDate": policy.created_at,
        "UpdateDate": policy.updated_at,
    }


# --- versions ---------------------------------------------------------------------------------------------------------


def create_policy_version(call: Call) -> dict[str, Any]:
    params = call.params
    as_default = params.get("SetAsDefault", False)
    with call.transaction() as tx:
        row = managed.create_version(tx, params["PolicyArn"], params["PolicyDocument"], as_default)
    warn_of_misspelt_actions(call, params["PolicyArn"], params["PolicyDocument"])
    return {"PolicyVersion": _shown_version(row["version"], as_default, row["created_at"])}


def get_policy_version(call: Call) -> dict[str, Any]:
    arn, version = call.params["PolicyArn"], _version(call)
    with call.read() as look:
        policy = managed.get(look, arn)
        text = managed.document(look, arn, version)
        if text is None:
            raise errors.NoSuchEntity(f"Policy {arn} version {call.params['VersionId']} does not exist.")
        row = next((row for row in _versions(look, policy) if row["version"] == version), None)
    made = row["created_at"] if row is not None else policy.created_at
    found = _shown_version(version, version == policy.default_version, made)
    return {"PolicyVersion": {**found, "Document": shown(text)}}


def list_policy_versions(call: Call) -> dict[str, Any]:
    with call.read() as look:
        policy = managed.get(look, call.params["PolicyArn"])
        rows = _versions(look, policy)
    numbers = [(row["version"], row["created_at"]) for row in rows] or [(1, policy.created_at)]
    found = [_shown_version(number, number == policy.default_version, made) for number, made in numbers]
    versions, marker = page_of(call, found)
    return {"Versions": versions, **more(marker)}


def set_default_policy_version(call: Call) -> None:
    with call.transaction() as tx:
        managed.set_default(tx, call.params["PolicyArn"], _version(call))


def delete_policy_version(call: Call) -> None:
    with call.transaction() as tx:
        managed.delete_version(tx, call.params["PolicyArn"], _version(call))


def _versions(look: Reader, policy: Managed) -> Sequence[RowMapping]:
    return () if policy.arn in AWS_MANAGED else managed.versions(look, policy.name)


def _version(call: Call) -> int:
    """The number in VersionId: `v2`, or `v2.` and more for a version that AWS has named since."""
    found = re.fullmatch(r"v([1-9]\d{0,8})(\..*)?", call.params["VersionId"])
    return int(found[1]) if found else 0


def _shown_version(version: int, is_default: bool, created_at: int) -> dict[str, Any]:
    return {"VersionId": f"v{version}", "IsDefaultVersion": is_default, "CreateDate": created_at}


# --- whom a policy is attached to -------------------------------------------------------------------------------------


def list_entities_for_policy(call: Call) -> dict[str, Any]:
    params = call.params
    wanted, prefix = params.get("EntityFilter"), params.get("PathPrefix", "/")
    with call.read() as look:
        arn = managed.get(look, params["PolicyArn"]).arn
        entries = [
            (
                f"Policy{kind.word.title()}s",
                {f"{kind.word.title()}Name": row["name"], f"{kind.word.title()}Id": row["id"]},
            )
            for kind in (ROLE, USER)
            if wanted in (None, kind.word.title())
            for row in look.all(entities.holders(kind, arn).order_by(kind.table.c.name))
            if row["path"].startswith(prefix)
        ]
    page, marker = page_of(call, [] if params.get("PolicyUsageFilter") == "PermissionsBoundary" else entries)
    found: dict[str, Any] = {"PolicyGroups": [], "PolicyUsers": [], "PolicyRoles": []}
    for members, entry in page:
        found[members].append(entry)
    return {**found, **more(marker)}


# --- tags -------------------------------------------------------------------------------------------------------------


def tag_policy(call: Call) -> None:
    with call.transaction() as tx:
        tags.put(tx, managed.get(tx, call.params["PolicyArn"]).arn, tags_of(call.params["Tags"]))


def untag_policy(call: Call) -> None:
    with call.transaction() as tx:
        tags.remove(tx, managed.get(tx, call.params["PolicyArn"]).arn, call.params["TagKeys"])


def list_policy_tags(call: Call) -> dict[str, Any]:
    with call.read() as look:
        found, marker = page_of(call, shown_tags(tags.of(look, managed.get(look, call.params["PolicyArn"]).arn)))
    return {"Tags": found, **more(marker)}
