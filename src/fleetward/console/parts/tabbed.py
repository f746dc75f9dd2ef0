"""Tabs: each is drawn when it is first looked at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from nicegui import ui

from fleetward.console.parts.redrawn import Redrawn

Draw = Callable[[], Awaitable[None]]


async def tabbed(tabs: Mapping[str, Draw]) -> None:
    """Tabs by their titles, the first of them open."""
    first = next(iter(tabs))
    places: dict[str, Redrawn] = {}
    with ui.tabs(value=first).props("no-caps align=left inline-label outside-arrows mobile-arrows") as bar:
        for title in tabs:
            ui.tab(title)
    with ui.tab_panels(bar, value=first, animated=False).props("keep-alive").classes("panels"):
        for title, draw in tabs.items():
            with ui.tab_panel(title):
                places[title] = Redrawn(draw)
    waiting = dict(places)

    async def show(title: str) -> None:
        if (place := waiting.pop(title, None)) is not None:
            await place.again()

    bar.on_value_change(lambda event: show(event.value))
    await show(first)
