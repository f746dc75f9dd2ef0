"""The lobby: connections that nobody was admitted on yet. They get their turn, and make room when they dawdle."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

from fleetward.gateway.identity import Principal

CROWD = 256
"""With so many waiting for their turn, those that come later wait in the kernel's backlog."""


class Newcomer(Protocol):
    def identify(self, data: bytes) -> Principal | None:
        """Goes on with finding out who is at the other end, on a thread of the lobby."""

    def identified(self, found: asyncio.Future[Principal | None]) -> None:
        """What came of it, on the loop's thread."""

    def abort(self) -> None: ...


class Lobby:
    """At most `most` connections are opening at once; beyond that the one that is waited for longest is broken off.

    A TLS handshake takes the processor for a millisecond: on the loop's own thread it would make the connected wait.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._opening: dict[Newcomer, None] = {}
        self._strangers: dict[Newcomer, None] = {}  # known, but not admitted yet
        self._turns: set[Newcomer] = set()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._thread = ThreadPoolExecutor(1, "handshakes")

    async def has_room(self) -> None:
        """Waits while too many wait for their turn."""
        await self._has_room.wait()

    def enter(self, newcomer: Newcomer) -> None:
        if len(self._opening) >= self._most:
            self._break_off()
        self._opening[newcomer] = None

    def put(self, newcomer: Newcomer, data: bytes) -> None:
        """Bytes of its opening came; it must take no more before its turn is over."""
        self._turns.add(newcomer)
        if len(self._turns) >= CROWD:
            self._has_room.clear()
        turn = asyncio.get_running_loop().run_in_executor(self._thread, newcomer.identify, data)
        turn.add_done_callback(partial(self._end_turn, newcomer))

    def _end_turn(self, newcomer: Newcomer, found: asyncio.Future[Principal | None]) -> None:
        self._turns.discard(newcomer)
        if len(self._turns) < CROWD:
            self._has_room.set()
        if not found.cancelled():
            newcomer.identified(found)

    def opened(self, newcomer: Newcomer) -> None:
        """It is known who is there; `leave` when they are admitted."""
        self._opening.pop(newcomer, None)
        self._strangers[newcomer] = None

    def leave(self, newcomer: Newcomer) -> None:
        self._opening.pop(newcomer, None)
        self._strangers.pop(newcomer, None)

    def make_room(self) -> bool:
        """Breaks off a connection that nobody was admitted on; False when there is none."""
        if self._strangers:
            self._abort(next(iter(self._strangers)))
            return True
        return self._break_off()

    def close(self) -> None:
        for newcomer in (*self._opening, *self._strangers):
            self._abort(newcomer)
        self._thread.shutdown(cancel_futures=True)

    def _break_off(self) -> bool:
        """Whoever waits for us does not dawdle, unless there are only such."""
        if not self._opening:
            return False
        oldest = next(iter(self._opening))
        self._abort(next((each for each in self._opening if each not in self._turns), oldest))
        return True

    def _abort(self, newcomer: Newcomer) -> None:
        self.leave(newcomer)
        newcomer.abort()
