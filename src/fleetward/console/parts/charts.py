"""Charts: values over time, with units, a threshold and the devices that stand out.

Colours are readable on light and on dark ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui import ui

from fleetward.model import Millis

QUIET, ACCENT, ALARM = "#7d8b99", "#2f86cc", "#d9534f"
PALETTE = (ACCENT, "#d98e32", "#3f9c6b", "#9a6fd0", "#c2577f", "#5b9ea6")

Points = Sequence[tuple[Millis, float | None]]


def timeline(
    series: dict[str, Points], unit: str, threshold: float | None = None, threshold_label: str = "threshold"
) -> ui.echart:
    """Lines over time in the viewer's zone; `threshold` is a dashed line."""
    return ui.echart(timeline_options(series, unit, threshold, threshold_label)).classes("chart")


def timeline_options(
    series: dict[str, Points], unit: str, threshold: float | None = None, threshold_label: str = "threshold"
) -> dict[str, Any]:
    lines: list[dict[str, Any]] = [
        {"type": "line", "name": name, "showSymbol": len(points) < 2, "data": [list(point) for point in points]}
        for name, points in series.items()
    ]
    if threshold is not None and lines:
        lines[0]["markLine"] = {
            "symbol": "none",
            "silent": True,
            "lineStyle": {"color": ALARM, "type": "dashed"},
            "label": {"formatter": threshold_label, "position": "insideEndTop", "color": ALARM},
            "data": [{"yAxis": threshold}],
        }
    return {
        **_frame(unit, legend=len(series) > 1),
        "xAxis": {"type": "time", "axisLabel": {"color": QUIET, "hideOverlap": True}},
        "tooltip": {"trigger": "axis"},
        "series": lines,
    }


def column_options(series: dict[str, Points], unit: str) -> dict[str, Any]:
    """Columns over time, for counts."""
    options = timeline_options(series, unit)
    options["yAxis"]["minInterval"] = 1
    for line in options["series"]:
        line["type"] = "bar"
    return options


def bars(labels: Sequence[str], values: Sequence[float], unit: str, marked: Sequence[str] = ()) -> ui.echart:
    """One bar a label; those in `marked` stand out."""
    data = [
        {"value": value, "itemStyle": {"color": ALARM if label in marked else ACCENT}}
        for label, value in zip(labels, values, strict=True)
    ]
    options = {
        **_frame(unit, legend=False),
        "xAxis": {"type": "category", "data": list(labels), "axisLabel": {"color": QUIET, "hideOverlap": True}},
        "tooltip": {"trigger": "axis"},
        "series": [{"type": "bar", "data": data}],
    }
    return ui.echart(options).classes("chart")


def _frame(unit: str, legend: bool) -> dict[str, Any]:
    return {
        "animation": False,
        "color": list(PALETTE),
        "grid": {"left": 8, "right": 16, "top": 36 if legend else 28, "bottom": 8, "containLabel": True},
        "legend": {"show": legend, "textStyle": {"color": QUIET}, "top": 0},
        "yAxis": {
            "type": "value",
            "name": unit,
            "nameTextStyle": {"color": QUIET, "align": "left"},
            "axisLabel": {"color": QUIET},
            "splitLine": {"lineStyle": {"color": QUIET, "opacity": 0.2}},
        },
    }
