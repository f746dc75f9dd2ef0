"""Dialogs that ask for more than a yes, and fields that find what is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from nicegui import events, ui

from fleetward.console.parts.choice import Choice
from fleetward.console.parts.heading import heading

Submit = Callable[[], Awaitable[None]]

FOUND = 50
"""Names that a field offers at once."""


@contextmanager
def form(title: str, action: str, accept: Callable[[], Awaitable[None]]) -> Iterator[ui.dialog]:
    """An open dialog around fields; closed once `accept` has returned, so what is refused can be corrected."""

    async def carry_out() -> None:
        button.props("loading")
        try:
            await accept()
        finally:
            button.props(remove="loading")
        dialog.close()

    with _dialog(title) as dialog, ui.card().classes("dialog"):
        heading(title)
        yield dialog
        with ui.row().classes("dialog-buttons"):
            ui.button("Cancel", on_click=dialog.close).props("flat no-caps")
            button = ui.button(action, on_click=carry_out).props("unelevated no-caps")
    dialog.on("hide", dialog.delete)
    dialog.open()


def open_form(title: str, action: str, draw: Callable[[], Submit]) -> None:
    """As `form`, where `draw` makes the fields and returns what the button does."""
    submits: list[Submit] = []
    with form(title, action, lambda: submits[0]()):
        submits.append(draw())


def show_text(title: str, draw: Callable[[], object]) -> None:
    """A dialog that shows something."""
    with _dialog(title) as dialog, ui.card().classes("dialog wide-dialog"):
        heading(title)
        draw()
        with ui.row().classes("dialog-buttons"):
            ui.button("Close", on_click=dialog.close).props("flat no-caps")
    dialog.on("hide", dialog.delete)
    dialog.open()


def _dialog(title: str) -> ui.dialog:
    dialog = ui.dialog()
    dialog.props["aria-label"] = title  # never within a text of props: a title may hold what a device calls itself
    return dialog


def field(label: str, value: str = "", hint: str = "") -> ui.input:
    made = ui.input(label, value=value).props("outlined dense").classes("wide")
    if hint:
        made.props["hint"] = hint
    return made


def search(label: str, look: Callable[[str | None], Awaitable[None]]) -> ui.input:
    """A field above a list; `look` is given the beginning of what is wanted, or None when nothing is typed."""
    made = ui.input(label).props("outlined dense clearable debounce=300 type=search").classes("search")
    made.on_value_change(lambda event: look((event.value or "").strip() or None))
    return made


async def picker(
    label: str,
    find: Callable[[str], Awaitable[Sequence[str]]],
    chosen: Sequence[str] | None = None,
) -> ui.select:
    """A field that offers the names that `find` gives for the beginning of one; several when some are `chosen`."""
    several = chosen is not None
    kept = list(chosen or ())
    made = Choice(
        list(dict.fromkeys([*kept, *await find("")])),
        label=label,
        value=kept if several else None,
        multiple=several,
        with_input=True,
    )
    made.props("outlined dense input-debounce=300" + (" use-chips" if several else "")).classes("wide")

    async def look(event: events.GenericEventArguments) -> None:
        now = made.value if several else [made.value] if made.value else []
        made.set_options(list(dict.fromkeys([*(now or ()), *await find(str(event.args or ""))])))

    made.on("input-value", look)
    return made
