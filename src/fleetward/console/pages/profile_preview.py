"""The preview from history: what a profile would have flagged, before it is saved."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.parts.charts import ALARM, QUIET
from fleetward.console.parts.heading import heading
from fleetward.console.parts.moment import Moment, millis
from fleetward.console.parts.notices import empty
from fleetward.console.parts.settled import Settled
from fleetward.console.profile_draft import Draft
from fleetward.errors import Refusal

SPANS = {1: "the last hour", 6: "the last 6 hours", 24: "the last 24 hours", 168: "the last 7 days"}
SHOWN = 12
FEW = 3
SETTLE_SECONDS = 2.0


class Preview:
    """A panel that asks when it is told to, and from then on again after changes."""

    def __init__(self, operator: Operator, draft: Callable[[], Draft]) -> None:
        self._operator = operator
        self._draft = draft
        self._settled = Settled(SETTLE_SECONDS)
        self._asked = self._running = False
        with ui.element("section").classes("card preview") as self._panel:
            heading("Preview from history")
            ui.label("What these behaviors would have flagged, had they watched.").classes("quiet")
            with ui.element("div").classes("toolbar"):
                self._hours = ui.select(SPANS, label="Look back over", value=6).props("outlined dense options-dense")
                self._button = ui.button("Show preview", icon="history", on_click=self.ask)
                self._button.props("outline no-caps")
            self._progress = ui.linear_progress(show_value=False).props("indeterminate aria-label='Looking back'")
            self._progress.set_visibility(False)
            self._result = ui.element("div").props("aria-live=polite")
        self._hours.on_value_change(self.changed)
        self._panel.set_visibility(operator.may("fleetward", "BacktestSecurityProfile"))

    async def changed(self) -> None:
        """Something it depends on has changed."""
        if self._asked and await self._settled():
            await self.ask()

    async def ask(self) -> None:
        if self._running:
            return
        self._asked = self._running = True
        self._progress.set_visibility(True)
        self._button.disable()
        try:
            self._show(await self._replay())
        except Refusal as refusal:
            self._tell(refusal.message)
        finally:
            self._running = False
            self._progress.set_visibility(False)
            self._button.enable()

    async def _replay(self) -> Mapping[str, Any]:
        draft = self._draft()
        return await self._operator.do(
            "fleetward",
            "BacktestSecurityProfile",
            profile=json.dumps(draft.document()),
            targetArns=draft.targets or None,
            startTime=datetime.now(UTC) - timedelta(hours=self._hours.value),
        )

    def _tell(self, message: str) -> None:
        self._result.clear()
        with self._result:
            empty("No preview yet", message, "history_toggle_off")

    def _show(self, answer: Mapping[str, Any]) -> None:
        self._result.clear()
        with self._result:
            ui.label(_outcome(answer)).classes("outcome" if not answer["deviceCount"] else "outcome bad")
            _tell_where_history_begins(answer)
            if answer["devices"]:
                few = answer["deviceCount"] <= FEW
                ui.echart(chart_options(answer)).classes("chart few" if few else "chart")
            for device in answer["devices"][:SHOWN]:
                _device(device)
            if hidden := answer["deviceCount"] - min(SHOWN, len(answer["devices"])):
                ui.label(f"… and {hidden:,} more devices.").classes("quiet")
            for one in answer["leftOut"]:
                ui.label(f"Not replayed: {one['behaviorName']}: {one['reason']}.").classes("quiet")


def chart_options(answer: Mapping[str, Any]) -> dict[str, Any]:
    """When each flagged device would have been in alarm: a line a device over the time that was replayed."""
    names = [device["thingName"] for device in answer["devices"][:SHOWN]]
    start, end = millis(answer["startTime"]) or 0, millis(answer["endTime"]) or 0
    begin = max(start, millis(answer.get("historyTime")) or start)
    return {
        "animation": False,
        "grid": {"left": 8, "right": 24, "top": 12, "bottom": 8, "containLabel": True},
        "tooltip": {"trigger": "item"},
        "xAxis": {"type": "time", "min": begin, "max": end, "axisLabel": {"color": QUIET, "hideOverlap": True}},
        "yAxis": {"type": "category", "inverse": True, "data": names, "axisLabel": {"color": QUIET, "width": 120}},
        "series": [
            {
                "type": "line",
                "name": name,
                "data": [[when, name if when is not None else None] for when in _in_alarm(answer, name, end)],
                "connectNulls": False,
                "symbolSize": 7,
                "lineStyle": {"width": 6, "color": ALARM},
                "itemStyle": {"color": ALARM},
            }
            for name in names
        ],
    }


def _in_alarm(answer: Mapping[str, Any], name: str, end: int) -> list[int | None]:
    """The beginning and the end of each alarm of a device, None between two of them."""
    points: list[int | None] = []
    open_alarms = 0
    for event in answer["events"]:
        if event["thingName"] != name:
            continue
        raised = event["type"] == "in-alarm"
        if raised and not open_alarms:
            points += [None, millis(event["time"])] if points else [millis(event["time"])]
        open_alarms += 1 if raised else -1
        if not raised and not open_alarms:
            points.append(millis(event["time"]))
    return [*points, end] if open_alarms else points


def _outcome(answer: Mapping[str, Any]) -> str:
    devices = answer["deviceCount"]
    if not devices:
        return "Nothing could be replayed." if answer["leftOut"] else "No device would have been flagged."
    return f"{devices:,} device{'' if devices == 1 else 's'} would have been flagged."


def _tell_where_history_begins(answer: Mapping[str, Any]) -> None:
    begin = answer.get("historyTime")
    with ui.element("div").classes("quiet history-begins"):
        if begin is None:
            ui.label("There is no history of these metrics yet; come back when devices have sent something.")
        elif begin > answer["startTime"] + timedelta(minutes=5):
            ui.label("The history begins at")
            Moment(begin)


def _device(device: Mapping[str, Any]) -> None:
    alarms = device["alarms"]
    with ui.element("div").classes("line"):
        ui.link(device["thingName"], f"/things/{device['thingName']}")
        ui.label(f"{alarms:,} alarm{'' if alarms == 1 else 's'}, the first")
        Moment(device["firstAlarmTime"])
        ui.label(f"{device['behaviorName']}: {device['verdict']}").classes("quiet")
