"""IoT policies: versions, attachments to certificates and thing groups, and their limits."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import arn, errors
from fleetward.policy.document import parse
from fleetward.registry import certificates, groups
from fleetward.registry.names import near_name
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.registry import policies, policy_attachments, policy_versions

MAX_VERSIONS = 5
ATTACHMENT_LIMITS = {"cert": 10, "thinggroup": 2}
"""How many policies one target may carry (AWS IoT Core quotas)."""

TOUCHED = {"cert": "certificate", "thinggroup": "group"}
"""What an attachment changes, in the words of the change feed."""


def find(look: Reader, name: str) -> RowMapping | None:
    return look.one(sa.select(policies).where(policies.c.name == name))


def get(look: Reader, name: str) -> RowMapping:
    """The policy's row, or ResourceNotFound."""
    row = find(look, name)
    if row is None:
        raise errors.ResourceNotFound(f"Policy {name} not found.{near_name(look, policies.c.name, name)}")
    return row


def version(look: Reader, name: str, number: int | None = None) -> RowMapping:
    """One version of a policy (the default one when `number` is None), or ResourceNotFound."""
    number = get(look, name)["default_version"] if number is None else number
    row = look.one(
        sa.select(policy_versions).where(policy_versions.c.policy_name == name, policy_versions.c.version == number)
    )
    if row is None:
        raise errors.ResourceNotFound(f"Policy {name} has no version {number}")
    return row


def versions(look: Reader, name: str) -> Sequence[RowMapping]:
    """All versions, newest first."""
    get(look, name)
    column = policy_versions.c.version
    return look.all(sa.select(policy_versions).where(policy_versions.c.policy_name == name).order_by(column.desc()))


def create(tx: Transaction, name: str, document: str) -> None:
    """Creates a policy with version 1; a name that is taken is a conflict, whatever the document."""
    parse(document, name)
    if find(tx, name) is not None:
        raise errors.ResourceAlreadyExists(f"Policy cannot be created - name already exists (name={name})")
    row = {"name": name, "default_version": 1, "last_version": 1, "created_at": tx.now, "modified_at": tx.now}
    tx.execute(policies.insert(), [row])
    _insert_version(tx, name, 1, document)
    tx.touch("policy", name)


def create_version(tx: Transaction, name: str, document: str, as_default: bool = False) -> int:
    """Adds a version and returns its number; at most 5 are kept, the caller deletes one first."""
    parse(document, name)
    row = get(tx, name)
    if len(versions(tx, name)) >= MAX_VERSIONS:
        raise errors.VersionsLimitExceeded(
            f"The policy {name} already has the maximum number of versions ({MAX_VERSIONS}); delete one first"
        )
    number = int(row["last_version"]) + 1
    _insert_version(tx, name, number, document)
    tx.execute(policies.update().where(policies.c.name == name).values(last_version=number, modified_at=tx.now))
    if as_default:
        set_default(tx, name, number)
    return number


def set_default(tx: Transaction, name: str, number: int) -> None:
    version(tx, name, number)
    tx.execute(policies.update().where(policies.c.name == name).values(default_version=number, modified_at=tx.now))
    tx.touch("policy", name)


def delete_version(tx: Transaction, name: str, number: int) -> None:
    """Deletes a version that is not the default one."""
    version(tx, name, number)
    if get(tx, name)["default_version"] == number:
        raise errors.DeleteConflict(f"Cannot delete the default version of policy {name}; set another default first")
    tx.execute(
        policy_versions.delete().where(policy_versions.c.policy_name == name, policy_versions.c.version == number)
    )


def delete(tx: Transaction, name: str) -> None:
    """Deletes a policy that has only its default version and is attached to nothing."""
    get(tx, name)
    if targets(tx, name, limit=1):
        raise errors.DeleteConflict(
            f"The policy cannot be deleted as the policy is attached to one or more principals (name={name})"
        )
    if len(versions(tx, name)) > 1:
        raise errors.DeleteConflict(
            f"Cannot delete the policy because it has one or more policy versions attached to it (name={name})"
        )
    tx.execute(policy_versions.delete().where(policy_versions.c.policy_name == name))
    tx.execute(policies.delete().where(policies.c.name == name))
    tx.touch("policy", name)


def attach(tx: Transaction, name: str, target_arn: str) -> None:
    """Attaches a policy to a certificate or thing group; again is a success."""
    get(tx, name)
    kind, target = find_target(tx, target_arn)
    current = attached(tx, kind, target)
    if name in current:
        return
    if len(current) >= ATTACHMENT_LIMITS[kind]:
        raise errors.LimitExceeded(f"{target_arn} already has {ATTACHMENT_LIMITS[kind]} policies, the most it can have")
    tx.execute(policy_attachments.insert(), [{"policy_name": name, "target_kind": kind, "target": target}])
    tx.touch(TOUCHED[kind], target)


def detach(tx: Transaction, name: str, target_arn: str) -> None:
    """Detaches a policy; one that is not attached succeeds."""
    get(tx, name)
    kind, target = find_target(tx, target_arn)
    row = policy_attachments.delete().where(
        policy_attachments.c.policy_name == name,
        policy_attachments.c.target_kind == kind,
        policy_attachments.c.target == target,
    )
    if tx.execute(row).rowcount:
        tx.touch(TOUCHED[kind], target)


def attached(look: Reader, kind: str, target: str) -> list[str]:
    """The names of the policies on a target (`kind` is cert or thinggroup), sorted."""
    column = policy_attachments.c.policy_name
    where = (policy_attachments.c.target_kind == kind, policy_attachments.c.target == target)
    return list(look.execute(sa.select(column).where(*where).order_by(column)).scalars())


def documents(look: Reader, names: Sequence[str]) -> dict[str, str]:
    """Name → the text of the default version, for those of the policies that there are."""
    is_default = sa.and_(
        policy_versions.c.policy_name == policies.c.name, policy_versions.c.version == policies.c.default_version
    )
    statement = sa.select(policies.c.name, policy_versions.c.document).join(policy_versions, is_default)
    return {name: text for name, text in look.execute(statement.where(policies.c.name.in_(list(names))))}


def targets(
    look: Reader,
    name: str,
    kind: str | None = None,
    limit: int | None = None,
    after: tuple[str, str] | None = None,
    ascending: bool = True,
) -> Sequence[RowMapping]:
    """Where a policy is attached (of one kind, if asked): rows behind `after`, by (target_kind, target)."""
    table = policy_attachments
    place = sa.tuple_(table.c.target_kind, table.c.target)
    statement = sa.select(table).where(table.c.policy_name == name)
    if kind is not None:
        statement = statement.where(table.c.target_kind == kind)
    if after is not None:
        statement = statement.where(place > sa.tuple_(*after) if ascending else place < sa.tuple_(*after))
    columns = (table.c.target_kind, table.c.target)
    order = columns if ascending else [column.desc() for column in columns]
    return look.all(statement.order_by(*order).limit(limit))


def find_target(look: Reader, target_arn: str) -> tuple[str, str]:
    """(kind, name) of a policy target that exists; anything else is refused."""
    parsed = arn.parse(target_arn)
    if parsed is None or parsed.service != "iot" or parsed.kind not in ATTACHMENT_LIMITS:
        raise errors.InvalidRequest(f"Policy target must be the ARN of a certificate or of a thing group: {target_arn}")
    if parsed.kind == "cert":
        certificates.get(look, parsed.name)
    else:
        groups.get(look, parsed.name)
    return parsed.kind, parsed.name


def _insert_version(tx: Transaction, name: str, number: int, document: str) -> None:
    row = {"policy_name": name, "version": number, "document": document, "created_at": tx.now}
    tx.execute(policy_versions.insert(), [row])
