"""The resource policy of a function: which services may call it (AddPermission), and the question whether one may."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from fleetward.arn import Arns
from fleetward.errors import ResourceConflict, ResourceNotFound
from fleetward.functions import catalog
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.functions import function_permissions

_INVOKE = frozenset({"lambda:InvokeFunction", "lambda:*", "*"})


def add(
    tx: Transaction,
    arns: Arns,
    name: str,
    statement_id: str,
    *,
    action: str,
    principal: str,
    source_arn: str | None = None,
    source_account: str | None = None,
) -> dict[str, Any]:
    """The statement that was added. `principal` is a service (`sns.amazonaws.com`), an account, an ARN or `*`."""
    catalog.get(tx, name)
    if any(statement["Sid"] == statement_id for statement in statements(tx, name)):
        raise ResourceConflict(
            f"The statement id ({statement_id}) provided already exists. Please provide a new statement id"
        )
    conditions = {
        **({"StringEquals": {"AWS:SourceAccount": source_account}} if source_account else {}),
        **({"ArnLike": {"AWS:SourceArn": source_arn}} if source_arn else {}),
    }
    statement = {
        "Sid": statement_id,
        "Effect": "Allow",
        "Principal": _principal(principal),
        "Action": action,
        "Resource": arns.function(name),
        **({"Condition": conditions} if conditions else {}),
    }
    row = {"function_name": name, "statement_id": statement_id, "statement": statement}
    tx.execute(sa.insert(function_permissions).values(row))
    return statement


def remove(tx: Transaction, name: str, statement_id: str) -> None:
    catalog.get(tx, name)
    mine = (function_permissions.c.function_name == name, function_permissions.c.statement_id == statement_id)
    if tx.execute(sa.delete(function_permissions).where(*mine)).rowcount == 0:
        raise ResourceNotFound(f"Statement {statement_id} is not found in resource policy.")


def statements(look: Reader, name: str) -> Sequence[Mapping[str, Any]]:
    query = sa.select(function_permissions.c.statement).where(function_permissions.c.function_name == name)
    return [row["statement"] for row in look.all(query.order_by(function_permissions.c.statement_id))]


def may_invoke(look: Reader, name: str, service: str, source_arn: str, account: str) -> bool:
    """Whether `service` (`sns.amazonaws.com`, `events.amazonaws.com`) may call the function for `source_arn`."""
    return any(_allows(statement, service, source_arn, account) for statement in statements(look, name))


def _allows(statement: Mapping[str, Any], service: str, source_arn: str, account: str) -> bool:
    conditions = statement.get("Condition", {})
    pattern = conditions.get("ArnLike", {}).get("AWS:SourceArn", "*")
    return (
        statement["Action"] in _INVOKE
        and statement["Principal"] in ("*", {"Service": service})
        and conditions.get("StringEquals", {}).get("AWS:SourceAccount", account) == account
        and _like(pattern, source_arn)
    )


def _like(pattern: str, text: str) -> bool:
    """ArnLike: `*` stands for any letters, `?` for one; neither crosses the colons between the first six parts."""
    patterns, parts = pattern.split(":", 5), text.split(":", 5)
    if pattern == "*":
        return True
    return len(patterns) == len(parts) and all(map(_part_like, patterns, parts))


def _part_like(pattern: str, text: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _principal(principal: str) -> Any:
    if principal == "*":
        return "*"
    if re.fullmatch(r"\d{12}", principal):
        return {"AWS": f"arn:aws:iam::{principal}:root"}
    return {"AWS": principal} if principal.startswith("arn:") else {"Service": principal}
