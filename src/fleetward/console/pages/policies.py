"""Policies: the list, and making one by statements or as a document."""

from __future__ import annotations

import json
from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.pages import lookup, policy
from fleetward.console.pages.policy_editor import Editor, Statements
from fleetward.console.parts import forms
from fleetward.console.parts.heading import heading
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.notices import empty, told
from fleetward.console.shell import entitle, page

FORM, DOCUMENT = "Statements", "JSON"


@page("/policies", "Policies")
async def policies(operator: Operator, create: bool = False) -> None:
    if create:
        entitle("Create a policy")
        await _create(operator)
        return
    with ui.element("div").classes("toolbar"):
        ui.space()
        if operator.may("iot", "CreatePolicy", policyName="new"):
            ui.button("Create", icon="add", on_click=lambda: ui.navigate.to("/policies?create=true")).props(
                "unelevated no-caps aria-label='Create policy'"
            )
    columns = (Column("name", "Name", "link"),)
    listing = Listing(operator, columns, _row, "iot", "ListPolicies", "policies", _nothing, "pageSize")
    await listing.show()


@page("/policies/{name}", "Policy")
async def one(operator: Operator, name: str) -> None:
    entitle(name)
    await policy.draw(operator, name)


async def _create(operator: Operator) -> None:
    if not operator.may("iot", "CreatePolicy", policyName="new"):
        empty("You may not create policies", "Ask for a policy that allows iot:CreatePolicy.", "lock")
        return

    async def accept() -> None:
        written = editor.text if kind.value == DOCUMENT else statements.document()
        with editor.explained():
            await operator.do("iot", "CreatePolicy", policyName=name.value or "", policyDocument=written)
        told(f"Policy {name.value} is made.")
        ui.navigate.to(lookup.target("policy", name.value))

    def switch() -> None:
        """What was put together as statements goes on as a document."""
        if kind.value == DOCUMENT:
            editor.show(json.dumps(json.loads(statements.document()), indent=2))
        statements.place.set_visibility(kind.value == FORM)
        editor.place.set_visibility(kind.value == DOCUMENT)

    name = forms.field("Name")
    with ui.element("div").classes("toolbar"):
        heading("Add statements")
        ui.space()
        kind = ui.toggle([FORM, DOCUMENT], value=FORM, on_change=switch).props("no-caps aria-label='How it is written'")
    statements, editor = Statements(), Editor("")
    editor.place.set_visibility(False)
    with ui.row().classes("dialog-buttons"):
        ui.button("Cancel", on_click=lambda: ui.navigate.to("/policies")).props("flat no-caps")
        ui.button("Create", on_click=accept).props("unelevated no-caps")


def _row(found: dict[str, Any]) -> Row:
    name = found["policyName"]
    return {"key": name, "name": name, "name_href": lookup.href("policy", name)}


def _nothing() -> None:
    empty("No policies yet", "A policy says what devices may do. Make one with “Create”.", "policy")
