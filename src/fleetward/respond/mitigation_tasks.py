"""Detect mitigation tasks as they are kept: started, cancelled, carried on step by step, listed.

AWS IoT Device Defender developer guide, "Mitigation actions" (Detect): actions are taken as they are when the task
starts; one that fails skips the later ones of its violation and makes the task fail; a cancelled task undoes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.alarm.lifecycle import State
from fleetward.detect import profile_store
from fleetward.model import Millis
from fleetward.respond import mitigation_actions
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.detect import violations
from fleetward.store.tables.respond import mitigation_executions, mitigation_tasks

TOUCH = "mitigation"

AUTOMATIC = "fleetward"
"""Who starts the tasks that a profile's tag asks for."""

MAX_IN_PROGRESS = 10
"""Of the tasks that people start."""

Period: TypeAlias = tuple[Millis, Millis]


class Status(StrEnum):
    """Of tasks and of executions, spelled as on AWS's wire."""

    IN_PROGRESS = "IN_PROGRESS"
    SUCCESSFUL = "SUCCESSFUL"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELED = "CANCELED"


def find(look: Reader, task_id: str) -> RowMapping | None:
    return look.one(sa.select(mitigation_tasks).where(mitigation_tasks.c.id == task_id))


def get(look: Reader, task_id: str) -> RowMapping:
    """The task's row, or ResourceNotFound."""
    row = find(look, task_id)
    if row is None:
        raise errors.ResourceNotFound(f"Detect mitigation actions task {task_id} not found.")
    return row


# --- starting and ending ----------------------------------------------------------------------------------------------


def start(
    tx: Transaction,
    task_id: str,
    target: Mapping[str, Any],
    actions: Sequence[str],
    period: Period | None = None,
    only_active: bool = True,
    include_suppressed: bool = True,
    request_token: str = "",
    started_by: str = "",
) -> None:
    """Starts a task over the violations there are now; the same request again, told by its token, succeeds."""
    if task_id.startswith(f"{AUTOMATIC}-"):
        raise errors.InvalidRequest(f"taskId should not begin with {AUTOMATIC}-, as those of automatic tasks do")
    _check_target(tx, target)
    if period is not None and period[1] < period[0]:
        raise errors.InvalidRequest("violationEventOccurrenceRange.endTime should not be before startTime")
    existing = find(tx, task_id)
    if existing is not None:
        if request_token and (existing["request_token"], existing["target"]) == (request_token, dict(target)):
            return
        raise errors.TaskAlreadyExists(f"Detect mitigation actions task {task_id} already exists")
    snapshots = mitigation_actions.for_detect(tx, actions)
    by_people = (mitigation_tasks.c.status == Status.IN_PROGRESS) & (mitigation_tasks.c.started_by != AUTOMATIC)
    if (tx.scalar(sa.select(sa.func.count()).where(by_people)) or 0) >= MAX_IN_PROGRESS:
        raise errors.LimitExceeded(f"At most {MAX_IN_PROGRESS} mitigation tasks can be in progress")
    last = tx.scalar(sa.select(sa.func.max(violations.c.number))) or 0
    insert(
        tx,
        id=task_id,
        target=dict(target),
        actions=snapshots,
        range_start=period and period[0],
        range_end=period and period[1],
        only_active=only_active,
        include_suppressed=include_suppressed,
        request_token=request_token,
        started_by=started_by,
        position=0,
        last=last,
    )


def insert(tx: Transaction, **columns: Any) -> None:
    """Writes a new task and wakes who carries it out."""
    state = {"status": Status.IN_PROGRESS, "started_at": tx.now, "executed": 0, "failed": 0, "skipped": 0}
    tx.execute(mitigation_tasks.insert(), [{**columns, **state}])
    tx.touch(TOUCH, columns["id"])


def cancel(tx: Transaction, task_id: str) -> None:
    """Stops a task where it is."""
    row = get(tx, task_id)
    if row["status"] != Status.IN_PROGRESS:
        raise errors.InvalidRequest(f"Detect mitigation actions task {task_id} is not in progress: {row['status']}")
    change(tx, task_id, status=Status.CANCELED, ended_at=tx.now)


def change(tx: Transaction, task_id: str, **columns: Any) -> None:
    tx.execute(mitigation_tasks.update().where(mitigation_tasks.c.id == task_id).values(**columns))


def prune(tx: Transaction, before: Millis) -> None:
    """Forgets tasks that ended before `before`, with their executions."""
    tx.execute(mitigation_tasks.delete().where(mitigation_tasks.c.ended_at < before))


def _check_target(look: Reader, target: Mapping[str, Any]) -> None:
    ids, profile, behavior = (target.get(key) for key in ("violationIds", "securityProfileName", "behaviorName"))
    if (ids is None) == (profile is None):
        raise errors.InvalidRequest("target should have exactly one of violationIds, securityProfileName")
    if behavior is not None and profile is None:
        raise errors.InvalidRequest("target.behaviorName needs target.securityProfileName")
    if profile is not None and profile_store.find(look, profile) is None:
        raise errors.InvalidRequest(f"target.securityProfileName {profile} is no security profile")
    if ids is not None:
        known = set(look.execute(sa.select(violations.c.id).where(violations.c.id.in_(ids))).scalars())
        if unknown := [one for one in ids if one not in known]:
            raise errors.InvalidRequest(f"target.violationIds: violation {unknown[0]} not found")


# --- what a task is about ---------------------------------------------------------------------------------------------


def next_in_progress(look: Reader) -> RowMapping | None:
    """The oldest task that is not at its end; those that alarms have started go before those of people."""
    row = mitigation_tasks.c
    wanted = sa.select(mitigation_tasks).where(row.status == Status.IN_PROGRESS)
    return look.one(wanted.order_by(sa.case((row.started_by == AUTOMATIC, 0), else_=1), row.number).limit(1))


def next_violations(look: Reader, task: RowMapping, limit: int) -> Sequence[RowMapping]:
    """The next violations of a task, in the order of their recording."""
    row, target = violations.c, task["target"]
    wanted = sa.select(violations).where(row.number > task["position"], row.number <= task["last"])
    if "violationIds" in target:
        wanted = wanted.where(row.id.in_(target["violationIds"]))
    else:
        wanted = wanted.where(row.profile == target["securityProfileName"])
        if task["only_active"]:
            wanted = wanted.where(row.state == State.IN_ALARM)
    if "behaviorName" in target:
        wanted = wanted.where(row.behavior_name == target["behaviorName"])
    if not task["include_suppressed"]:
        wanted = wanted.where(row.suppressed.is_(False))
    if task["range_start"] is not None:
        wanted = wanted.where(row.started_at.between(task["range_start"], task["range_end"]))
    return look.all(wanted.order_by(row.number).limit(limit))


# --- listings ---------------------------------------------------------------------------------------------------------


def started_between(start: Millis, end: Millis) -> sa.Select[Any]:
    return sa.select(mitigation_tasks).where(mitigation_tasks.c.started_at.between(start, end))


def executions(
    task_id: str | None, violation_id: str | None, thing: str | None, period: Period | None
) -> sa.Select[Any]:
    """The executions that all given filters keep."""
    row = mitigation_executions.c
    wanted = {row.task_id: task_id, row.violation_id: violation_id, row.thing: thing}
    statement = sa.select(mitigation_executions)
    statement = statement.where(*(column == value for column, value in wanted.items() if value is not None))
    return statement if period is None else statement.where(row.started_at.between(*period))
