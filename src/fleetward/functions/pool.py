"""One warm process per function: started when first needed or once the function changes, asked one event at a time.

A change bites at once: events that come after it go to a process of the new code, while an event that is being handled
is finished by the old one, which then ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

from fleetward.errors import TooManyRequests
from fleetward.functions.logs import Logs
from fleetward.functions.records import Answer, Clock, Event
from fleetward.functions.sandbox import Sandbox
from fleetward.functions.worker import Spec, Worker

log = structlog.get_logger()
T = TypeVar("T")

MAX_WAITING = 100
"""Callers that may wait for one function at the same time."""
KEEP_WARM = 8
"""This many most recently used processes stay, however long they are idle."""
IDLE_SECONDS = 600

_SWEEP_SECONDS = 30
_KEY_MARGIN = 60_000


class _Slot:
    """The place of one function's process. `retired` when the function has changed: who waited goes to the new slot."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.turn = asyncio.Lock()
        self.worker: Worker | None = None
        self.retired = False
        self.waiting = 0
        self.used_at = time.monotonic()


class Pool:
    """`build` gives what a function's process is started from; it raises ResourceNotFound for no such function."""

    def __init__(
        self, build: Callable[[str], Spec], sandbox: Sandbox, logs: Logs, clock: Clock, concurrency: int
    ) -> None:
        self._build, self._sandbox, self._logs, self._clock = build, sandbox, logs, clock
        self._running = asyncio.Semaphore(concurrency)
        self._most = max(KEEP_WARM, 4 * concurrency)
        self._slots: dict[str, _Slot] = {}
        self._workers: set[Worker] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._in_background(self._sweep())

    async def invoke(
        self, name: str, request_id: str, payload: bytes, client_context: str = ""
    ) -> tuple[Answer, bytes]:
        """The function's answer and the tail of its log. Whoever no longer waits for it does not stop the function."""
        return await asyncio.shield(self._in_background(self._invoke(name, request_id, payload, client_context)))

    def refresh(self, name: str) -> None:
        """The function has changed: a process of what it is now starts at once."""
        self.forget(name)
        self._in_background(self._warm(self._slot(name)))

    def forget(self, name: str) -> None:
        slot = self._slots.pop(name, None)
        if slot is not None:
            slot.retired = True
            self._in_background(self._end(slot))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.kill() for worker in self._workers))

    # --- inside ---

    async def _invoke(self, name: str, request_id: str, payload: bytes, client_context: str) -> tuple[Answer, bytes]:
        while True:
            slot = self._slot(name)
            if slot.waiting >= MAX_WAITING:
                raise TooManyRequests("Rate Exceeded.")
            slot.waiting += 1
            try:
                async with slot.turn, self._running:
                    if slot.retired:
                        continue
                    worker = await self._ready(slot)
                    deadline = self._clock() + worker.spec.function.timeout * 1000
                    return await worker.invoke(Event(request_id, payload, deadline, client_context))
            finally:
                slot.waiting -= 1
                slot.used_at = time.monotonic()
                if slot.worker is None and not slot.waiting and self._slots.get(name) is slot:
                    del self._slots[name]  # of no function: no one makes us remember names

    def _slot(self, name: str) -> _Slot:
        return self._slots.setdefault(name, _Slot(name))

    async def _ready(self, slot: _Slot) -> Worker:
        """The slot's process when it is still good, else a new one. The caller holds the slot's turn."""
        worker = slot.worker
        if worker is not None:
            if worker.alive and not self._expires(worker) and await worker.idle():
                return worker
            await self._kill(worker)
        slot.worker = worker = Worker(self._build(slot.name), self._sandbox, self._logs, self._clock)
        self._workers.add(worker)
        await worker.start()
        self._make_room()
        return worker

    def _expires(self, worker: Worker) -> bool:
        """Whether the role's keys could end before an invocation does."""
        return worker.spec.expires_at < self._clock() + worker.spec.function.timeout * 1000 + _KEY_MARGIN

    async def _warm(self, slot: _Slot) -> None:
        try:
            async with slot.turn, self._running:
                if not slot.retired:
                    await self._ready(slot)
        except Exception as problem:
            log.warning("function_not_started", function=slot.name, reason=str(problem))

    async def _end(self, slot: _Slot) -> None:
        async with slot.turn:
            if slot.worker is not None:
                await self._kill(slot.worker)

    async def _kill(self, worker: Worker) -> None:
        await worker.kill()
        self._workers.discard(worker)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            idle = [slot for slot in self._by_use() if time.monotonic() - slot.used_at > IDLE_SECONDS]
            warm = len(self._by_use())
            for slot in idle[: max(0, warm - KEEP_WARM)]:
                self.forget(slot.name)
            for slot in self._by_use():
                if slot.worker is not None and slot.worker.alive and self._expires(slot.worker):
                    self.refresh(slot.name)

    def _make_room(self) -> None:
        slots = self._by_use()
        for slot in slots[: max(0, len(slots) - self._most)]:
            self.forget(slot.name)

    def _by_use(self) -> list[_Slot]:
        """Slots that nobody uses now, the longest unused first."""
        unused = [slot for slot in self._slots.values() if not slot.turn.locked() and not slot.waiting]
        return sorted(unused, key=lambda slot: slot.used_at)

    def _in_background(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
