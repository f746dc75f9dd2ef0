"""The log of what devices' connections do: taken from any thread at once, written a moment later."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from fleetward.model import Millis
from fleetward.registry import activity
from fleetward.registry.activity import Event
from fleetward.store.database import Database

log = structlog.get_logger()

WAITING = 10_000
"""Events that wait to be written; of more than that in a second the oldest are lost."""

WRITE_SECONDS = 1
PRUNE_EVERY = 600
"""Writes between two times that old events are looked for."""


class ActivityLog:
    """Open between `start` and `stop`."""

    def __init__(self, database: Database, clock: Callable[[], Millis]) -> None:
        self._database = database
        self._clock = clock
        self._waiting: deque[Event] = deque(maxlen=WAITING)
        self._task: asyncio.Task[None] | None = None

    def note(self, event: Event) -> None:
        """Takes an event, from any thread."""
        self._waiting.append(event)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await asyncio.to_thread(self._write, False)

    async def _run(self) -> None:
        turn = 0
        while True:
            await asyncio.to_thread(self._write, turn % PRUNE_EVERY == 0)
            turn += 1
            await asyncio.sleep(WRITE_SECONDS)

    def _write(self, and_prune: bool) -> None:
        events = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not events and not and_prune:
            return
        try:
            with self._database.transaction(self._clock()) as tx:
                if events:
                    activity.write(tx, events)
                if and_prune:
                    activity.prune(tx)
        except SQLAlchemyError as error:
            log.error("activity_lost", events=len(events), why=str(error).splitlines()[0])
