"""A thing's Metrics tab: what security profiles keep of it, as charts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.parts import charts
from fleetward.console.parts.heading import heading
from fleetward.console.parts.moment import millis
from fleetward.console.parts.notices import empty
from fleetward.console.parts.redrawn import Redrawn
from fleetward.meter.metrics import METRICS

PERIODS = {1: "Last hour", 24: "Last day"}

HOUR = 3_600_000

MOST = 1_500
"""Values of a chart; a day of minutes."""


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
            points = await _points(operator, name, metric, hours)
            if points:
                shown += 1
                with ui.element("section").classes("card"):
                    heading(label)
                    chart = charts.timeline({label: points}, unit)
                    if len(points) == 1:
                        chart.options["xAxis"]["min"] = points[0][0] - hours * HOUR
    if not shown:
        empty(
            "Nothing is kept of this thing in this time",
            "Metrics are kept for the things that a security profile is attached to: those that its behaviours use "
            "and those under “Additional metrics to retain”.",
            "show_chart",
        )


async def _metrics(operator: Operator) -> Mapping[str, tuple[str, str]]:
    """Name → label and unit, of all that can be drawn."""
    custom = await operator.all("iot", "ListCustomMetrics", "metricNames")
    built_in = {metric.name: (metric.label, metric.unit) for metric in METRICS.values()}
    return {**built_in, **{name: (name, "") for name in custom}}


async def _points(operator: Operator, name: str, metric: str, hours: int) -> list[tuple[int, float]]:
    now = datetime.now(UTC)
    values = await operator.all(
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
    points = [(millis(value["timestamp"]) or 0, _number(value["value"])) for value in values]
    return sorted((time, value) for time, value in points if value is not None)


def _number(value: Mapping[str, Any]) -> float | None:
    """What can be drawn of a value: a list is drawn as how many it holds."""
    found = next(iter(value.values()), None)
    return float(len(found)) if isinstance(found, list) else None if found is None else float(found)
