"""A list in pages: only one page is ever in memory, here and in the browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator

PAGE_SIZE = 50

Row = dict[str, Any]

CELLS: Mapping[str, str] = {
    "time": """<time v-if="props.value" :datetime="new Date(props.value).toISOString()"
        :title="new Date(props.value).toISOString()">{{ new Date(props.value).toLocaleString() }}</time>
        <span v-else class="quiet">–</span>""",
    "link": """<a v-if="props.row[props.col.name + '_href']" class="link"
        :href="props.row[props.col.name + '_href']">{{ props.value }}</a><span v-else>{{ props.value }}</span>""",
    "state": """<span class="state" :class="props.row[props.col.name + '_tone']">{{ props.value }}</span>""",
    "number": "{{ props.value == null ? '–' : Number(props.value).toLocaleString() }}",
    "code": "<code>{{ props.value }}</code>",
    "action": """<q-btn v-if="props.value" flat dense no-caps color="primary" :label="props.value"
        :aria-label="props.value + ' ' + props.row.key" @click="$parent.$emit('act', props.row)"></q-btn>""",
}
"""How a cell of each kind is drawn (a Vue template); plain text needs none. A link's target is in the row under
`<name>_href`, a state's tone (good, bad, warn or nothing) under `<name>_tone`; times are epoch milliseconds. An action
is a button with the cell's text, and goes to the listing's `act` with the row.
"""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    label: str
    kind: str = "text"


class Listing:
    """The pages of a listing operation as a table, or what `empty` draws when there is nothing.

    `shape` makes a row of an item: a dict by column names, with a unique `key`.
    """

    def __init__(
        self,
        operator: Operator,
        columns: Sequence[Column],
        shape: Callable[[Any], Row],
        service: str,
        operation: str,
        items: str,
        empty: Callable[[], object],
        size: str | None = "maxResults",
        act: Callable[[Row], Awaitable[None]] | None = None,
        **params: Any,
    ) -> None:
        self._operator = operator
        self._shape = shape
        self._asked = (service, operation, items)
        self._params = {**params, **({size: PAGE_SIZE} if size else {})}
        self._pages: list[dict[str, Any]] = [self._params]
        self._next: dict[str, Any] | None = None
        self._table = _table(columns)
        if act is not None:
            self._table.on("act", lambda event: act(event.args))
        with ui.element("div") as self._nothing:
            empty()
        with ui.row().classes("pager") as self._pager:
            self._back = ui.button(icon="chevron_left", on_click=self.back).props(
                "flat round aria-label='Previous page'"
            )
            self._place = ui.label().props("aria-live=polite")
            self._on = ui.button(icon="chevron_right", on_click=self.on).props("flat round aria-label='Next page'")

    async def show(self, **params: Any) -> None:
        """The first page, of a list asked for with other parameters when some are given (None takes one away)."""
        self._params = {name: value for name, value in {**self._params, **params}.items() if value is not None}
        self._pages = [self._params]
        await self.refresh()

    async def refresh(self) -> None:
        """The same page as it is now."""
        service, operation, items = self._asked
        found, self._next = await self._operator.page(service, operation, items, **self._pages[-1])
        self._table.rows = [self._shape(item) for item in found]
        self._draw()

    @property
    def rows(self) -> list[Row]:
        """Those that are shown."""
        return list(self._table.rows)

    def amend(self, key: str, **cells: Any) -> None:
        """Fills in cells of a row that is shown, such as what takes longer to find out."""
        for row in self._table.rows:
            if row["key"] == key:
                row.update(cells)
        self._table.update()

    async def on(self) -> None:
        if self._next is not None:
            self._pages.append(self._next)
            await self.refresh()

    async def back(self) -> None:
        if len(self._pages) > 1:
            self._pages.pop()
            await self.refresh()

    def _draw(self) -> None:
        rows, number = len(self._table.rows), len(self._pages)
        self._table.set_visibility(rows > 0)
        self._nothing.set_visibility(rows == 0 and number == 1)
        self._pager.set_visibility(number > 1 or self._next is not None)
        self._place.set_text(f"Page {number}")
        self._back.set_enabled(number > 1)
        self._on.set_enabled(self._next is not None)


def _table(columns: Sequence[Column]) -> ui.table:
    shown = [
        {"name": column.name, "label": column.label, "field": column.name, "align": _side(column)} for column in columns
    ]
    table = ui.table(columns=shown, rows=[], row_key="key", pagination=0).classes("listing")
    table.props("flat bordered hide-bottom :grid='window.innerWidth < 600'")
    table.add_slot("item", _card(columns))
    for column in columns:
        if column.kind != "text":
            table.add_slot(f"body-cell-{column.name}", f'<q-td :props="props">{CELLS[column.kind]}</q-td>')
    return table


def _card(columns: Sequence[Column]) -> str:
    """A row where there is no room for a table."""
    lines = "".join(
        f"<dt>{column.label}</dt><dd>{_in_card(column)}</dd>" if column.label else f"<div>{_in_card(column)}</div>"
        for column in columns
    )
    return f'<dl class="facts card row-card">{lines}</dl>'


def _in_card(column: Column) -> str:
    cell = CELLS.get(column.kind, "{{ props.value }}")
    name = f"'{column.name}'"
    return cell.replace("props.col.name", name).replace("props.value", f"props.row[{name}]")


def _side(column: Column) -> str:
    return "right" if column.kind == "number" else "left"
