"""Security profiles as they are kept: created, changed, attached; and all of them as the kernel watches them.

A profile's `document` holds the API's members as they were given, so that what comes out is what went in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.arn import Arns
from fleetward.detect import profile_members, profiles
from fleetward.detect.catalog import catalog
from fleetward.detect.inputs import Target
from fleetward.registry import groups, tags, things
from fleetward.registry.things import check_version
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.detect import security_profile_targets, security_profiles

Document: TypeAlias = Mapping[str, Any]

MAX_PROFILES_PER_TARGET = 5

MEMBERS = (
    "securityProfileDescription",
    "behaviors",
    "alertTargets",
    "additionalMetricsToRetain",
    "additionalMetricsToRetainV2",
    "metricsExportConfig",
)
"""What a profile's document holds."""

DELETIONS: Mapping[str, tuple[str, ...]] = {
    "deleteBehaviors": ("behaviors",),
    "deleteAlertTargets": ("alertTargets",),
    "deleteAdditionalMetricsToRetain": ("additionalMetricsToRetain", "additionalMetricsToRetainV2"),
    "deleteMetricsExportConfig": ("metricsExportConfig",),
}
"""UpdateSecurityProfile's flags and the members each removes."""


# --- one profile ------------------------------------------------------------------------------------------------------


def find(look: Reader, name: str) -> RowMapping | None:
    return look.one(sa.select(security_profiles).where(security_profiles.c.name == name))


def get(look: Reader, name: str) -> RowMapping:
    """The profile's row, or ResourceNotFound."""
    row = find(look, name)
    if row is None:
        raise errors.ResourceNotFound(f"Security profile {name} not found.")
    return row


def every(look: Reader) -> Sequence[RowMapping]:
    """All profiles by name."""
    return look.all(sa.select(security_profiles).order_by(security_profiles.c.name))


def create(tx: Transaction, arns: Arns, name: str, members: Document, added_tags: Mapping[str, str]) -> None:
    """Creates a profile from the API's members; InvalidRequest tells everything that is wrong with them."""
    arn = arns.iot("securityprofile", name)
    document = _checked(tx, members)
    for key, value in added_tags.items():
        check_tag(arn, key, value)
    if find(tx, name) is not None:
        raise errors.ResourceAlreadyExists(f"Security profile {name} already exists")
    row = {"name": name, "document": document, "version": 1, "created_at": tx.now, "modified_at": tx.now}
    tx.execute(security_profiles.insert().values(**row))
    tags.put(tx, arn, added_tags)
    tx.touch("profile", name)


def update(tx: Transaction, name: str, changes: Document, expected_version: int | None = None) -> RowMapping:
    """Changes the members given and removes those a delete flag names; returns the whole profile."""
    row = get(tx, name)
    check_version(row, expected_version, f"security profile {name}")
    removed = _removed(changes)
    kept = {member: value for member, value in row["document"].items() if member not in removed}
    values = {"document": {**kept, **_checked(tx, changes)}, "version": row["version"] + 1, "modified_at": tx.now}
    tx.execute(security_profiles.update().where(security_profiles.c.name == name).values(**values))
    tx.touch("profile", name)
    return get(tx, name)


def delete(tx: Transaction, arns: Arns, name: str, expected_version: int | None = None) -> None:
    """Deletes a profile, its attachments and tags; one that is not there succeeds. Its violations stay on record."""
    row = find(tx, name)
    if row is None:
        return
    check_version(row, expected_version, f"security profile {name}")
    tx.execute(security_profiles.delete().where(security_profiles.c.name == name))
    tags.forget(tx, arns.iot("securityprofile", name))
    tx.touch("profile", name)


def check_tag(arn: str, key: str, value: str) -> None:
    """Refuses a margin tag that is no number from 0 to 1000; every other tag of anything is free."""
    if key == profiles.MARGIN_TAG and profile_in(arn) is not None:
        profiles.margin_percent(value)


def profile_in(arn: str) -> str | None:
    """The name in a security profile's ARN; None for the ARN of anything else."""
    _, found, name = arn.partition(":securityprofile/")
    return name if found else None


def alert_targets(document: Document) -> list[dict[str, str]]:
    """Where a profile's alerts go: topics (alertTargetArn), each with the role (roleArn) that publishes there."""
    return list((document.get("alertTargets") or {}).values())


def _checked(look: Reader, members: Document) -> dict[str, Any]:
    document = {member: members[member] for member in MEMBERS if members.get(member) is not None}
    known = catalog(look)
    complaints = profile_members.check(document, known)
    if "behaviors" in document:
        complaints = profiles.validate(document["behaviors"], known) + complaints
    if complaints:
        raise errors.InvalidRequest("; ".join(complaints))
    return document


def _removed(changes: Document) -> set[str]:
    removed: set[str] = set()
    for flag, members in DELETIONS.items():
        if changes.get(flag):
            if given := [member for member in members if changes.get(member) is not None]:
                raise errors.InvalidRequest(f"{given[0]} cannot be given together with {flag}")
            removed.update(members)
    return removed


# --- where profiles are attached --------------------------------------------------------------------------------------


def attach(tx: Transaction, name: str, target: Target) -> None:
    """Attaches a profile; again is a success. At most 5 profiles on one target (AWS service quotas)."""
    get(tx, name)
    _check_group(tx, target)
    attached = [row["profile_name"] for row in attachments_to(tx, [target])]
    if name in attached:
        return
    if len(attached) >= MAX_PROFILES_PER_TARGET:
        raise errors.LimitExceeded(f"A target can have at most {MAX_PROFILES_PER_TARGET} security profiles attached")
    row = {"profile_name": name, "kind": target.kind, "group_name": target.group or "", "attached_at": tx.now}
    tx.execute(security_profile_targets.insert().values(**row))
    tx.touch("profile", name)


def detach(tx: Transaction, name: str, target: Target) -> None:
    """Detaches a profile; one that is not attached succeeds."""
    get(tx, name)
    here = sa.and_(security_profile_targets.c.profile_name == name, _is(target))
    if tx.execute(security_profile_targets.delete().where(here)).rowcount:
        tx.touch("profile", name)


def target_in(row: RowMapping) -> Target:
    """The target of an attachment's row."""
    return Target(row["kind"], row["group_name"] or None)


def attachments_of(look: Reader, name: str) -> Sequence[RowMapping]:
    """The rows (kind, group_name, attached_at…) of one profile's targets."""
    get(look, name)
    column = security_profile_targets.c
    wanted = sa.select(security_profile_targets).where(column.profile_name == name)
    return look.all(wanted.order_by(column.kind, column.group_name))


def attachments_to(look: Reader, wanted: Iterable[Target]) -> Sequence[RowMapping]:
    """The rows of the profiles attached to any of these targets."""
    column = security_profile_targets.c
    statement = sa.select(security_profile_targets).where(sa.or_(*map(_is, wanted)))
    return look.all(statement.order_by(column.group_name, column.kind, column.profile_name))


def attachments_for(look: Reader, target: Target, recursive: bool = False) -> Sequence[RowMapping]:
    """The rows of the profiles attached to a target and, if asked, to the groups below it."""
    _check_group(look, target)
    if target.group is None or not recursive:
        return attachments_to(look, [target])
    below = groups.descendants(look, target.group)
    return attachments_to(look, [Target("group", name) for name in below])


def documents_covering(look: Reader, thing: str) -> list[Document]:
    """The documents of the profiles whose targets cover a device, registered or not."""
    covering = [Target("all"), Target("unregistered")]
    if things.find(look, thing) is not None:
        above = {name for group in groups.groups_of(look, thing) for name in groups.ancestors(look, group)}
        covering = [Target("all"), Target("registered"), *(Target("group", name) for name in sorted(above))]
    attached = sa.select(security_profile_targets.c.profile_name).where(sa.or_(*map(_is, covering)))
    wanted = sa.select(security_profiles.c.document).where(security_profiles.c.name.in_(attached))
    return [row["document"] for row in look.all(wanted.order_by(security_profiles.c.name))]


def forget_group(tx: Transaction, group: str) -> None:
    """Detaches every profile from a thing group that is deleted."""
    for row in attachments_to(tx, [target := Target("group", group)]):
        detach(tx, row["profile_name"], target)


def _check_group(look: Reader, target: Target) -> None:
    if target.group is not None:
        groups.get(look, target.group)


def _is(target: Target) -> sa.ColumnElement[bool]:
    column = security_profile_targets.c
    return sa.and_(column.kind == target.kind, column.group_name == (target.group or ""))
