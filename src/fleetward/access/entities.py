"""What users and roles have in common: a name, a path, inline policies and attached managed policies.

Sources: IAM user guide, "IAM identifiers", "IAM and AWS STS quotas"; IAM API reference for the texts of refusals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.access import documents, managed
from fleetward.arn import Arns
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables import access as tables

MAX_ATTACHED = 10


@dataclass(frozen=True, slots=True)
class Kind:
    """Users, or roles: their tables, and the characters that all inline policies of one may have together."""

    word: str
    table: sa.Table
    policies: sa.Table
    attachments: sa.Table
    inline_characters: int

    def arn(self, arns: Arns, row: RowMapping) -> str:
        return f"arn:aws:iam::{arns.account}:{self.word}{row['path']}{row['name']}"

    def owned_by(self, table: sa.Table, name: str) -> sa.ColumnElement[bool]:
        """The rows of `policies` or `attachments` that belong to `name`."""
        return table.c[f"{self.word}_name"] == name


USER = Kind("user", tables.users, tables.user_policies, tables.user_attachments, 2048)
ROLE = Kind("role", tables.roles, tables.role_policies, tables.role_attachments, 10_240)

# --- the entity -------------------------------------------------------------------------------------------------------


def find(look: Reader, kind: Kind, name: str) -> RowMapping | None:
    return look.one(sa.select(kind.table).where(kind.table.c.name == name))


def get(look: Reader, kind: Kind, name: str) -> RowMapping:
    """The row of that name, or errors.NoSuchEntity."""
    row = find(look, kind, name)
    if row is None:
        raise errors.NoSuchEntity(f"The {kind.word} with name {name} cannot be found.")
    return row


def check_free(look: Reader, table: sa.Table, word: str, name: str) -> None:
    """Names are unique whatever their case."""
    if look.scalar(sa.select(table.c.name).where(sa.func.lower(table.c.name) == name.lower())) is not None:
        raise errors.EntityAlreadyExists(f"{word} with name {name} already exists.")


def check_empty(look: Reader, kind: Kind, name: str) -> None:
    """Refuses to let go of what still has policies."""
    if attached(look, kind, name):
        raise errors.DeleteConflict("Cannot delete entity, must detach all policies first.")
    if inline(look, kind, name):
        raise errors.DeleteConflict("Cannot delete entity, must delete policies first.")


# --- inline policies --------------------------------------------------------------------------------------------------


def put_inline(tx: Transaction, kind: Kind, name: str, policy: str, document: str) -> None:
    """Adds an inline policy, or replaces the one of that name."""
    get(tx, kind, name)
    others = sum(documents.size_of(row["document"]) for row in inline(tx, kind, name) if row["policy_name"] != policy)
    if others + documents.size_of(document) > kind.inline_characters:
        raise errors.LimitExceeded(
            f"Maximum policy size of {kind.inline_characters} bytes exceeded for {kind.word} {name}"
        )
    documents.check(document)
    tx.execute(sa.delete(kind.policies).where(_inline(kind, name, policy)))
    values = {f"{kind.word}_name": name, "policy_name": policy, "document": document}
    tx.execute(sa.insert(kind.policies).values(values))
    tx.touch(kind.word, name)


def delete_inline(tx: Transaction, kind: Kind, name: str, policy: str) -> None:
    get_inline(tx, kind, name, policy)
    tx.execute(sa.delete(kind.policies).where(_inline(kind, name, policy)))
    tx.touch(kind.word, name)


def get_inline(look: Reader, kind: Kind, name: str, policy: str) -> str:
    """The document of an inline policy, or errors.NoSuchEntity."""
    get(look, kind, name)
    document = look.scalar(sa.select(kind.policies.c.document).where(_inline(kind, name, policy)))
    if document is None:
        raise errors.NoSuchEntity(f"The {kind.word} policy with name {policy} cannot be found.")
    return str(document)


def inline(look: Reader, kind: Kind, name: str) -> Sequence[RowMapping]:
    """The inline policies (policy_name, document) of one user or role."""
    return look.all(sa.select(kind.policies).where(kind.owned_by(kind.policies, name)))


def _inline(kind: Kind, name: str, policy: str) -> sa.ColumnElement[bool]:
    return kind.owned_by(kind.policies, name) & (kind.policies.c.policy_name == policy)


# --- attached policies ------------------------------------------------------------------------------------------------


def attach(tx: Transaction, kind: Kind, name: str, policy_arn: str) -> None:
    """Attaches a managed policy; again is a success."""
    get(tx, kind, name)
    managed.check_attachable(tx, policy_arn)
    current = attached(tx, kind, name)
    if policy_arn in current:
        return
    if len(current) >= MAX_ATTACHED:
        raise errors.LimitExceeded(f"Cannot exceed quota for PoliciesPer{kind.word.title()}: {MAX_ATTACHED}")
    tx.execute(sa.insert(kind.attachments).values({f"{kind.word}_name": name, "policy_arn": policy_arn}))
    tx.touch(kind.word, name)


def detach(tx: Transaction, kind: Kind, name: str, policy_arn: str) -> None:
    get(tx, kind, name)
    there = kind.owned_by(kind.attachments, name) & (kind.attachments.c.policy_arn == policy_arn)
    if not tx.execute(sa.delete(kind.attachments).where(there)).rowcount:
        raise errors.NoSuchEntity(f"Policy {policy_arn} was not found.")
    tx.touch(kind.word, name)


def attached(look: Reader, kind: Kind, name: str) -> list[str]:
    """The ARNs of the managed policies attached to one user or role."""
    column = kind.attachments.c.policy_arn
    return list(look.execute(attachments(kind, name).order_by(column)).scalars())


def attachments(kind: Kind, name: str) -> sa.Select[Any]:
    return sa.select(kind.attachments.c.policy_arn).where(kind.owned_by(kind.attachments, name))


def holders(kind: Kind, policy_arn: str) -> sa.Select[Any]:
    """The rows of the users, or of the roles, that a managed policy is attached to."""
    owner = kind.attachments.c[f"{kind.word}_name"]
    return sa.select(kind.table).where(
        kind.table.c.name.in_(sa.select(owner).where(kind.attachments.c.policy_arn == policy_arn))
    )
