"""Automatic mitigation: a profile's tag names the actions to run on each alarm, through a task like any other.

The task is written in the very transaction that records the alarms, and only for those that are news, so that each
violation is mitigated once however often its alarm is replayed. Beyond AWS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
import structlog

from fleetward import errors
from fleetward.arn import Arns
from fleetward.model import AlarmEvent, AlarmKind
from fleetward.registry import tags
from fleetward.respond import mitigation_actions, mitigation_tasks
from fleetward.respond.mitigation_actions import AUTOMATIC_TAG
from fleetward.respond.mitigation_tasks import AUTOMATIC
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.detect import violations

log = structlog.get_logger()

MAX_ACTIONS = 5
IDS_SHOWN = 25
"""Violations that a task names; one of more names their profile (the API's own maximum for violationIds)."""


def check_tags(look: Reader, arn: str, added: Mapping[str, str]) -> None:
    """Refuses an AUTOMATIC_TAG on a security profile that names anything but actions that Detect can run."""
    value = added.get(AUTOMATIC_TAG)
    if value is None or ":securityprofile/" not in arn:
        return
    names = mitigation_actions.named(value)
    if not 1 <= len(names) <= MAX_ACTIONS:
        raise errors.InvalidRequest(f"Tag {AUTOMATIC_TAG} should name 1 to {MAX_ACTIONS} mitigation actions")
    try:
        mitigation_actions.for_detect(look, names)
    except errors.InvalidRequest as refusal:
        raise errors.InvalidRequest(f"Tag {AUTOMATIC_TAG}: {refusal.message}") from None


def enlist(tx: Transaction, arns: Arns, news: Sequence[AlarmEvent]) -> None:
    """Starts a task over the alarms among `news`, for each profile that asks for it; within the recording."""
    alarms: dict[str, list[str]] = {}
    for event in news:
        if event.kind is AlarmKind.IN_ALARM:
            alarms.setdefault(event.behavior.profile, []).append(event.violation_id)
    for profile, ids in alarms.items():
        value = tags.of(tx, arns.iot("securityprofile", profile)).get(AUTOMATIC_TAG)
        if value is None:
            continue
        try:
            _start(tx, profile, ids, mitigation_actions.for_detect(tx, mitigation_actions.named(value)))
        except errors.Refusal as refusal:  # the alarms themselves must be recorded whatever the tag says
            log.error("automatic_mitigation_impossible", profile=profile, alarms=len(ids), reason=refusal.message)


def _start(tx: Transaction, profile: str, ids: list[str], actions: list[dict[str, Any]]) -> None:
    task_id = f"{AUTOMATIC}-{ids[0]}"
    if mitigation_tasks.find(tx, task_id) is not None:
        return
    number = violations.c.number
    bounds = sa.select(sa.func.min(number), sa.func.max(number)).where(violations.c.id.in_([ids[0], ids[-1]]))
    first, last = tx.execute(bounds).one()
    mitigation_tasks.insert(
        tx,
        id=task_id,
        target={"violationIds": ids} if len(ids) <= IDS_SHOWN else {"securityProfileName": profile},
        actions=actions,
        range_start=None,
        range_end=None,
        only_active=True,
        include_suppressed=True,
        request_token="",
        started_by=AUTOMATIC,
        position=first - 1,
        last=last,
    )
