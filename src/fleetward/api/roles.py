"""iam: roles, their inline policies and the managed policies attached to them."""

from __future__ import annotations

import json
import secrets
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.api.call import Call
from fleetward.api.paging import page
from fleetward.arn import Arns
from fleetward.policy.document import parse as parse_policy
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.access import role_attachments, role_policies, roles

MAX_POLICY_CHARACTERS = 10_240
"""Characters of a role's inline policy, white space not counted (IAM quotas)."""

SESSION_SECONDS = 3600
"""The longest session of every role; IAM's default for MaxSessionDuration."""

# --- roles ------------------------------------------------------------------------------------------------------------


def create_role(call: Call) -> dict[str, Any]:
    refuse_unsupported(call, "PermissionsBoundary", "Tags")
    if call.params.get("MaxSessionDuration", SESSION_SECONDS) != SESSION_SECONDS:
        raise errors.NotImplementedHere("Fleetward's roles all have a MaxSessionDuration of 3600 seconds.")
    trust = call.params["AssumeRolePolicyDocument"]
    _check_trust_policy(trust)
    with call.transaction() as tx:
        if find(tx, call.params["RoleName"]) is not None:
            raise errors.EntityAlreadyExists(f"Role with name {call.params['RoleName']} already exists.")
        tx.execute(
            sa.insert(roles).values(
                name=call.params["RoleName"],
                id="AROA" + secrets.token_hex(8).upper(),
                path=call.params.get("Path", "/"),
                description=call.params.get("Description", ""),
                trust_policy=trust,
                created_at=call.now,
            )
        )
        return {"Role": _shown(call, get(tx, call.params["RoleName"]))}


def get_role(call: Call) -> dict[str, Any]:
    with call.read() as look:
        return {"Role": _shown(call, get(look, call.params["RoleName"]))}


def delete_role(call: Call) -> None:
    """As on AWS, a role must be empty to go."""
    name = call.params["RoleName"]
    with call.transaction() as tx:
        get(tx, name)
        for table, what in ((role_policies, "delete policies"), (role_attachments, "detach all policies")):
            if tx.scalar(sa.select(sa.func.count()).select_from(table).where(table.c.role_name == name)):
                raise errors.DeleteConflict(f"Cannot delete entity, must {what} first.")
        tx.execute(sa.delete(roles).where(roles.c.name == name))


def list_roles(call: Call) -> dict[str, Any]:
    statement = sa.select(roles)
    if prefix := call.params.get("PathPrefix"):
        statement = statement.where(roles.c.path.startswith(prefix, autoescape=True))
    with call.read() as look:
        rows, marker = page(call, look, statement, roles.c.name)
    return {"Roles": [_shown(call, row) for row in rows], **_more(marker)}


# --- inline policies --------------------------------------------------------------------------------------------------


def put_role_policy(call: Call) -> None:
    name, document = call.params["PolicyName"], call.params["PolicyDocument"]
    try:
        parse_policy(document, name, keys=None, max_characters=MAX_POLICY_CHARACTERS)
    except errors.MalformedPolicy as refusal:
        raise errors.MalformedPolicyDocument(refusal.message) from None
    with call.transaction() as tx:
        role = get(tx, call.params["RoleName"])["name"]
        tx.execute(sa.delete(role_policies).where(_named(role, name)))
        tx.execute(sa.insert(role_policies).values(role_name=role, policy_name=name, document=document))


def get_role_policy(call: Call) -> dict[str, Any]:
    with call.read() as look:
        row = _inline(look, call)
    return {
        "RoleName": row["role_name"],
        "PolicyName": row["policy_name"],
        "PolicyDocument": quote(row["document"], safe=""),
    }


def delete_role_policy(call: Call) -> None:
    with call.transaction() as tx:
        row = _inline(tx, call)
        tx.execute(sa.delete(role_policies).where(_named(row["role_name"], row["policy_name"])))


def list_role_policies(call: Call) -> dict[str, Any]:
    with call.read() as look:
        role = get(look, call.params["RoleName"])["name"]
        statement = sa.select(role_policies.c.policy_name).where(role_policies.c.role_name == role)
        rows, marker = page(call, look, statement, role_policies.c.policy_name)
    return {"PolicyNames": [row["policy_name"] for row in rows], **_more(marker)}


# --- attached policies ------------------------------------------------------------------------------------------------


def attach_role_policy(call: Call) -> None:
    """Records the attachment. Attaching twice succeeds, as on AWS."""
    with call.transaction() as tx:
        role = get(tx, call.params["RoleName"])["name"]
        if not _detach(tx, role, call.params["PolicyArn"]):
            _check_policy_arn(call.params["PolicyArn"])
        tx.execute(sa.insert(role_attachments).values(role_name=role, policy_arn=call.params["PolicyArn"]))


def detach_role_policy(call: Call) -> None:
    with call.transaction() as tx:
        role = get(tx, call.params["RoleName"])["name"]
        if not _detach(tx, role, call.params["PolicyArn"]):
            raise errors.NoSuchEntity(f"Policy {call.params['PolicyArn']} was not found.")


def list_attached_role_policies(call: Call) -> dict[str, Any]:
    with call.read() as look:
        role = get(look, call.params["RoleName"])["name"]
        statement = sa.select(role_attachments.c.policy_arn).where(role_attachments.c.role_name == role)
        rows, marker = page(call, look, statement, role_attachments.c.policy_arn)
    attached = [{"PolicyName": row["policy_arn"].rsplit("/", 1)[-1], "PolicyArn": row["policy_arn"]} for row in rows]
    return {"AttachedPolicies": attached, **_more(marker)}


# --- shared -----------------------------------------------------------------------------------------------------------


def find(look: Reader, name: str) -> RowMapping | None:
    return look.one(sa.select(roles).where(roles.c.name == name))


def get(look: Reader, name: str) -> RowMapping:
    """The role, or errors.NoSuchEntity."""
    row = find(look, name)
    if row is None:
        raise errors.NoSuchEntity(f"The role with name {name} cannot be found.")
    return row


def id_of(look: Reader, arns: Arns, role_arn: str) -> str | None:
    """The id of the role with exactly that ARN, path included, or None."""
    row = find(look, role_arn.rsplit("/", 1)[-1])
    return row["id"] if row and _arn(arns, row) == role_arn else None


def refuse_unsupported(call: Call, *names: str) -> None:
    """Refuses parameters that would be silently without effect."""
    given = [name for name in names if call.params.get(name)]
    if given:
        raise errors.NotImplementedHere(f"Fleetward does not implement {', '.join(given)} of {call.operation.name}.")


def _shown(call: Call, row: RowMapping) -> dict[str, Any]:
    return {
        "Path": row["path"],
        "RoleName": row["name"],
        "RoleId": row["id"],
        "Arn": _arn(call.rooms.arns, row),
        "CreateDate": row["created_at"],
        "AssumeRolePolicyDocument": quote(row["trust_policy"], safe=""),
        "Description": row["description"] or None,
        "MaxSessionDuration": SESSION_SECONDS,
    }


def _arn(arns: Arns, row: RowMapping) -> str:
    return arns.role(row["path"].lstrip("/") + row["name"])


def _inline(look: Reader, call: Call) -> RowMapping:
    role, name = get(look, call.params["RoleName"])["name"], call.params["PolicyName"]
    row = look.one(sa.select(role_policies).where(_named(role, name)))
    if row is None:
        raise errors.NoSuchEntity(f"The role policy with name {name} cannot be found.")
    return row


def _named(role: str, policy: str) -> sa.ColumnElement[bool]:
    return (role_policies.c.role_name == role) & (role_policies.c.policy_name == policy)


def _detach(tx: Transaction, role: str, policy_arn: str) -> bool:
    attached = (role_attachments.c.role_name == role) & (role_attachments.c.policy_arn == policy_arn)
    return bool(tx.execute(sa.delete(role_attachments).where(attached)).rowcount)


def _check_policy_arn(arn: str) -> None:
    if not arn.startswith("arn:aws:iam::") or ":policy/" not in arn:
        raise errors.Validation(f"ARN {arn} is not valid.")


def _check_trust_policy(text: str) -> None:
    """A trust policy has a Principal in each statement, and no Resource."""
    try:
        document = json.loads(text)
        statements = document["Statement"]
        for statement in statements if isinstance(statements, list) else [statements]:
            if statement["Effect"] not in ("Allow", "Deny") or not statement["Action"] or not statement["Principal"]:
                raise KeyError
            if "Resource" in statement:
                raise errors.MalformedPolicyDocument("Has prohibited field Resource")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise errors.MalformedPolicyDocument("This policy contains invalid Json or lacks a required element") from None


def _more(marker: str | None) -> dict[str, Any]:
    return {"IsTruncated": marker is not None, "Marker": marker}
