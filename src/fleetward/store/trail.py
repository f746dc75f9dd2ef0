"""Keeping the audit trail: every change to a tracked table is written down in the very transaction that makes it.

It sits where all doors meet, at the statement, so that no room has to remember it: rows are read before and after each
UPDATE and DELETE, and taken from each INSERT.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql import Executable
from sqlalchemy.sql.dml import Delete, Insert, Update

from fleetward.model import Millis
from fleetward.store.tables.trail import trail

Row: TypeAlias = dict[str, Any]

TRACKED: Mapping[str, str] = {
    "things": "thing",
    "thing_types": "thing type",
    "thing_groups": "thing group",
    "thing_group_members": "thing group member",
    "certificates": "certificate",
    "ca_certificates": "CA certificate",
    "thing_principals": "thing principal",
    "policies": "policy",
    "policy_versions": "policy version",
    "policy_attachments": "policy attachment",
    "tags": "tag",
    "account_settings": "account setting",
    "access_keys": "access key",
    "users": "user",
    "user_policies": "user policy",
    "user_attachments": "user policy attachment",
    "login_profiles": "login profile",
    "roles": "role",
    "role_policies": "role policy",
    "role_attachments": "role policy attachment",
    "managed_policies": "managed policy",
    "managed_policy_versions": "managed policy version",
    "security_profiles": "security profile",
    "security_profile_targets": "security profile target",
    "custom_metrics": "custom metric",
    "dimensions": "dimension",
    "mitigation_actions": "mitigation action",
    "mitigation_tasks": "mitigation task",
    "topics": "topic",
    "subscriptions": "subscription",
    "functions": "function",
    "function_permissions": "function permission",
    "schedule_rules": "schedule",
    "schedule_targets": "schedule target",
}
"""Table → what the trail calls a row of it. Everything that somebody decides is here; what happens by itself is not."""

HIDDEN = frozenset({"secret", "session_token", "token_hash", "environment", "pem", "hash"})
"""Columns whose values the trail must not repeat."""

UNREMARKABLE = frozenset({"fired_until", "last_error", "modified_at", "version", "last_used_at"})
"""Columns that change by themselves: a row in which nothing else changed is no change."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change, from where, by which operation; `reason` is what they said of it."""

    principal: str = "fleetward"
    address: str = ""
    operation: str = ""
    request_id: str = ""
    reason: str = ""


SYSTEM = Actor()
"""What Fleetward does by itself."""

_WRITE = trail.insert()


@dataclass(slots=True)
class Ledger:
    """The changes of one transaction, gathered as they are made."""

    entries: list[Row] = field(default_factory=list)

    def execute(self, connection: Connection, statement: Executable, parameters: Any) -> sa.CursorResult[Any]:
        """Executes the statement; notes what it does to a tracked table."""
        table = _tracked(statement)
        if table is None:
            return connection.execute(statement, parameters)
        if isinstance(statement, Insert):
            result = connection.execute(statement, parameters)
            for row in _inserted(result):
                self._note(table, None, row)
            return result
        assert isinstance(statement, Update | Delete)
        before = _rows(connection, table, statement.whereclause)
        result = connection.execute(statement, parameters)
        after = {} if isinstance(statement, Delete) else _again(connection, table, before)
        for key, row in before.items():
            self._note(table, row, after.get(key))
        return result

    def write(self, connection: Connection, now: Millis, actor: Actor) -> None:
        """Puts the changes on the trail; the last thing a transaction does."""
        if self.entries:
            who = {
                "time": now,
                "principal": actor.principal,
                "address": actor.address,
                "operation": actor.operation,
                "request_id": actor.request_id,
                "reason": actor.reason,
            }
            connection.execute(_WRITE, [{**who, **entry} for entry in self.entries])

    def _note(self, table: sa.Table, before: Row | None, after: Row | None) -> None:
        if table.name == "access_keys" and (before or after or {}).get("expires_at") is not None:
            return  # the keys of a session, made by the thousand
        if before is not None and after is not None:
            changed = {name for name in before if before[name] != after.get(name)}
            if changed <= UNREMARKABLE:
                return
        row = after or before or {}
        name = "/".join(str(row.get(column.name, "")) for column in _naming(table))
        entry = {"kind": TRACKED[table.name], "name": name, "before": _shown(before), "after": _shown(after)}
        self.entries.append(entry)


def prune(connection: Connection, before: Millis) -> None:
    """Forgets what happened before that time."""
    connection.execute(trail.delete().where(trail.c.time < before))


def _tracked(statement: Executable) -> sa.Table | None:
    if isinstance(statement, Insert | Update | Delete):
        table = statement.table
        if isinstance(table, sa.Table) and table.name in TRACKED:
            return table
    return None


def _inserted(result: sa.CursorResult[Any]) -> Iterable[Row]:
    rows = result.last_inserted_params()
    return map(dict, rows if isinstance(rows, list) else [rows])


def _rows(connection: Connection, table: sa.Table, where: Any) -> dict[tuple[Any, ...], Row]:
    statement = sa.select(table) if where is None else sa.select(table).where(where)
    return {_key(table, row): row for row in map(dict, connection.execute(statement).mappings())}


def _again(connection: Connection, table: sa.Table, rows: Mapping[tuple[Any, ...], Row]) -> dict[tuple[Any, ...], Row]:
    names = [column.name for column in table.primary_key.columns]
    found = (connection.execute(_by_key(table), dict(zip(names, key, strict=True))).mappings().first() for key in rows)
    return {_key(table, row): row for row in (dict(one) for one in found if one is not None)}


@cache
def _by_key(table: sa.Table) -> sa.Select[Any]:
    return sa.select(table).where(*(column == sa.bindparam(column.name) for column in table.primary_key.columns))


def _key(table: sa.Table, row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column.name] for column in table.primary_key.columns)


def _naming(table: sa.Table) -> list[sa.Column[Any]]:
    """The columns people know a row by: its name, else its primary key."""
    return [table.c.name] if "name" in table.c else list(table.primary_key.columns)


def _shown(row: Row | None) -> Row | None:
    if row is None:
        return None
    return {name: "(hidden)" if name in HIDDEN and value else value for name, value in row.items() if name != "id"}
