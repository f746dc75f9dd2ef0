"""Roles: the rules that keep them, their trust policies and their sessions consistent (IAM API reference)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.access import entities, keys, trust
from fleetward.access.entities import ROLE, USER
from fleetward.arn import Arns
from fleetward.arn import parse as parse_arn
from fleetward.registry import tags
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.access import roles
from fleetward.store.tables.functions import functions

DEFAULT_SECONDS = 3600
"""IAM's default for MaxSessionDuration."""


def create(
    tx: Transaction, arns: Arns, name: str, path: str, description: str, trust_policy: str, max_session_seconds: int
) -> RowMapping:
    _check_trust(tx, arns, trust_policy)
    entities.check_free(tx, roles, "Role", name)
    who = {"name": name, "id": keys.unique_id("AROA"), "path": path, "description": description}
    how = {"trust_policy": trust_policy, "max_session_seconds": max_session_seconds, "created_at": tx.now}
    tx.execute(sa.insert(roles).values(**who, **how))
    tx.touch("role", name)
    return entities.get(tx, ROLE, name)


def update(tx: Transaction, name: str, description: str | None, max_session_seconds: int | None) -> RowMapping:
    given = {"description": description, "max_session_seconds": max_session_seconds}
    changed = {column: value for column, value in given.items() if value is not None}
    entities.get(tx, ROLE, name)
    if changed:
        tx.execute(sa.update(roles).where(roles.c.name == name).values(**changed))
    return entities.get(tx, ROLE, name)


def set_trust(tx: Transaction, arns: Arns, name: str, trust_policy: str) -> None:
    row = entities.get(tx, ROLE, name)
    _check_trust(tx, arns, trust_policy)
    tx.execute(sa.update(roles).where(roles.c.name == name).values(trust_policy=trust_policy))
    tx.touch("role", name)
    _restart_functions(tx, ROLE.arn(arns, row))


def delete(tx: Transaction, arns: Arns, name: str) -> None:
    """As on AWS, a role must be empty to go. Its sessions end at once."""
    row = entities.get(tx, ROLE, name)
    entities.check_empty(tx, ROLE, name)
    arn = ROLE.arn(arns, row)
    keys.delete_all(tx, row["id"])
    tags.forget(tx, arn)
    rename_trusted(tx, arn, row["id"])
    tx.execute(sa.delete(roles).where(roles.c.name == name))
    tx.touch("role", name)
    _restart_functions(tx, arn)


def find_arn(look: Reader, arns: Arns, role_arn: str) -> RowMapping | None:
    """The role with exactly that ARN, path included."""
    row = entities.find(look, ROLE, role_arn.rsplit("/", 1)[-1])
    return row if row is not None and ROLE.arn(arns, row) == role_arn else None


# --- trust ------------------------------------------------------------------------------------------------------------


def rename_trusted(tx: Transaction, old: str, new: str) -> None:
    """Has every trust policy name `new` for a principal that it named `old`.

    When a principal is deleted, `new` is its unique id, so that another one of the same name is not trusted in its
    place (IAM user guide, "AWS JSON policy elements: Principal").
    """
    for row in tx.all(sa.select(roles.c.name, roles.c.trust_policy)):
        text = trust.renamed(row["trust_policy"], old, new)
        if text != row["trust_policy"]:
            tx.execute(sa.update(roles).where(roles.c.name == row["name"]).values(trust_policy=text))
            tx.touch("role", row["name"])


def _check_trust(look: Reader, arns: Arns, text: str) -> None:
    """A trust policy names only users and roles that exist."""
    for names in trust.check(text).principals:
        for name in names:
            if name.startswith("AWS:") and not _exists(look, arns, name.removeprefix("AWS:")):
                raise errors.MalformedPolicyDocument(f'Invalid principal in policy: "AWS":"{name[4:]}"')


def _exists(look: Reader, arns: Arns, principal: str) -> bool:
    arn = parse_arn(principal)
    if arn is None:
        return False
    if arn.account != arns.account or arn.service != "iam" or arn.kind not in ("user", "role"):
        return True
    kind = USER if arn.kind == "user" else ROLE
    row = entities.find(look, kind, arn.name.rsplit("/", 1)[-1])
    return row is not None and kind.arn(arns, row) == principal


def _restart_functions(tx: Transaction, role_arn: str) -> None:
    """Functions hold keys of their role; when the role goes or trusts others they must ask for new ones."""
    for row in tx.all(sa.select(functions.c.name).where(functions.c.role == role_arn)):
        tx.touch("function", row["name"])
