"""The fleet at a glance: what it does right now, and who stands out. Live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nicegui import ui

from fleetward.alarm.words import quantity
from fleetward.console.operator import Operator
from fleetward.console.parts import charts, figures
from fleetward.console.parts.heading import heading
from fleetward.console.parts.moment import millis
from fleetward.console.parts.notices import empty
from fleetward.console.shell import page

LIVE_SECONDS = 5


SHOWN = 8
"""Devices of a list."""


@page("/fleet", "Fleet")
async def fleet(operator: Operator) -> None:
    seen = await operator.do("fleetward", "DescribeFleet")
    if not seen["things"]:
        with empty("No things yet", "A device is seen here once it is registered as a thing and sends.", "sensors"):
            ui.link("Create your first thing", "/things")
    overview = _Overview(seen.get("quarantineGroupName"))
    overview.show(seen)

    async def refresh() -> None:
        overview.show(await operator.do("fleetward", "DescribeFleet"))

    ui.timer(LIVE_SECONDS, refresh, immediate=False)


class _Overview:
    """The elements of the page, drawn once and filled again and again."""

    def __init__(self, quarantine_group: str | None) -> None:
        with ui.element("div").classes("tiles spaced"):
            self._connected = figures.Tile("Connected", "/things")
            self._reporting = figures.Tile("Reporting, last 5 min")
            self._in_alarm = figures.Tile("In alarm", "/alarms")
            self._isolated = figures.Tile("Isolated", f"/groups/{quarantine_group}" if quarantine_group else None)
            self._messages = figures.Tile("Messages, live")
            self._bytes = figures.Tile("Traffic, live")
        with ui.element("div").classes("halves"):
            with ui.element("section").classes("card"):
                heading("Traffic, last 15 minutes")
                self._traffic = charts.timeline({"traffic": []}, "B/s")
            with ui.element("section").classes("card"):
                heading("Alarms, last 24 hours")
                self._alarms = charts.timeline({"alarms": []}, "alarms an hour")
            with ui.element("section").classes("card"):
                heading("Busiest, last minute")
                self._busiest = _Devices("Nothing was sent in the last minute.", "sensors_off")
            with ui.element("section").classes("card"):
                heading("Strangest now")
                self._strangest = _Devices("Nothing is in alarm.", "verified_user")

    def show(self, fleet: Mapping[str, Any]) -> None:
        self._connected.show(figures.number(fleet["connected"]), name=f"Connected, {fleet['things']:,} registered")
        self._reporting.show(figures.number(fleet["reporting"]))
        self._in_alarm.show(figures.number(fleet["inAlarm"]), bad=fleet["inAlarm"] > 0)
        self._isolated.show(figures.number(fleet["isolated"]), bad=fleet["isolated"] > 0)
        self._messages.show(figures.number(fleet["messagesPerSecond"], "/s"))
        self._bytes.show(figures.size(fleet["bytesPerSecond"], "/s"))
        traffic = [(millis(one["time"]) or 0, one["bytes"] / 5) for one in fleet["traffic"]]
        alarms = [(millis(one["time"]) or 0, one["count"]) for one in fleet["alarms"]]
        self._traffic.options.update(charts.timeline_options({"traffic": traffic}, "B/s"))
        self._alarms.options.update(charts.column_options({"alarms": alarms}, "alarms an hour"))
        self._busiest.show([_busy(one) for one in fleet["busiest"]])
        self._strangest.show([_strange(one) for one in fleet["strangest"]])


class _Devices:
    """A short list whose lines stay in their places, so that the keyboard's focus does."""

    def __init__(self, nothing: str, icon: str) -> None:
        self._nothing = empty(nothing, icon=icon)
        self._lines = [_Line() for _ in range(SHOWN)]

    def show(self, devices: Sequence[Device]) -> None:
        self._nothing.set_visibility(not devices)
        for number, line in enumerate(self._lines):
            line.show(devices[number] if number < len(devices) else None)


class _Line:
    def __init__(self) -> None:
        with ui.element("div").classes("line") as self._line:
            self._link, self._name, self._told = ui.link(), ui.label(), ui.label().classes("quiet")

    def show(self, device: Device | None) -> None:
        self._line.set_visibility(device is not None)
        if device is not None:
            self._link.set_visibility(device.path is not None)
            self._name.set_visibility(device.path is None)
            for shown in (self._link, self._name):
                shown.set_text(device.name)
            self._link.props["href"] = device.path or "#"
            self._told.set_text(device.told)


class Device(NamedTuple):
    """A line of a list; without a page of its own it has no `path`."""

    name: str
    told: str
    path: str | None


def _busy(device: Mapping[str, Any]) -> Device:
    told = f"{figures.size(device['bytes'])}, {quantity(device['messages'], 'messages')}"
    if device["registered"]:
        return Device(device["device"], told, f"/things/{device['device']}")
    return Device(device["device"], f"{told}, not registered", None)


def _strange(device: Mapping[str, Any]) -> Device:
    return Device(
        device["device"], f"{device['behaviorName']}: {device['summary']}", f"/alarms/{device['violationId']}"
    )
