"""A function's environment variables."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.parts.forms import Submit, open_form
from fleetward.console.parts.heading import heading
from fleetward.console.parts.notices import empty, told


async def draw(operator: Operator, name: str) -> None:
    heading("Environment variables")
    shown = ui.element("div")

    async def refresh() -> None:
        _show(shown, _of(await operator.do("lambda", "GetFunctionConfiguration", FunctionName=name)))

    async def manage() -> None:
        found = await operator.do("lambda", "GetFunctionConfiguration", FunctionName=name)
        _manage(operator, name, found, refresh)

    await refresh()
    if operator.may("lambda", "UpdateFunctionConfiguration", FunctionName=name):
        button = ui.button("Manage environment variables", icon="edit", on_click=manage)
        button.props("outline no-caps").classes("section")


def _of(found: Any) -> dict[str, str]:
    return dict((found.get("Environment") or {}).get("Variables", {}))


def _show(place: ui.element, variables: dict[str, str]) -> None:
    place.clear()
    with place:
        if not variables:
            empty("No environment variables", "The function reads them from os.environ.", "data_object")
            return
        with ui.element("dl").classes("facts card"):
            for key, value in variables.items():
                with ui.element("dt"):
                    ui.label(key)
                with ui.element("dd"):
                    ui.label(value)


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
