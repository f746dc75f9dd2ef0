"""The fleet at a glance: what it does right now, and who stands out. Live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.parts import charts, figures
from fleetward.console.parts.heading import heading
from fleetward.console.parts.moment import millis
from fleetward.console.parts.notices import empty
from fleetward.console.shell import page

LIVE_SECONDS = 5


@page("/fleet", "Fleet")
async def fleet(operator: Operator) -> None:
    overview = _Overview()

    async def refresh() -> None:
        overview.show(await operator.do("fleetward", "DescribeFleet"))

    await refresh()
    ui.timer(LIVE_SECONDS, refresh, immediate=False)


class _Overview:
    """The elements of the page, drawn once and filled again and again."""

    def __init__(self) -> None:
        with ui.element("div").classes("tiles"):
            self._things = figures.Tile("Things", "/things")
            self._connected = figures.Tile("Connected")
            self._in_alarm = figures.Tile("In alarm", "/alarms")
            self._isolated = figures.Tile("Isolated", "/groups/IsolatedDevices")
            self._messages = figures.Tile("Messages")
            self._bytes = figures.Tile("Traffic")
        with ui.element("div").classes("halves"):
            with ui.element("section").classes("card"):
                heading("Traffic, last 15 minutes")
                self._traffic = charts.timeline({"traffic": []}, "B/s")
            with ui.element("section").classes("card"):
                heading("Alarms, last 24 hours")
                self._alarms = charts.timeline({"alarms": []}, "alarms an hour")
            with ui.element("section").classes("card"):
                heading("Busiest now")
                self._busiest = ui.element("div")
            with ui.element("section").classes("card"):
                heading("Strangest now")
                self._strangest = ui.element("div")

    def show(self, fleet: Mapping[str, Any]) -> None:
        self._things.show(figures.number(fleet["things"]))
        self._connected.show(figures.number(fleet["connected"]))
        self._in_alarm.show(figures.number(fleet["inAlarm"]), bad=fleet["inAlarm"] > 0)
        self._isolated.show(figures.number(fleet["isolated"]), bad=fleet["isolated"] > 0)
        self._messages.show(figures.number(fleet["messagesPerSecond"], "/s"))
        self._bytes.show(figures.size(fleet["bytesPerSecond"], "/s"))
        traffic = [(millis(one["time"]) or 0, one["bytes"] / 5) for one in fleet["traffic"]]
        alarms = [(millis(one["time"]) or 0, one["count"]) for one in fleet["alarms"]]
        self._traffic.options.update(charts.timeline_options({"traffic": traffic}, "B/s"))
        self._alarms.options.update(charts.column_options({"alarms": alarms}, "alarms an hour"))
        self._fill(self._busiest, fleet["busiest"], _busy, "Nothing was sent in the last minute.", "sensors_off")
        self._fill(self._strangest, fleet["strangest"], _strange, "Nothing is in alarm.", "verified_user")

    def _fill(self, place: ui.element, items: Sequence[Any], draw: Any, nothing: str, icon: str) -> None:
        place.clear()
        with place:
            if not items:
                empty(nothing, icon=icon)
            for item in items:
                with ui.element("div").classes("line"):
                    draw(item)


def _busy(device: Mapping[str, Any]) -> None:
    ui.link(device["device"], f"/things/{device['device']}")
    ui.label(f"{figures.size(device['bytes'])}, {figures.number(device['messages'])} messages").classes("quiet")


def _strange(device: Mapping[str, Any]) -> None:
    ui.link(device["device"], f"/alarms/{device['violationId']}")
    ui.label(f"{device['behaviorName']}: {device['summary']}").classes("quiet")
