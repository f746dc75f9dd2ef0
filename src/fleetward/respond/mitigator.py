"""Carries out mitigation tasks in small steps, one transaction each, so that neither 25 violations nor a profile's
thousands keep the rest of the house waiting; a step that was committed is never done again, one that was not always is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import structlog
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.access.service_roles import Permits
from fleetward.alarm.lifecycle import State
from fleetward.arn import Arns
from fleetward.model import Millis
from fleetward.registry import groups
from fleetward.respond import mitigation_tasks as tasks
from fleetward.respond.mitigation_tasks import Status
from fleetward.store.database import Database, Reader, Touch, Transaction
from fleetward.store.tables.respond import mitigation_executions
from fleetward.store.trail import Actor

log = structlog.get_logger()

VIOLATIONS_PER_STEP = 5
RETRY_SECONDS = 1.0

ADD_TO_GROUP = "iot:AddThingToThingGroup"


class Mitigator:
    """Runs tasks on the loop that starts it, the oldest first."""

    def __init__(self, database: Database, arns: Arns, clock: Callable[[], Millis], permits: Permits) -> None:
        self._database = database
        self._arns = arns
        self._clock = clock
        self._permits = permits
        self._loop: asyncio.AbstractEventLoop | None = None
        database.on_commit(self._committed)

    async def start(self) -> None:
        """Goes on with what the last run did not finish, and takes new tasks from then on."""
        self._waiting = asyncio.Event()
        self._waiting.set()
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Stops between two steps; the next start goes on there."""
        if self._loop is not None:
            self._loop = None
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def _committed(self, touched: Sequence[Touch]) -> None:
        loop = self._loop
        if loop is not None and any(kind == tasks.TOUCH for kind, _ in touched):
            with suppress(RuntimeError):  # the house is gone
                loop.call_soon_threadsafe(self._waiting.set)

    async def _work(self) -> None:
        while True:
            await self._waiting.wait()
            self._waiting.clear()
            try:
                await self._work_off()
            except Exception:
                log.exception("mitigation_step_failed")
                await asyncio.sleep(RETRY_SECONDS)
                self._waiting.set()

    async def _work_off(self) -> None:
        while True:
            if not self.step():
                return
            await asyncio.sleep(0)

    def step(self) -> bool:
        """Carries on one task by a few violations; False when none is in progress."""
        with self._database.read() as look:
            task = tasks.next_in_progress(look)
        if task is None:
            return False
        actor = Actor(task["started_by"], operation=f"mitigation task {task['id']}")
        with self._database.transaction(self._clock(), actor) as tx:
            task = tasks.get(tx, task["id"])
            if task["status"] == Status.IN_PROGRESS:  # nobody has cancelled it meanwhile
                self._carry_on(tx, task)
        return True

    def _carry_on(self, tx: Transaction, task: RowMapping) -> None:
        found = tasks.next_violations(tx, task, VIOLATIONS_PER_STEP)
        executions = [execution for violation in found for execution in self._mitigate(tx, task, violation)]
        if executions:
            tx.execute(mitigation_executions.insert(), executions)
        columns = {
            column: task[column] + sum(execution["status"] is status for execution in executions)
            for status, column in _COUNTED.items()
        }
        if len(found) < VIOLATIONS_PER_STEP:
            columns["status"] = Status.FAILED if columns["failed"] else Status.SUCCESSFUL
            columns["ended_at"] = tx.now
        else:
            columns["position"] = found[-1]["number"]
        tasks.change(tx, task["id"], **columns)

    def _mitigate(self, tx: Transaction, task: RowMapping, violation: RowMapping) -> list[dict[str, Any]]:
        """Runs a task's actions on one violation in their order; one that fails skips the later ones."""
        executions = []
        skipped = ""
        if task["only_active"] and violation["state"] != State.IN_ALARM:
            skipped = "The violation has ended."
        for action in task["actions"]:
            outcome = (Status.SKIPPED, None, skipped) if skipped else self._run(tx, action, violation["thing"])
            if outcome[0] is Status.FAILED:
                skipped = f"Mitigation action {action['name']} failed before it."
            executions.append(_execution(tx, task, violation, action, outcome))
        return executions

    def _run(self, tx: Transaction, action: Mapping[str, Any], thing: str) -> _Outcome:
        try:
            for group in action["actionParams"]["addThingsToThingGroupParams"]["thingGroupNames"]:
                self._check_role(tx, action["roleArn"], thing, group)
                groups.add_thing(tx, group, thing)
        except errors.Refusal as refusal:
            log.warning("mitigation_failed", thing=thing, action=action["name"], reason=refusal.message)
            return Status.FAILED, refusal.code, refusal.message
        log.info("mitigated", thing=thing, action=action["name"])
        return Status.SUCCESSFUL, None, None

    def _check_role(self, look: Reader, role_arn: str, thing: str, group: str) -> None:
        for resource in (self._arns.iot("thing", thing), self._arns.iot("thinggroup", group)):
            if not self._permits(look, role_arn, ADD_TO_GROUP, resource):
                raise errors.AccessDenied(f"Role {role_arn} may not perform {ADD_TO_GROUP} on {resource}")


_Outcome: TypeAlias = tuple[Status, "str | None", "str | None"]
"""Status, error code and message of an execution."""

_COUNTED = {Status.SUCCESSFUL: "executed", Status.FAILED: "failed", Status.SKIPPED: "skipped"}


def _execution(
    tx: Transaction, task: RowMapping, violation: RowMapping, action: Mapping[str, Any], outcome: _Outcome
) -> dict[str, Any]:
    status, code, message = outcome
    return {
        "task_id": task["id"],
        "violation_id": violation["id"],
        "thing": violation["thing"],
        "action": action["name"],
        "status": status,
        "started_at": tx.now,
        "ended_at": tx.now,
        "error_code": code,
        "message": message,
    }
