"""Waiting until somebody has stopped typing."""

from __future__ import annotations

import asyncio


class Settled:
    """`if await settled(): …` in a handler of changes: true only for the last of those that follow one another."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._turn = 0

    async def __call__(self) -> bool:
        self._turn += 1
        turn = self._turn
        await asyncio.sleep(self._seconds)
        return turn == self._turn
