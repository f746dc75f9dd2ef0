"""The lobby: connections that nobody was admitted on yet. They get their turn, and make room when they dawdle."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Protocol

OPENINGS_A_TURN = 4
"""TLS handshakes are dear (about a millisecond for so many): the connected are served after each few."""

CROWD = 256
"""With so many waiting for their turn, those that come later wait in the kernel's backlog."""


class Newcomer(Protocol):
    def open(self, data: bytes) -> None:
        """Goes on with finding out who is at the other end."""

    def abort(self) -> None: ...


class Lobby:
    """At most `most` connections are opening at once; beyond that the one that is waited for longest is broken off."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._opening: dict[Newcomer, None] = {}
        self._strangers: dict[Newcomer, None] = {}  # known, but not admitted yet
        self._turns: OrderedDict[Newcomer, bytes] = OrderedDict()
        self._is_due = False
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def has_room(self) -> None:
        """Waits while too many wait for their turn."""
        await self._has_room.wait()

    def enter(self, newcomer: Newcomer) -> None:
        if len(self._opening) >= self._most:
            self._break_off()
        self._opening[newcomer] = None

    def put(self, newcomer: Newcomer, data: bytes) -> None:
        """Bytes of its opening came; it must take no more before its turn."""
        self._turns[newcomer] = data
        if len(self._turns) >= CROWD:
            self._has_room.clear()
        self._ask()

    def opened(self, newcomer: Newcomer) -> None:
        """It is known who is there; `leave` when they are admitted."""
        del self._opening[newcomer]
        self._strangers[newcomer] = None

    def leave(self, newcomer: Newcomer) -> None:
        self._opening.pop(newcomer, None)
        self._strangers.pop(newcomer, None)
        self._turns.pop(newcomer, None)

    def make_room(self) -> bool:
        """Breaks off a connection that nobody was admitted on; False when there is none."""
        if self._strangers:
            self._abort(next(iter(self._strangers)))
            return True
        return self._break_off()

    def clear(self) -> None:
        for newcomer in (*self._opening, *self._strangers):
            self._abort(newcomer)

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

    def _ask(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._take_turns)

    def _take_turns(self) -> None:
        self._is_due = False
        for _ in range(min(OPENINGS_A_TURN, len(self._turns))):
            newcomer, data = self._turns.popitem(last=False)
            newcomer.open(data)
        if len(self._turns) < CROWD:
            self._has_room.set()
        if self._turns:
            self._ask()
