"""A function's environment variables: their values are shown when they are asked for.

Values are often secrets. They are sent to the browser only when a button asks for them, which is offered to those who
may change them, and so see them when they do. The API answers GetFunctionConfiguration with them, as AWS's does.
"""

from __future__ import annotations

from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.parts.facts import facts
from fleetward.console.parts.forms import Submit, open_form
from fleetward.console.parts.heading import heading
from fleetward.console.parts.notices import empty, told

HIDDEN = "••••"


async def draw(operator: Operator, name: str) -> None:
    heading("Environment variables")
    may_change = operator.may("lambda", "UpdateFunctionConfiguration", FunctionName=name)
    is_open = False

    async def refresh() -> None:
        variables = _of(await operator.do("lambda", "GetFunctionConfiguration", FunctionName=name))
        shown.clear()
        with shown:
            _show(variables, is_open)
        toggle.set_text("Hide values" if is_open else "Show values")
        toggle.set_visibility(may_change and bool(variables))

    async def switch() -> None:
        nonlocal is_open
        is_open = not is_open
        await refresh()

    async def manage() -> None:
        found = await operator.do("lambda", "GetFunctionConfiguration", FunctionName=name)
        _manage(operator, name, found, refresh)

    shown = ui.element("div")
    with ui.element("div").classes("toolbar section"):
        if may_change:
            ui.button("Manage environment variables", icon="edit", on_click=manage).props("outline no-caps")
        toggle = ui.button("Show values", on_click=switch).props("flat no-caps")
    await refresh()


def _of(found: Any) -> dict[str, str]:
    return dict((found.get("Environment") or {}).get("Variables", {}))


def _show(variables: dict[str, str], is_open: bool) -> None:
    if not variables:
        empty("No environment variables", "The function reads them from os.environ.", "data_object")
        return
    facts({key: value if is_open else _hidden for key, value in variables.items()})


def _hidden() -> None:
    ui.label(HIDDEN).props("aria-label='hidden'")


def _manage(operator: Operator, name: str, found: Any, refresh: Submit) -> None:
    def draw() -> Submit:
        rows: list[_Pair] = []
        place = ui.element("div")
        for key, value in _of(found).items():
            _Pair(place, rows, key, value)
        ui.button("Add environment variable", icon="add", on_click=lambda: _Pair(place, rows)).props("flat no-caps")

        async def save() -> None:
            variables = {row.key.value.strip(): row.value.value or "" for row in rows if (row.key.value or "").strip()}
            await operator.do(
                "lambda",
                "UpdateFunctionConfiguration",
                FunctionName=name,
                RevisionId=found["RevisionId"],
                Environment={"Variables": variables},
            )
            told("The environment variables are saved.")
            await refresh()

        return save

    open_form("Environment variables", "Save", draw)


class _Pair:
    """The fields of one variable; it is among `rows` until it is removed."""

    def __init__(self, place: ui.element, rows: list[_Pair], key: str = "", value: str = "") -> None:
        with place, ui.element("div").classes("pair") as self._line:
            self.key = ui.input("Key", value=key).props("outlined dense")
            self.value = ui.input("Value", value=value).props("outlined dense")
            remove = ui.button(icon="delete", on_click=self._remove).props("flat round dense")
            remove.props("aria-label='Remove environment variable'")
        self._rows = rows
        rows.append(self)

    def _remove(self) -> None:
        self._rows.remove(self)
        self._line.delete()
