"""Dialogs that ask for more than a yes, and fields that find what is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from nicegui import events, ui

from fleetward.console.parts.choice import Choice
from fleetward.console.parts.heading import heading

Submit = Callable[[], Awaitable[None]]
Find = Callable[[str], Awaitable[Mapping[str, str]]]
"""The beginning of a name → what begins so: the value of each, and the name to show."""

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


async def picker(label: str, find: Find, chosen: Sequence[str] | None = None) -> ui.select:
    """A field that offers what `find` gives for the beginning of a name; several when some are `chosen`."""
    several = chosen is not None
    made = Choice(
        {name: name for name in chosen or ()},
        label=label,
        value=list(chosen or ()) if several else None,
        multiple=several,
        with_input=True,
    )
    made.props("outlined dense" + (" use-chips" if several else "")).classes("wide")
    await looked_up(made, find)()
    return made


def looked_up(field: ui.select, find: Find) -> Callable[[], Awaitable[None]]:
    """Lets a field (with input) offer what `find` gives for what is typed into it, and keep what is chosen.

    Returns what fills it at first, and anew.
    """

    async def offer(beginning: str = "") -> None:
        found = await find(beginning)
        now = field.value if isinstance(field.value, list) else [] if field.value is None else [field.value]
        known = dict(field.options) if isinstance(field.options, dict) else {}
        field.set_options({value: known[value] for value in now} | dict(found))

    async def look(event: events.GenericEventArguments) -> None:
        await offer(str(event.args or ""))

    field.on("input-value", look)
    field.props("input-debounce=0")  # else the list opens anew when something was chosen before that time was over
    return offer
