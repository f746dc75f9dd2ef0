"""Functions: what is done when a message or a schedule says so."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.pages import (
    function_code,
    function_environment,
    function_runs,
    function_test,
    function_triggers,
    lookup,
)
from fleetward.console.pages.function_templates import NEW_ROLE, TEMPLATES, create
from fleetward.console.parts import figures
from fleetward.console.parts.asking import confirm
from fleetward.console.parts.forms import Submit, looked_up, open_form
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.moment import Moment, millis
from fleetward.console.parts.notices import empty
from fleetward.console.shell import entitle, page

A_NEW_ROLE = "A new role with what the template needs"
COLUMNS = (
    Column("name", "Name", "link"),
    Column("description", "Description"),
    Column("runtime", "Runtime"),
    Column("size", "Code size"),
    Column("modified", "Last modified", "time"),
)


@page("/functions", "Functions")
async def functions(operator: Operator) -> None:
    if operator.may("lambda", "CreateFunction", FunctionName="new"):
        with ui.element("div").classes("toolbar"):
            ui.button("Create function", icon="add", on_click=lambda: _create(operator)).props("unelevated no-caps")
    listing = Listing(operator, COLUMNS, _row, "lambda", "ListFunctions", "Functions", _nothing, size="MaxItems")
    await listing.show()


@page("/functions/{name}", "Function")
async def function(operator: Operator, name: str) -> None:
    entitle(name)
    shown = await operator.do("lambda", "GetFunctionConfiguration", FunctionName=name)
    with ui.element("dl").classes("facts card"):
        for title, value in _facts(shown):
            with ui.element("dt"):
                ui.label(title)
            with ui.element("dd"):
                ui.label(value)
        with ui.element("dt"):
            ui.label("Last modified")
        with ui.element("dd"):
            Moment(_modified(shown))
    await function_triggers.draw(operator, name)
    await function_code.draw(operator, name, shown["Handler"])
    await function_environment.draw(operator, name)
    function_test.draw(operator, name)
    await function_runs.draw(operator, name)
    if operator.may("lambda", "DeleteFunction", FunctionName=name):
        delete = ui.button("Delete function", icon="delete", on_click=lambda: _delete(operator, name))
        delete.props("outline no-caps color=negative").classes("section")


def _facts(shown: Any) -> list[tuple[str, str]]:
    facts = [
        ("ARN", shown["FunctionArn"]),
        ("Runtime", shown["Runtime"]),
        ("Handler", shown["Handler"]),
        ("Role", shown["Role"]),
        ("Timeout", f"{shown['Timeout']} s"),
        ("Memory", f"{shown['MemorySize']} MB"),
    ]
    return [("Description", shown["Description"]), *facts] if shown.get("Description") else facts


def _create(operator: Operator) -> None:
    def draw() -> Submit:
        name = ui.input("Function name").props("outlined dense autofocus maxlength=64").classes("wide")
        template = ui.select(list(TEMPLATES), value="Empty handler", label="Start from")
        template.props("outlined dense").classes("wide")
        about = ui.label(TEMPLATES["Empty handler"].about).classes("quiet")
        role = ui.select({NEW_ROLE: A_NEW_ROLE}, value=NEW_ROLE, label="Role", with_input=True)
        role.props("outlined dense").classes("wide")

        async def roles(beginning: str) -> dict[str, str]:
            return {NEW_ROLE: A_NEW_ROLE, **await lookup.role_arns(operator, beginning)}

        def choose() -> None:
            about.set_text(TEMPLATES[template.value].about)
            if not name.value and template.value != "Empty handler":
                name.value = template.value

        template.on_value_change(choose)
        if operator.may("iam", "ListRoles"):
            ui.timer(0, looked_up(role, roles), once=True)

        async def submit() -> None:
            await create(operator, name.value.strip(), TEMPLATES[template.value], role.value)
            ui.navigate.to(f"/functions/{name.value.strip()}")

        return submit

    open_form("Create function", "Create function", draw)


async def _delete(operator: Operator, name: str) -> None:
    consequence = "What is sent to it afterwards is refused. Its log stays until it is too old."
    if await confirm(f"Delete the function {name}?", consequence, "Delete function"):
        await operator.do("lambda", "DeleteFunction", FunctionName=name)
        ui.navigate.to("/functions")


def _row(item: dict[str, Any]) -> Row:
    name = item["FunctionName"]
    return {
        "key": name,
        "name": name,
        "name_href": f"/console/functions/{name}",
        "description": item.get("Description") or "–",
        "runtime": item["Runtime"],
        "size": figures.size(item["CodeSize"]),
        "modified": _modified(item),
    }


def _modified(item: Any) -> int | None:
    return millis(datetime.strptime(item["LastModified"], "%Y-%m-%dT%H:%M:%S.%f%z"))


def _nothing() -> None:
    empty(
        "No functions yet",
        "A function answers an alert, such as by moving the offending device to a group.",
        "functions",
    )
