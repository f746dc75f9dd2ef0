"""One thing: what is known of it, whether it is cut off, and tabs for the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.pages import lookup, thing_activity, thing_metrics, thing_security
from fleetward.console.parts import forms
from fleetward.console.parts.asking import ask_reason, confirm
from fleetward.console.parts.facts import facts
from fleetward.console.parts.moment import Moment
from fleetward.console.parts.notices import told
from fleetward.console.parts.redrawn import Redrawn
from fleetward.console.parts.tabbed import Tabbed

LIVE_SECONDS = 5


async def draw(operator: Operator, name: str) -> None:
    state = _State(operator, name)
    await state.place.again()
    tabs = Tabbed(
        {
            "Security": lambda: thing_security.draw(operator, name, state.place.again),
            "Activity": lambda: thing_activity.draw(operator, name),
            "Metrics": lambda: thing_metrics.draw(operator, name),
        }
    )
    await tabs.show()
    ui.timer(LIVE_SECONDS, state.refresh, immediate=False)


class _State:
    """The upper part of the page, drawn again when it changes."""

    def __init__(self, operator: Operator, name: str) -> None:
        self._operator = operator
        self._name = name
        self._shown: tuple[Any, ...] = ()
        self.place = Redrawn(self._draw)

    async def refresh(self) -> None:
        if self._shown != await self._read():
            await self.place.again()

    async def _read(self) -> tuple[Mapping[str, Any], Mapping[str, Any], list[str]]:
        groups = await self._operator.all("iot", "ListThingGroupsForThing", "thingGroups", thingName=self._name)
        return (
            await self._operator.do("iot", "DescribeThing", thingName=self._name),
            await self._operator.do("fleetward", "DescribeDevice", thingName=self._name),
            [group["groupName"] for group in groups],
        )

    async def _draw(self) -> None:
        self._shown = thing, device, groups = await self._read()
        with ui.element("div").classes("badges"):
            _badge("connected" if device["connected"] else "away", "good" if device["connected"] else "")
            if device["isolated"]:
                _badge("isolated", "bad")
            ui.space()
            self._buttons(device["isolated"])
        if device["obstacles"]:
            _warn(device)
        facts(_known(thing, device, groups))

    def _buttons(self, isolated: bool) -> None:
        offered = (
            (isolated, "fleetward", "ReleaseThing", "Release …", self._release, "unelevated"),
            (not isolated, "fleetward", "QuarantineThing", "Isolate …", self._isolate, "unelevated color=negative"),
            (True, "iot", "AddThingToThingGroup", "Add to group …", self._add_to_group, "outline"),
            (True, "iot", "DeleteThing", "Delete …", self._delete, "outline"),
        )
        for fits, service, operation, label, action, props in offered:
            if fits and self._operator.may(service, operation, thingName=self._name):
                ui.button(label, on_click=action).props(f"no-caps {props}")
        ui.link("Alarms", f"/alarms?thing={self._name}")

    async def _isolate(self) -> None:
        consequence = "Its connection is dropped at once, and it cannot connect until it is released."
        await self._measure("QuarantineThing", f"Isolate {self._name}?", consequence, "Isolate", "is isolated")

    async def _release(self) -> None:
        consequence = "It leaves every thing group that denies it to connect, and its open alarms are closed."
        await self._measure("ReleaseThing", f"Release {self._name}?", consequence, "Release", "is released")

    async def _measure(self, operation: str, question: str, consequence: str, action: str, outcome: str) -> None:
        reason = await ask_reason(question, consequence, action, dangerous=operation == "QuarantineThing")
        if reason is not None:
            await self._operator.do("fleetward", operation, thingName=self._name, reason=reason or None)
            told(f"{self._name} {outcome}.")
            await self.place.again()

    async def _add_to_group(self) -> None:
        async def accept() -> None:
            await self._operator.do(
                "iot", "AddThingToThingGroup", thingName=self._name, thingGroupName=group.value or ""
            )
            told(f"{self._name} is in {group.value}.")
            await self.place.again()

        with forms.form(f"Add {self._name} to a thing group", "Add", accept):
            group = await forms.picker("Thing group", lambda text: lookup.groups(self._operator, text))

    async def _delete(self) -> None:
        consequence = (
            "The registration, its memberships and what its shadow holds are gone; a device that uses its name stays "
            "connected, but thing group policies no longer bind it. Its certificates must be detached before."
        )
        if await confirm(f"Delete {self._name}?", consequence, "Delete"):
            await self._operator.do("iot", "DeleteThing", thingName=self._name)
            told(f"{self._name} is deleted.")
            ui.navigate.to("/things")


def _badge(text: str, tone: str) -> None:
    ui.label(text).classes(f"state {tone}")


def _warn(device: Mapping[str, Any]) -> None:
    title = (
        "The isolation may not bind this device" if device["isolated"] else "An isolation could not bind this device"
    )
    with ui.element("section").classes("notice warn stack").props("role=alert"):
        ui.label(title).classes("dialog-title")
        for obstacle in device["obstacles"]:
            ui.label(obstacle)


def _known(
    thing: Mapping[str, Any], device: Mapping[str, Any], groups: list[str]
) -> dict[str, str | Callable[[], object]]:
    attributes = thing.get("attributes") or {}
    return {
        "Connection": lambda: _connection(device),
        **({"Isolated since": lambda: Moment(device["isolatedSince"])} if device.get("isolatedSince") else {}),
        "Thing groups": (lambda: _links(groups)) if groups else "none",
        "Thing type": thing.get("thingTypeName") or "none",
        "Attributes": ", ".join(f"{key}={value}" for key, value in attributes.items()) or "none",
        "Thing ID": thing["thingId"],
        "ARN": thing["thingArn"],
        "Version": str(thing["version"]),
    }


def _connection(device: Mapping[str, Any]) -> None:
    if device.get("since") is None:
        ui.label("not seen since the server started")
        return
    with ui.row().classes("badges-line"):
        ui.label("connected since" if device["connected"] else "disconnected")
        Moment(device["since"])
        ui.label(f"from {device['sourceIp']} as {device['clientId']}")
        if device.get("disconnectReason"):
            ui.label(f"({device['disconnectReason']})").classes("quiet")


def _links(groups: list[str]) -> None:
    with ui.row().classes("badges-line"):
        for group in groups:
            ui.link(group, lookup.target("thinggroup", group))
