"""iam: users, their inline policies and the managed policies attached to them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.access import entities
from fleetward.access import users as rules
from fleetward.access.entities import USER
from fleetward.api import entity_policies
from fleetward.api.call import Call
from fleetward.api.entity_policies import more, shown_tags, tags_of
from fleetward.api.own_user import user_name
from fleetward.api.paging import page
from fleetward.registry import tags
from fleetward.store.tables.access import users

# --- users ------------------------------------------------------------------------------------------------------------


def create_user(call: Call) -> dict[str, Any]:
    given = tags_of(call.params.get("Tags", ()))
    with call.transaction() as tx:
        row = rules.create(tx, call.params["UserName"], call.params.get("Path", "/"))
        tags.put(tx, USER.arn(call.rooms.arns, row), given)
    return {"User": {**_shown(call, row), "Tags": shown_tags(given) or None}}


def get_user(call: Call) -> dict[str, Any]:
    """Without a name: the caller. The root user has no name, and the account's number for an id."""
    arns = call.rooms.arns
    if "UserName" not in call.params and call.caller.principal_arn == arns.root:
        return {"User": {"UserId": arns.account, "Arn": arns.root, "Path": "/", "CreateDate": call.now}}
    with call.read() as look:
        row = entities.get(look, USER, user_name(call))
        own = tags.of(look, USER.arn(arns, row))
    return {"User": {**_shown(call, row), "Tags": shown_tags(own) or None}}


def update_user(call: Call) -> None:
    name = call.params["UserName"]
    with call.transaction() as tx:
        rules.rename(tx, call.rooms.arns, name, call.params.get("NewUserName", name), call.params.get("NewPath"))


def delete_user(call: Call) -> None:
    with call.transaction() as tx:
        rules.delete(tx, call.rooms.arns, call.params["UserName"])


def list_users(call: Call) -> dict[str, Any]:
    statement = sa.select(users)
    if prefix := call.params.get("PathPrefix"):
        statement = statement.where(users.c.path.startswith(prefix, autoescape=True))
    with call.read() as look:
        rows, marker = page(call, look, statement, users.c.name)
    return {"Users": [_shown(call, row) for row in rows], **more(marker)}


def _shown(call: Call, row: RowMapping) -> dict[str, Any]:
    return {
        "Path": row["path"],
        "UserName": row["name"],
        "UserId": row["id"],
        "Arn": USER.arn(call.rooms.arns, row),
        "CreateDate": row["created_at"],
    }


# --- policies ---------------------------------------------------------------------------------------------------------


def put_user_policy(call: Call) -> None:
    entity_policies.put(call, USER)


def get_user_policy(call: Call) -> dict[str, Any]:
    return entity_policies.get(call, USER)


def delete_user_policy(call: Call) -> None:
    entity_policies.delete(call, USER)


def list_user_policies(call: Call) -> dict[str, Any]:
    return entity_policies.names(call, USER)


def attach_user_policy(call: Call) -> None:
    entity_policies.attach(call, USER)


def detach_user_policy(call: Call) -> None:
    entity_policies.detach(call, USER)


def list_attached_user_policies(call: Call) -> dict[str, Any]:
    return entity_policies.attached(call, USER)


# --- tags -------------------------------------------------------------------------------------------------------------


def tag_user(call: Call) -> None:
    entity_policies.tag(call, USER)


def untag_user(call: Call) -> None:
    entity_policies.untag(call, USER)


def list_user_tags(call: Call) -> dict[str, Any]:
    return entity_policies.list_tags(call, USER)
