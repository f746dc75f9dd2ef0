"""iam: roles, their trust policies, their inline policies and the managed policies attached to them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.access import entities
from fleetward.access import roles as rules
from fleetward.access.entities import ROLE
from fleetward.api import entity_policies
from fleetward.api.call import Call
from fleetward.api.entity_policies import more, shown, shown_tags, tags_of
from fleetward.api.paging import page
from fleetward.registry import tags
from fleetward.store.database import Reader
from fleetward.store.tables.access import roles

# --- roles ------------------------------------------------------------------------------------------------------------


def create_role(call: Call) -> dict[str, Any]:
    params, arns = call.params, call.rooms.arns
    with call.transaction() as tx:
        row = rules.create(
            tx,
            arns,
            params["RoleName"],
            params.get("Path", "/"),
            params.get("Description", ""),
            params["AssumeRolePolicyDocument"],
            params.get("MaxSessionDuration", rules.DEFAULT_SECONDS),
        )
        tags.put(tx, ROLE.arn(arns, row), tags_of(params.get("Tags", ())))
        return {"Role": _shown(call, tx, row)}


def get_role(call: Call) -> dict[str, Any]:
    with call.read() as look:
        return {"Role": _shown(call, look, entities.get(look, ROLE, call.params["RoleName"]))}


def update_role(call: Call) -> dict[str, Any]:
    params = call.params
    with call.transaction() as tx:
        rules.update(tx, params["RoleName"], params.get("Description"), params.get("MaxSessionDuration"))
    return {}


def update_role_description(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        row = rules.update(tx, call.params["RoleName"], call.params["Description"], None)
        return {"Role": _shown(call, tx, row)}


def update_assume_role_policy(call: Call) -> None:
    with call.transaction() as tx:
        rules.set_trust(tx, call.rooms.arns, call.params["RoleName"], call.params["PolicyDocument"])


def delete_role(call: Call) -> None:
    with call.transaction() as tx:
        rules.delete(tx, call.rooms.arns, call.params["RoleName"])


def list_roles(call: Call) -> dict[str, Any]:
    statement = sa.select(roles)
    if prefix := call.params.get("PathPrefix"):
        statement = statement.where(roles.c.path.startswith(prefix, autoescape=True))
    with call.read() as look:
        rows, marker = page(call, look, statement, roles.c.name)
    return {"Roles": [_listed(call, row) for row in rows], **more(marker)}


def _shown(call: Call, look: Reader, row: RowMapping) -> dict[str, Any]:
    own = tags.of(look, ROLE.arn(call.rooms.arns, row))
    return {**_listed(call, row), "Tags": shown_tags(own) or None}


def _listed(call: Call, row: RowMapping) -> dict[str, Any]:
    return {
        "Path": row["path"],
        "RoleName": row["name"],
        "RoleId": row["id"],
        "Arn": ROLE.arn(call.rooms.arns, row),
        "CreateDate": row["created_at"],
        "AssumeRolePolicyDocument": shown(row["trust_policy"]),
        "Description": row["description"] or None,
        "MaxSessionDuration": row["max_session_seconds"],
    }


# --- policies ---------------------------------------------------------------------------------------------------------


def put_role_policy(call: Call) -> None:
    entity_policies.put(call, ROLE)


def get_role_policy(call: Call) -> dict[str, Any]:
    return entity_policies.get(call, ROLE)


def delete_role_policy(call: Call) -> None:
    entity_policies.delete(call, ROLE)


def list_role_policies(call: Call) -> dict[str, Any]:
    return entity_policies.names(call, ROLE)


def attach_role_policy(call: Call) -> None:
    entity_policies.attach(call, ROLE)


def detach_role_policy(call: Call) -> None:
    entity_policies.detach(call, ROLE)


def list_attached_role_policies(call: Call) -> dict[str, Any]:
    return entity_policies.attached(call, ROLE)


# --- tags -------------------------------------------------------------------------------------------------------------


def tag_role(call: Call) -> None:
    entity_policies.tag(call, ROLE)


def untag_role(call: Call) -> None:
    entity_policies.untag(call, ROLE)


def list_role_tags(call: Call) -> dict[str, Any]:
    return entity_policies.list_tags(call, ROLE)
