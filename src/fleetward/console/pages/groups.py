"""Thing groups: the list, and making one."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.pages import group, lookup
from fleetward.console.parts import forms
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.notices import empty, told
from fleetward.console.shell import entitle, page

COLUMNS = (Column("name", "Name", "link"),)


@page("/groups", "Thing groups")
async def groups(operator: Operator) -> None:
    async def look(beginning: str | None) -> None:
        await listing.show(namePrefixFilter=beginning)

    with ui.element("div").classes("toolbar"):
        forms.search("Find thing groups by the beginning of their name", look)
        ui.space()
        if operator.may("iot", "CreateThingGroup", thingGroupName="new"):
            ui.button("Create thing group", icon="add", on_click=lambda: create(operator)).props("unelevated no-caps")
    listing = Listing(operator, COLUMNS, _row, "iot", "ListThingGroups", "thingGroups", _nothing)
    await listing.show()


@page("/groups/{name}", "Thing group")
async def one(operator: Operator, name: str) -> None:
    entitle(name)
    await group.draw(operator, name)


async def create(operator: Operator) -> None:
    async def accept() -> None:
        await operator.do(
            "iot",
            "CreateThingGroup",
            thingGroupName=name.value or "",
            parentGroupName=parent.value or None,
            thingGroupProperties={"thingGroupDescription": description.value} if description.value else None,
        )
        told(f"Thing group {name.value} is made.")
        ui.navigate.to(lookup.target("thinggroup", name.value))

    with forms.form("Create thing group", "Create thing group", accept):
        name = forms.field("Thing group name", hint="Letters, digits, - _ and :")
        parent = await forms.picker("Parent group (optional)", lambda text: lookup.groups(operator, text))
        description = forms.field("Description (optional)")


def _row(found: dict[str, Any]) -> Row:
    name = found["groupName"]
    return {"key": name, "name": name, "name_href": lookup.href("thinggroup", name)}


def _nothing() -> None:
    empty(
        "No thing groups here",
        "What is attached to a thing group, a policy or a security profile, holds for all things in it. "
        "Make one with “Create thing group”, such as IsolatedDevices.",
        "folder_special",
    )
