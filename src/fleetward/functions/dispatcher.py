"""Runs what is in the queue of invocations: one task per function that has something due, in order of arrival."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeAlias

import structlog
from sqlalchemy.engine import RowMapping

from fleetward.errors import ResourceNotFound, TooManyRequests
from fleetward.functions import queue
from fleetward.functions.records import Clock, InvocationResult, InvocationStatus
from fleetward.model import Millis
from fleetward.store.database import Database, Transaction

log = structlog.get_logger()

Invoke: TypeAlias = Callable[[str, str, bytes], Awaitable[InvocationResult]]
"""(function name, request id, payload)"""

Settle: TypeAlias = Callable[[Transaction], None]
"""Writes down what came of an attempt."""

RETRY_DELAYS: Sequence[Millis] = (60_000, 120_000)
"""Before the second and the third attempt, as AWS."""

_MAX_SLEEP = 60.0
_PRUNE_EVERY = 600_000
_PAUSE_AFTER_TROUBLE = 1.0


class Dispatcher:
    def __init__(
        self, database: Database, clock: Clock, invoke: Invoke, delays: Sequence[Millis] = RETRY_DELAYS
    ) -> None:
        self._database, self._clock, self._invoke, self._delays = database, clock, invoke, delays
        self._awake = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._pruned_at: Millis = 0
        with database.transaction(clock()) as tx:
            queue.recover(tx)
        self._running = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        self._awake.set()

    async def stop(self) -> None:
        """What is running now is run again after the next start."""
        tasks = [self._running, *self._busy.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._awake.clear()
            self._prune()
            now = self._clock()
            with self._database.read() as look:
                names, later = queue.due(look, now), queue.next_due(look, now)
            for name in names:
                if name not in self._busy:
                    self._busy[name] = asyncio.create_task(self._drain(name))
            pause = _MAX_SLEEP if later is None else min(_MAX_SLEEP, (later - now) / 1000)
            try:
                async with asyncio.timeout(pause):
                    await self._awake.wait()
            except TimeoutError:
                pass

    async def _drain(self, name: str) -> None:
        """What came of one attempt, and that the next begins, is one commit: a full queue waits for one a turn."""
        try:
            row = self._take(name)
            while row is not None:
                row = self._take(name, await self._attempt(row))
        except Exception:
            log.exception("function_queue_stuck", function=name)
            await asyncio.sleep(_PAUSE_AFTER_TROUBLE)
        finally:
            del self._busy[name]
            # What came in between the last look and now.
            self.wake()

    def _take(self, name: str, settle: Settle | None = None) -> RowMapping | None:
        with self._database.transaction(self._clock()) as tx:
            if settle is not None:
                settle(tx)
            return queue.take(tx, name)

    async def _attempt(self, row: RowMapping) -> Settle:
        name = row["function_name"]
        try:
            error = (await self._invoke(name, row["id"], row["payload"])).error
        except ResourceNotFound as gone:
            return partial(queue.give_up, row=row, error=f"{gone.code}: {gone.message}")
        except TooManyRequests:
            return partial(queue.put_back, row=row, delay=1000)
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"
        if error is None:
            return partial(queue.succeed, row=row)
        return partial(self._fail, row=row, error=error)

    def _fail(self, tx: Transaction, row: RowMapping, error: str) -> None:
        due_at = queue.fail(tx, row, error, self._delays)
        told = log.bind(function=row["function_name"], source=row["source"], error=error, attempt=row["attempts"] + 1)
        if due_at is None:
            told.error("function_failed", status=InvocationStatus.FAILED, next_attempt="none: this was the last")
        else:
            moment = datetime.fromtimestamp(due_at / 1000, UTC).isoformat(timespec="seconds")
            told.warning("function_failed", status=InvocationStatus.PENDING, next_attempt=moment)

    def _prune(self) -> None:
        if self._clock() - self._pruned_at >= _PRUNE_EVERY:
            self._pruned_at = self._clock()
            with self._database.transaction(self._pruned_at) as tx:
                queue.prune(tx)
