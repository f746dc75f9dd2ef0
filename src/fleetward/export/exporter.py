"""Publishes what detection measured to the topics that profiles name (plan.py says what and how).

A thread of its own does it, so that neither detection nor the house waits for a large fleet's batches.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from typing import TypeAlias

import structlog

from fleetward.access.service_roles import Permits
from fleetward.arn import Arns
from fleetward.detect import custom_metrics, profile_store
from fleetward.detect.outcome import Outcome
from fleetward.export.plan import Plan, batches, exported, plan_of
from fleetward.gateway.doors import Publish
from fleetward.model import ValueKind
from fleetward.registry.view import FleetView
from fleetward.store.database import Database, Reader, Touch

log = structlog.get_logger()

MAX_WAITING = 64
"""Outcomes that wait; beyond that the newest is not exported, and the log says so."""

PUBLISH_SECONDS = 10.0
STOP_SECONDS = 1.0

Send: TypeAlias = Callable[[Publish], Awaitable[object]]


class Exporter:
    def __init__(self, database: Database, view: FleetView, arns: Arns, publish: Send, permits: Permits) -> None:
        self._database = database
        self._view = view
        self._arns = arns
        self._publish = publish
        self._permits = permits
        self._waiting: queue.Queue[Outcome | None] = queue.Queue(MAX_WAITING)
        self._plans: tuple[Plan, ...] | None = None
        self._customs: Mapping[str, ValueKind] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._taking = False
        self._thread = threading.Thread(target=self._run, name="export", daemon=True)
        database.on_commit(self._committed)

    async def start(self) -> None:
        """Exports from now on; messages are published on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._taking = True
        self._thread.start()

    async def stop(self) -> None:
        """Ends within STOP_SECONDS; what waits is in the history, and is not published any more."""
        if self._taking:
            self._taking = False
            with suppress(queue.Empty):
                while True:
                    self._waiting.get_nowait()
            self._waiting.put_nowait(None)
            await asyncio.to_thread(self._thread.join, STOP_SECONDS)

    def take(self, outcome: Outcome) -> None:
        """Takes what detection answered; on any thread, returns at once."""
        if not self._taking or not (outcome.windows or outcome.data) or not self._known_plans():
            return
        try:
            self._waiting.put_nowait(outcome)
        except queue.Full:
            log.error("metrics_not_exported", windows=len(outcome.windows), reason="exports cannot keep up")

    def _run(self) -> None:
        while (outcome := self._waiting.get()) is not None:
            for plan in self._known_plans():
                try:
                    self._export(plan, outcome)
                except Exception as error:
                    log.error("metrics_not_exported", profile=plan.profile, reason=repr(error))

    def _export(self, plan: Plan, outcome: Outcome) -> None:
        with self._database.read() as look:
            allowed = self._permits(look, plan.role_arn, "iot:Publish", self._arns.iot("topic", plan.topic))
        if not allowed:
            log.warning("metrics_not_exported", profile=plan.profile, reason=f"{plan.role_arn} may not publish there")
            return
        for payload in batches(exported(plan, outcome, self._view), self._customs):
            self._send(Publish(plan.topic, payload, qos=1))

    def _send(self, message: Publish) -> None:
        """Publishes one message, and waits until the gateway has it."""

        async def publish() -> None:
            await self._publish(message)

        assert self._loop is not None
        sent = asyncio.run_coroutine_threadsafe(publish(), self._loop)
        try:
            sent.result(PUBLISH_SECONDS)
        except FutureTimeout:
            sent.cancel()
            raise

    # --- what is exported ---------------------------------------------------------------------------------------------

    def _known_plans(self) -> tuple[Plan, ...]:
        plans = self._plans
        if plans is None:
            with self._database.read() as look:
                self._customs = custom_metrics.value_kinds(look)
                plans = self._plans = _plans(look)
        return plans

    def _committed(self, touched: Sequence[Touch]) -> None:
        if any(kind in ("profile", custom_metrics.TOUCH) for kind, _ in touched):
            self._plans = None


def _plans(look: Reader) -> tuple[Plan, ...]:
    found = []
    for row in profile_store.every(look):
        if row["document"].get("metricsExportConfig"):
            attached = profile_store.attachments_of(look, row["name"])
            targets = tuple(profile_store.target_in(attachment) for attachment in attached)
            found.append(plan_of(row["name"], row["document"], targets))
    return tuple(plan for plan in found if plan is not None)
