"""Managed policies: those of the account, with up to five versions, and those of AWS that exist from the start.

Sources: IAM user guide, "Versioning IAM policies", "IAM and AWS STS quotas"; IAM API reference for refusals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.access import documents
from fleetward.access.aws_managed import AWS_MANAGED
from fleetward.access.keys import unique_id
from fleetward.arn import Arns
from fleetward.model import Millis
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.access import (
    managed_policies,
    managed_policy_versions,
    role_attachments,
    user_attachments,
)

MAX_VERSIONS = 5
MAX_CHARACTERS = 6144


@dataclass(frozen=True, slots=True)
class Managed:
    """A managed policy. AWS's own have one version, 1, and are the same for everyone."""

    arn: str
    name: str
    id: str
    path: str
    description: str
    default_version: int
    created_at: Millis
    updated_at: Millis


# --- looking ----------------------------------------------------------------------------------------------------------


def find(look: Reader, arn: str) -> Managed | None:
    if arn in AWS_MANAGED:
        return of_aws(arn)
    row = look.one(sa.select(managed_policies).where(managed_policies.c.name == _name(arn)))
    found = of_row(arn.split(":policy/", 1)[0], row) if row else None
    return found if found is not None and found.arn == arn else None


def get(look: Reader, arn: str) -> Managed:
    """The policy, or errors.NoSuchEntity."""
    found = find(look, arn)
    if found is None:
        raise errors.NoSuchEntity(f"Policy {arn} was not found.")
    return found


def check_attachable(look: Reader, arn: str) -> None:
    if not arn.startswith("arn:aws:iam::") or ":policy/" not in arn:
        raise errors.InvalidInput(f"ARN {arn} is not valid.")
    if find(look, arn) is None:
        raise errors.NoSuchEntity(f"Policy {arn} does not exist or is not attachable.")


def document(look: Reader, arn: str, version: int | None = None) -> str | None:
    """The document of one version, or of the default one; None when there is no such policy or version."""
    found = find(look, arn)
    if found is None:
        return None
    wanted = found.default_version if version is None else version
    if arn in AWS_MANAGED:
        return AWS_MANAGED[arn].document if wanted == 1 else None
    table = managed_policy_versions
    text = look.scalar(sa.select(table.c.document).where(table.c.policy_name == found.name, table.c.version == wanted))
    return None if text is None else str(text)


def versions(look: Reader, name: str) -> Sequence[RowMapping]:
    """The versions of a policy of the account, newest first."""
    table = managed_policy_versions
    return look.all(sa.select(table).where(table.c.policy_name == name).order_by(table.c.version.desc()))


def attachment_count(look: Reader, arn: str) -> int:
    return sum(
        look.scalar(sa.select(sa.func.count()).select_from(table).where(table.c.policy_arn == arn))
        for table in (user_attachments, role_attachments)
    )


def of_row(account_prefix: str, row: RowMapping) -> Managed:
    """`account_prefix` is arn:aws:iam::<account>."""
    members = {name: row[name] for name in Managed.__slots__ if name != "arn"}
    return Managed(arn=f"{account_prefix}:policy{row['path']}{row['name']}", **members)


def of_aws(arn: str) -> Managed:
    path, _, name = arn.partition(":policy")[2].rpartition("/")
    return Managed(arn, name, AWS_MANAGED[arn].id, f"{path}/", AWS_MANAGED[arn].description, 1, 0, 0)


# --- changing ---------------------------------------------------------------------------------------------------------


def create(tx: Transaction, arns: Arns, name: str, path: str, description: str, text: str) -> Managed:
    _check(text)
    folded = sa.func.lower(managed_policies.c.name) == name.lower()
    if tx.scalar(sa.select(managed_policies.c.name).where(folded)) is not None:
        raise errors.EntityAlreadyExists(f"A policy called {name} already exists. Duplicate names are not allowed.")
    row = {"name": name, "id": unique_id("ANPA"), "path": path, "description": description}
    times = {"created_at": tx.now, "updated_at": tx.now}
    tx.execute(sa.insert(managed_policies).values(**row, default_version=1, last_version=1, **times))
    _insert_version(tx, name, 1, text)
    tx.touch("managed_policy", name)
    return get(tx, f"arn:aws:iam::{arns.account}:policy{path}{name}")


def create_version(tx: Transaction, arn: str, text: str, as_default: bool) -> RowMapping:
    """The new version's row. Numbers are never used again."""
    name = _own(tx, arn).name
    if len(versions(tx, name)) >= MAX_VERSIONS:
        raise errors.LimitExceeded(
            f"A managed policy can have up to {MAX_VERSIONS} versions. "
            "Before you create a new version, you must delete an existing version."
        )
    _check(text)
    number = tx.scalar(sa.select(managed_policies.c.last_version).where(managed_policies.c.name == name)) + 1
    _insert_version(tx, name, number, text)
    _change(tx, name, last_version=number, **({"default_version": number} if as_default else {}))
    return versions(tx, name)[0]


def set_default(tx: Transaction, arn: str, version: int) -> None:
    name = _own(tx, arn).name
    _check_version(tx, arn, version)
    _change(tx, name, default_version=version)


def delete_version(tx: Transaction, arn: str, version: int) -> None:
    found = _own(tx, arn)
    _check_version(tx, arn, version)
    if version == found.default_version:
        raise errors.DeleteConflict("Cannot delete the default version of a policy.")
    table = managed_policy_versions
    tx.execute(sa.delete(table).where(table.c.policy_name == found.name, table.c.version == version))
    _change(tx, found.name)


def delete(tx: Transaction, arn: str) -> None:
    """Deletes a policy that has only its default version and is attached to nobody."""
    found = _own(tx, arn)
    if attachment_count(tx, arn):
        raise errors.DeleteConflict("Cannot delete a policy attached to entities.")
    if len(versions(tx, found.name)) > 1:
        raise errors.DeleteConflict(
            "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. "
            "The default version is deleted with the policy."
        )
    table = managed_policy_versions
    tx.execute(sa.delete(table).where(table.c.policy_name == found.name))
    tx.execute(sa.delete(managed_policies).where(managed_policies.c.name == found.name))
    tx.touch("managed_policy", found.name)


# --- inside -----------------------------------------------------------------------------------------------------------


def _own(look: Reader, arn: str) -> Managed:
    """A policy of the account, which may be changed; AWS's may not."""
    if arn in AWS_MANAGED:
        raise errors.AccessDenied(f"{arn} is managed by AWS and cannot be changed.")
    return get(look, arn)


def _check(text: str) -> None:
    if documents.size_of(text) > MAX_CHARACTERS:
        raise errors.LimitExceeded(f"Cannot exceed quota for PolicySize: {MAX_CHARACTERS}")
    documents.check(text)


def _check_version(look: Reader, arn: str, version: int) -> None:
    if document(look, arn, version) is None:
        raise errors.NoSuchEntity(f"Policy {arn} version v{version} does not exist or is not attachable.")


def _insert_version(tx: Transaction, name: str, version: int, text: str) -> None:
    row = {"policy_name": name, "version": version, "document": text, "created_at": tx.now}
    tx.execute(sa.insert(managed_policy_versions).values(row))


def _change(tx: Transaction, name: str, **values: int) -> None:
    changed = sa.update(managed_policies).where(managed_policies.c.name == name)
    tx.execute(changed.values(updated_at=tx.now, **values))
    tx.touch("managed_policy", name)


def _name(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]
