"""Fires schedule rules: sleeps until the next slot of any rule, then queues what is due."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from fleetward.arn import Arns
from fleetward.functions import expressions, schedules
from fleetward.functions.expressions import Schedule
from fleetward.functions.records import Clock
from fleetward.model import Millis
from fleetward.store.database import Database

log = structlog.get_logger()

_MAX_SLEEP = 60.0
_PAUSE_AFTER_TROUBLE = 1.0


@dataclass(slots=True)
class _Rule:
    """An enabled rule and its next slot; None when it will never fire again."""

    name: str
    schedule: Schedule
    slot: Millis | None


class Scheduler:
    """Slots that passed while the server was down, or so late that they are out of grace, are skipped."""

    def __init__(self, database: Database, clock: Clock, arns: Arns) -> None:
        self._database, self._clock, self._arns = database, clock, arns
        self._started_at = clock()
        self._awake = asyncio.Event()
        self._rules: list[_Rule] = []
        self._load()
        self._running = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        """Rules or targets have changed."""
        self._awake.set()

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._pause()):
                    await self._awake.wait()
                self._awake.clear()
                self._load()
            except TimeoutError:
                self._fire()
            except Exception:
                log.exception("scheduler_stuck")
                await asyncio.sleep(_PAUSE_AFTER_TROUBLE)

    def _load(self) -> None:
        with self._database.read() as look:
            rows = [row for row in schedules.every(look) if row["enabled"]]
        self._rules = []
        for row in rows:
            schedule = expressions.parse(row["expression"])
            slot = schedule.after(max(row["fired_until"], self._started_at))
            self._rules.append(_Rule(row["name"], schedule, slot))

    def _pause(self) -> float:
        """Seconds until the next slot."""
        upcoming = [rule.slot for rule in self._rules if rule.slot is not None]
        return min(_MAX_SLEEP, max(0.0, (min(upcoming) - self._clock()) / 1000)) if upcoming else _MAX_SLEEP

    def _fire(self) -> None:
        now = self._clock()
        due = [(rule, rule.schedule.latest(now) or rule.slot) for rule in self._rules if rule.slot and rule.slot <= now]
        if not due:
            return
        with self._database.transaction(now) as tx:
            for rule, slot in due:
                if now - slot <= rule.schedule.grace:
                    schedules.fire(tx, self._arns, rule.name, slot)
                else:
                    log.warning("schedule_slot_skipped", rule=rule.name, late_ms=now - slot)
        for rule, slot in due:
            rule.slot = rule.schedule.after(slot)
