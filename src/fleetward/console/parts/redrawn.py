"""A place of a page that is drawn again after something in it changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui


class Redrawn:
    """`draw` fills the place; it raises as pages do."""

    def __init__(self, draw: Callable[[], Awaitable[None]]) -> None:
        self._draw = draw
        self._place = ui.element("div").classes("wide")

    async def again(self) -> None:
        self._place.clear()
        with self._place:
            await self._draw()
