"""A dialog that asks for what an operation needs, and stays open when it is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from fleetward.console.parts.heading import heading

Submit = Callable[[], Awaitable[None]]


def open_form(title: str, action: str, draw: Callable[[], Submit]) -> None:
    """`draw` makes the fields and returns what the button `action` does."""
    with ui.dialog().props(f"aria-label='{title}'") as dialog, ui.card().classes("dialog"):
        heading(title)
        submit = draw()

        async def carry_out() -> None:
            await submit()
            dialog.close()

        with ui.row().classes("dialog-buttons"):
            ui.button("Cancel", on_click=dialog.close).props("flat no-caps")
            ui.button(action, on_click=carry_out).props("unelevated no-caps")
    dialog.on("hide", dialog.delete)
    dialog.open()


def show_text(title: str, draw: Callable[[], object]) -> None:
    """A dialog that shows something."""
    with ui.dialog().props(f"aria-label='{title}'") as dialog, ui.card().classes("dialog wide-dialog"):
        heading(title)
        draw()
        with ui.row().classes("dialog-buttons"):
            ui.button("Close", on_click=dialog.close).props("flat no-caps")
    dialog.on("hide", dialog.delete)
    dialog.open()
