"""iam: the policies of a user or a role, inline and attached, and tags; the same for both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from fleetward.access import entities
from fleetward.access.entities import Kind
from fleetward.api.call import Call
from fleetward.api.paging import page, page_of
from fleetward.api.policy_warnings import warn_of_misspelt_actions
from fleetward.registry import tags
from fleetward.store.database import Reader, Transaction

# --- inline policies --------------------------------------------------------------------------------------------------


def put(call: Call, kind: Kind) -> None:
    policy, document = call.params["PolicyName"], call.params["PolicyDocument"]
    with call.transaction() as tx:
        entities.put_inline(tx, kind, _name(call, kind), policy, document)
    warn_of_misspelt_actions(call, policy, document)


def get(call: Call, kind: Kind) -> dict[str, Any]:
    name, policy = _name(call, kind), call.params["PolicyName"]
    with call.read() as look:
        document = entities.get_inline(look, kind, name, policy)
    return {member_of(kind): name, "PolicyName": policy, "PolicyDocument": shown(document)}


def delete(call: Call, kind: Kind) -> None:
    with call.transaction() as tx:
        entities.delete_inline(tx, kind, _name(call, kind), call.params["PolicyName"])


def names(call: Call, kind: Kind) -> dict[str, Any]:
    with call.read() as look:
        name = entities.get(look, kind, _name(call, kind))["name"]
        column = kind.policies.c.policy_name
        statement = sa.select(column).where(kind.owned_by(kind.policies, name))
        rows, marker = page(call, look, statement, column)
    return {"PolicyNames": [row["policy_name"] for row in rows], **more(marker)}


# --- attached policies ------------------------------------------------------------------------------------------------


def attach(call: Call, kind: Kind) -> None:
    """Attaching twice succeeds, as on AWS."""
    with call.transaction() as tx:
        entities.attach(tx, kind, _name(call, kind), call.params["PolicyArn"])


def detach(call: Call, kind: Kind) -> None:
    with call.transaction() as tx:
        entities.detach(tx, kind, _name(call, kind), call.params["PolicyArn"])


def attached(call: Call, kind: Kind) -> dict[str, Any]:
    prefix = f":policy{call.params.get('PathPrefix', '/')}"
    with call.read() as look:
        name = entities.get(look, kind, _name(call, kind))["name"]
        column = kind.attachments.c.policy_arn
        statement = entities.attachments(kind, name).where(column.contains(prefix, autoescape=True))
        rows, marker = page(call, look, statement, column)
    found = [{"PolicyName": row["policy_arn"].rsplit("/", 1)[-1], "PolicyArn": row["policy_arn"]} for row in rows]
    return {"AttachedPolicies": found, **more(marker)}


# --- tags -------------------------------------------------------------------------------------------------------------


def tag(call: Call, kind: Kind) -> None:
    with call.transaction() as tx:
        tags.put(tx, _arn(call, tx, kind), tags_of(call.params["Tags"]))


def untag(call: Call, kind: Kind) -> None:
    with call.transaction() as tx:
        tags.remove(tx, _arn(call, tx, kind), call.params["TagKeys"])


def list_tags(call: Call, kind: Kind) -> dict[str, Any]:
    with call.read() as look:
        found, marker = page_of(call, shown_tags(tags.of(look, _arn(call, look, kind))))
    return {"Tags": found, **more(marker)}


# --- shared -----------------------------------------------------------------------------------------------------------


def member_of(kind: Kind) -> str:
    """The member that names one: UserName, RoleName."""
    return f"{kind.word.title()}Name"


def tags_of(given: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in given}


def shown_tags(found: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in found.items()]


def shown(document: str) -> str:
    """A document as IAM's answers carry it (RFC 3986)."""
    return quote(document, safe="")


def more(marker: str | None) -> dict[str, Any]:
    return {"IsTruncated": marker is not None, "Marker": marker}


def _name(call: Call, kind: Kind) -> str:
    return str(call.params[member_of(kind)])


def _arn(call: Call, look: Reader | Transaction, kind: Kind) -> str:
    return kind.arn(call.rooms.arns, entities.get(look, kind, _name(call, kind)))
