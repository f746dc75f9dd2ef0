"""Mitigation actions as they are kept (AWS IoT Device Defender developer guide, "Mitigation actions").

All of AWS's types can be stored; Detect's tasks run only those in DETECT_TYPES, as on AWS.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.detect.profile_members import ROLE_ARN
from fleetward.registry.names import near_name
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.registry import tags
from fleetward.store.tables.respond import mitigation_actions

AUTOMATIC_TAG = "mitigation-actions"
"""The tag of a security profile that names the actions to run by themselves, separated by commas."""

TYPES: Mapping[str, str] = {
    "updateDeviceCertificateParams": "UPDATE_DEVICE_CERTIFICATE",
    "updateCACertificateParams": "UPDATE_CA_CERTIFICATE",
    "addThingsToThingGroupParams": "ADD_THINGS_TO_THING_GROUP",
    "replaceDefaultPolicyVersionParams": "REPLACE_DEFAULT_POLICY_VERSION",
    "enableIoTLoggingParams": "ENABLE_IOT_LOGGING",
    "publishFindingToSnsParams": "PUBLISH_FINDING_TO_SNS",
}
"""The member of MitigationActionParams → the MitigationActionType it makes."""

DETECT_TYPES = frozenset({"ADD_THINGS_TO_THING_GROUP"})

MAX_ACTIONS = 100


def find(look: Reader, name: str) -> RowMapping | None:
    return look.one(sa.select(mitigation_actions).where(mitigation_actions.c.name == name))


def get(look: Reader, name: str) -> RowMapping:
    """The action's row, or ResourceNotFound."""
    row = find(look, name)
    if row is None:
        hint = near_name(look, mitigation_actions.c.name, name)
        raise errors.ResourceNotFound(f"Mitigation action {name} not found.{hint}")
    return row


def type_of(params: Mapping[str, Any]) -> str:
    """The MitigationActionType of an action with these parameters."""
    return TYPES[next(iter(params))]


def create(tx: Transaction, name: str, role_arn: str, params: Mapping[str, Any]) -> RowMapping:
    _check(role_arn, params)
    if find(tx, name) is not None:
        raise errors.ResourceAlreadyExists(f"Mitigation action {name} already exists")
    if (tx.scalar(sa.select(sa.func.count()).select_from(mitigation_actions)) or 0) >= MAX_ACTIONS:
        raise errors.LimitExceeded(f"There can be at most {MAX_ACTIONS} mitigation actions")
    row = {"name": name, "id": str(uuid.uuid4()), "role_arn": role_arn, "params": dict(params)}
    tx.execute(mitigation_actions.insert(), [{**row, "created_at": tx.now, "modified_at": tx.now}])
    return get(tx, name)


def update(tx: Transaction, name: str, role_arn: str | None, params: Mapping[str, Any] | None) -> RowMapping:
    """Changes what is given; tasks that run already keep the action as it was."""
    row = get(tx, name)
    role_arn = row["role_arn"] if role_arn is None else role_arn
    params = row["params"] if params is None else params
    _check(role_arn, params)
    if type_of(params) not in DETECT_TYPES:
        _check_unused(tx, name)
    changed = mitigation_actions.update().where(mitigation_actions.c.name == name)
    tx.execute(changed.values(role_arn=role_arn, params=dict(params), modified_at=tx.now))
    return get(tx, name)


def delete(tx: Transaction, name: str) -> None:
    """Deletes an action; one that is not there succeeds, one that a profile runs by itself is refused."""
    if find(tx, name) is not None:
        _check_unused(tx, name)
        tx.execute(mitigation_actions.delete().where(mitigation_actions.c.name == name))


def for_detect(look: Reader, names: Sequence[str]) -> list[dict[str, Any]]:
    """The actions as a task keeps them, in that order; InvalidRequest for what Detect cannot run."""
    if len(set(names)) < len(names):
        raise errors.InvalidRequest("actions names a mitigation action twice")
    found: list[dict[str, Any]] = []
    for name in names:
        row = find(look, name)
        if row is None:
            raise errors.InvalidRequest(f"actions names {name}, which is no mitigation action")
        kind = type_of(row["params"])
        if kind not in DETECT_TYPES:
            raise errors.InvalidRequest(
                f"Mitigation action {name} is of type {kind}; Detect runs only {', '.join(DETECT_TYPES)}"
            )
        found.append({"name": name, "id": row["id"], "roleArn": row["role_arn"], "actionParams": row["params"]})
    return found


def named(tag_value: str) -> list[str]:
    """The actions that the value of a profile's AUTOMATIC_TAG names."""
    return [name for part in tag_value.split(",") if (name := part.strip())]


def _check(role_arn: str, params: Mapping[str, Any]) -> None:
    if complaints := list(_complaints(role_arn, params)):
        raise errors.InvalidRequest("; ".join(complaints))


def _complaints(role_arn: str, params: Mapping[str, Any]) -> Iterator[str]:
    if not ROLE_ARN.fullmatch(role_arn):
        yield f"roleArn {role_arn[:128]} should be the ARN of an IAM role"
    if len(params) != 1:
        yield f"actionParams should have exactly one of {', '.join(TYPES)}"
        return
    if params.get("enableIoTLoggingParams", {}).get("logLevel") == "DISABLED":
        yield "enableIoTLoggingParams.logLevel should not be DISABLED"
    topic = params.get("publishFindingToSnsParams", {}).get("topicArn")
    if topic is not None and not topic.startswith("arn:aws:sns:"):
        yield f"publishFindingToSnsParams.topicArn {topic[:128]} should be the ARN of an SNS topic"


def _check_unused(look: Reader, name: str) -> None:
    """Refuses to take an action from the profiles that count on it."""
    rows = look.execute(sa.select(tags.c.arn, tags.c.value).where(tags.c.key == AUTOMATIC_TAG))
    if users := sorted(arn.rpartition("/")[2] for arn, value in rows if name in named(value)):
        raise errors.InvalidRequest(
            f"Mitigation action {name} is run by security profile {', '.join(users[:5])} (tag {AUTOMATIC_TAG}); "
            "change the tag first"
        )
