"""From the gateway's thread to the house's loop: what devices send waits, and is carried out one after the other.

A room decides for itself how much may wait (door 2 never blocks); what all of them share is here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")

DRAIN_SECONDS = 2.0
"""What was acknowledged to devices and still waits is carried out before a stop; this is the time it has."""


class TakingTurns(Generic[T]):
    """Items of several owners, who take turns: the oldest item of the owner that has waited longest is next."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[T]] = {}

    def __bool__(self) -> bool:
        return bool(self._queues)

    def waiting(self, owner: str) -> int:
        return len(self._queues.get(owner, ()))

    def put(self, owner: str, item: T) -> None:
        self._queues.setdefault(owner, deque()).append(item)

    def take(self) -> T | None:
        if not self._queues:
            return None
        owner = next(iter(self._queues))
        queue = self._queues.pop(owner)
        item = queue.popleft()
        if queue:
            self._queues[owner] = queue
        return item


class HandOver(Generic[T]):
    """Carries out what `take` gives (None: nothing waits) on the loop that `start` is called on.

    `carry_out` deals with its own errors.
    """

    def __init__(self, take: Callable[[], T | None], carry_out: Callable[[T], Awaitable[None]]) -> None:
        self._take = take
        self._carry_out = carry_out
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False

    @property
    def is_open(self) -> bool:
        return self._loop is not None

    async def start(self) -> None:
        self._arrived = asyncio.Event()
        self._task = asyncio.create_task(self._work())
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """Carries out what waits, for as long as DRAIN_SECONDS; what comes now is to be dropped."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        self._stopping = True
        self._arrived.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._task, DRAIN_SECONDS)

    def wake(self) -> None:
        """Says, on any thread, that something waits."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the house is gone
                loop.call_soon_threadsafe(self._arrived.set)

    async def _work(self) -> None:
        """One after the other; the rest of the house has its turn in between."""
        while True:
            item = self._take()
            if item is not None:
                await self._carry_out(item)
                await asyncio.sleep(0)
            elif self._stopping:
                return
            else:
                self._arrived.clear()
                await self._arrived.wait()
