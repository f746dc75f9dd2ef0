"""An alarm's charts: the device's metric over time, and the fleet in the window that raised it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nicegui import ui

from fleetward.alarm.words import quantity, span
from fleetward.console.parts import charts, figures
from fleetward.console.parts.heading import heading
from fleetward.console.parts.moment import millis
from fleetward.console.parts.notices import empty


def draw(metric: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """`metric` is DescribeViolationMetric's answer, `answer` DescribeViolation's."""
    why = json.loads(answer["violation"]["explanationDocument"])
    _over_time(metric, answer, why)
    if metric.get("distribution"):
        _fleet(metric, metric["distribution"], answer["violation"]["thingName"], why)


def _over_time(metric: Mapping[str, Any], answer: Mapping[str, Any], why: Mapping[str, Any]) -> None:
    name, unit, seconds = metric["label"], metric["unit"], metric["durationSeconds"]
    points = [(millis(one["time"]) or 0, one["value"]) for one in metric["values"]]
    value = why.get("value")
    with ui.element("section").classes("card"):
        heading(f"{name}, every {span(seconds)}" if seconds else name)
        if not isinstance(value, int | float):
            empty("No chart", "This metric is a list; the elements that broke the rule are in the sentence above.")
            return
        limit = metric.get("limit")
        chart = charts.timeline({name: points}, unit, limit, f"limit {_short(limit or 0, unit)}")
        when = why.get("windowEnd") or millis(answer["violation"]["startTime"])
        chart.options["series"].append(
            {
                "type": "scatter",
                "name": "alarm",
                "symbolSize": 12,
                "itemStyle": {"color": charts.ALARM},
                "data": [[when, value]],
            }
        )
        _describe(chart, f"{name} over time; the alarm fell at {_short(value, unit)}")
        if not points:
            ui.label("The history holds no other values of this time.").classes("quiet")


def _fleet(metric: Mapping[str, Any], fleet: Mapping[str, Any], thing: str, why: Mapping[str, Any]) -> None:
    """A column a bin; the one that the device is in stands out, the threshold is a line."""
    bins, unit = fleet["bins"], metric["unit"]
    labels = [_label(one, unit) for one in bins]
    own = fleet.get("value", why.get("value"))
    with ui.element("section").classes("card"):
        heading(f"The fleet in that window, by {metric['label'].lower()}")
        chart = charts.bars(labels, [one["devices"] for one in bins], "devices")
        (columns,) = chart.options["series"]
        # One device among a million has to be seen, and an empty bin must not look like one.
        columns.update(barMinHeight=4, barCategoryGap="10%")
        for column in columns["data"]:
            column["value"] = column["value"] or None
        if (place := _place(bins, own)) is not None:
            columns["data"][place]["itemStyle"] = {"color": charts.ALARM}
        chart.options["yAxis"].update(name="", minInterval=1)
        chart.options["xAxis"]["axisLabel"].update(showMinLabel=True, alignMinLabel="left")
        limit = _place(bins, metric.get("limit"))
        if limit is not None:
            columns["markLine"] = {
                "symbol": "none",
                "silent": True,
                "lineStyle": {"color": charts.ALARM, "type": "dashed"},
                "label": {
                    "formatter": f"limit {_short(metric['limit'], unit)}",
                    "color": charts.ALARM,
                    "align": "left" if limit < len(bins) / 2 else "right",
                },
                "data": [{"xAxis": limit}],
            }
        told = f"{quantity(fleet['devices'], 'devices')} had a value; {thing} (red) {_short(own, unit) if own else ''}"
        _describe(chart, told)
        scale = " The scale grows by a factor." if fleet["logarithmic"] else ""
        ui.label(f"{told}.{scale}").classes("quiet")


def _describe(chart: ui.echart, told: str) -> None:
    """For who cannot see it. Never by a string of props: it names the device, which chose its name itself."""
    chart.props["role"], chart.props["aria-label"] = "img", told


def _place(bins: list[Mapping[str, Any]], value: Any) -> int | None:
    """The bin that a value is in; None outside of all."""
    if not isinstance(value, int | float) or not bins or not bins[0]["low"] <= value <= bins[-1]["high"]:
        return None
    return next((place for place, one in enumerate(bins) if value < one["high"]), len(bins) - 1)


def _label(one: Mapping[str, Any], unit: str) -> str:
    low, high = one["low"], one["high"]
    if low == high:
        return _short(low, unit)
    return f"{figures.size(low) if unit == 'bytes' else figures.number(low)} – {_short(high, unit)}"


def _short(value: float, unit: str) -> str:
    if unit == "bytes":
        return figures.size(value)
    return quantity(value if abs(value) < 10 else round(value), unit)
