"""A thing's Metrics tab: what security profiles keep of it, as charts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.parts import charts
from fleetward.console.parts.facts import facts
from fleetward.console.parts.heading import heading
from fleetward.console.parts.moment import millis
from fleetward.console.parts.notices import empty
from fleetward.console.parts.redrawn import Redrawn
from fleetward.meter.metrics import METRICS
from fleetward.model import Millis

Value = float | list[Any]
"""A number, or the elements of a list."""

PERIODS = {1: "Last hour", 24: "Last day"}

HOUR = 3_600_000

MOST = 1_500
"""Values of a chart; a day of minutes."""

MOST_ELEMENTS = 30
"""Elements of a list that are told."""


async def draw(operator: Operator, name: str) -> None:
    async def fill() -> None:
        await _charts(operator, name, period.value)

    async def again() -> None:
        await place.again()

    with ui.element("div").classes("toolbar"):
        period = ui.toggle(PERIODS, value=1).props("no-caps aria-label=Period")
        ui.button("Refresh", icon="refresh", on_click=again).props("flat no-caps")
    place = Redrawn(fill)
    period.on_value_change(again)
    await place.again()


async def _charts(operator: Operator, name: str, hours: int) -> None:
    shown = 0
    with ui.element("div").classes("halves"):
        for metric, (label, unit) in (await _metrics(operator)).items():
            values = await _values(operator, name, metric, hours)
            if values:
                shown += 1
                with ui.element("section").classes("card"):
                    heading(label)
                    _draw(label, unit, values, hours)
    if not shown:
        empty(
            "Nothing is kept of this thing in this time",
            "Metrics are kept for the things that a security profile is attached to: those that its behaviours use "
            "and those under “Additional metrics to retain”.",
            "show_chart",
        )


def _draw(label: str, unit: str, values: Sequence[tuple[Millis, Value]], hours: int) -> None:
    """A chart; of lists, how many elements each has, and below it which."""
    lists = [(time, value) for time, value in values if isinstance(value, list)]
    numbers = [(time, float(len(value) if isinstance(value, list) else value)) for time, value in values]
    chart = charts.timeline({label: numbers}, unit)
    if len(values) == 1:
        chart.options["xAxis"]["min"] = values[0][0] - hours * HOUR
    if lists:
        chart.options["yAxis"]["minInterval"] = 1
        _draw_elements([value for _, value in lists])


def _draw_elements(lists: Sequence[list[Any]]) -> None:
    latest = lists[-1]
    earlier = {element for elements in lists for element in elements}.difference(latest)
    facts({"Latest": _listed(latest), **({"Also in this time": _listed(earlier)} if earlier else {})}, "facts")


def _listed(elements: Collection[Any]) -> str:
    shown = ", ".join(map(str, sorted(elements)[:MOST_ELEMENTS]))
    more = f" and {len(elements) - MOST_ELEMENTS:,} more" if len(elements) > MOST_ELEMENTS else ""
    return f"{shown}{more}" or "none"


async def _metrics(operator: Operator) -> Mapping[str, tuple[str, str]]:
    """Name → label and unit, of all that can be drawn."""
    custom = await operator.all("iot", "ListCustomMetrics", "metricNames")
    built_in = {metric.name: (metric.label, metric.unit) for metric in METRICS.values()}
    return {**built_in, **{name: (name, "") for name in custom}}


async def _values(operator: Operator, name: str, metric: str, hours: int) -> list[tuple[Millis, Value]]:
    """The oldest first."""
    now = datetime.now(UTC)
    found = await operator.all(
        "iot",
        "ListMetricValues",
        "metricDatumList",
        MOST,
        thingName=name,
        metricName=metric,
        startTime=now - timedelta(hours=hours),
        endTime=now,
        maxResults=250,
    )
    values = [(millis(one["timestamp"]) or 0, next(iter(one["value"].values()), None)) for one in found]
    return sorted(((time, value) for time, value in values if value is not None), key=lambda one: one[0])
