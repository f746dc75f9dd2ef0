"""fleetward: what AWS's operations list but cannot look up, found by how its name begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.access.entities import ROLE
from fleetward.api.call import Call
from fleetward.api.paging import page
from fleetward.registry.names import begins_with
from fleetward.store.tables.access import roles
from fleetward.store.tables.detect import security_profiles
from fleetward.store.tables.notify import topics
from fleetward.store.tables.registry import policies


def list_policies_by_name(call: Call) -> dict[str, Any]:
    return _named(call, policies, lambda row: call.rooms.arns.iot("policy", row["name"]))


def list_security_profiles_by_name(call: Call) -> dict[str, Any]:
    return _named(call, security_profiles, lambda row: call.rooms.arns.iot("securityprofile", row["name"]))


def list_topics_by_name(call: Call) -> dict[str, Any]:
    return _named(call, topics, lambda row: call.rooms.arns.topic(row["name"]))


def list_roles_by_name(call: Call) -> dict[str, Any]:
    return _named(call, roles, lambda row: ROLE.arn(call.rooms.arns, row), roles.c.path)


def _named(call: Call, table: sa.Table, arn: Callable[[RowMapping], str], *more: sa.Column[Any]) -> dict[str, Any]:
    """The names of a table's rows in their order, those that begin with `namePrefix`; `more` is what `arn` needs."""
    statement = sa.select(table.c.name, *more)
    if (prefix := call.params.get("namePrefix")) is not None:
        statement = statement.where(begins_with(table.c.name, prefix))
    with call.read() as look:
        rows, token = page(call, look, statement, table.c.name)
    return {"named": [{"name": row["name"], "arn": arn(row)} for row in rows], "nextToken": token}
