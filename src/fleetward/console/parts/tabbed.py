"""Tabs: each is drawn when it is first looked at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from nicegui import ui

from fleetward.console.parts.redrawn import Redrawn

Draw = Callable[[], Awaitable[None]]


class Tabbed:
    """Tabs by their titles, the first of them open once `show` was called."""

    def __init__(self, tabs: Mapping[str, Draw]) -> None:
        self._drawn: set[str] = set()
        self._places: dict[str, Redrawn] = {}
        with ui.tabs().props("no-caps align=left outside-arrows mobile-arrows") as bar:
            named = {title: ui.tab(title) for title in tabs}
        self._first = next(iter(tabs))
        with ui.tab_panels(bar, value=named[self._first], animated=False).props("keep-alive").classes("panels"):
            for title, draw in tabs.items():
                with ui.tab_panel(named[title]):
                    self._places[title] = Redrawn(draw)
        bar.on_value_change(lambda event: self.show(event.value))

    async def show(self, title: str | None = None) -> None:
        """Draws the tab unless it is drawn."""
        title = title or self._first
        if title not in self._drawn:
            self._drawn.add(title)
            await self._places[title].again()

    async def again(self, title: str) -> None:
        """Draws the tab anew if somebody has looked at it."""
        if title in self._drawn:
            await self._places[title].again()
