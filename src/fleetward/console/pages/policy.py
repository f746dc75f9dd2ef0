"""One policy: its document, its versions, and what it is attached to."""

from __future__ import annotations

import json
from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.pages import lookup
from fleetward.console.pages.policy_editor import Editor
from fleetward.console.parts import forms
from fleetward.console.parts.asking import confirm
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.moment import Moment
from fleetward.console.parts.notices import empty, told
from fleetward.console.parts.tabbed import Tabbed

KINDS = {"thinggroup": "thing group", "cert": "certificate"}


async def draw(operator: Operator, name: str) -> None:
    await _Policy(operator, name).draw()


class _Policy:
    def __init__(self, operator: Operator, name: str) -> None:
        self._operator, self._name = operator, name
        self._arn = ""

    def _may(self, operation: str, **params: Any) -> bool:
        return self._operator.may("iot", operation, policyName=self._name, **params)

    async def draw(self) -> None:
        policy = await self._operator.do("iot", "GetPolicy", policyName=self._name)
        self._arn = policy["policyArn"]
        with ui.element("div").classes("badges"):
            ui.label(self._arn).classes("quiet")
            ui.space()
            if self._may("DeletePolicy"):
                ui.button("Delete …", on_click=self._delete).props("outline no-caps")
        self._tabs = Tabbed(
            {"Document": self._draw_document, "Versions": self._draw_versions, "Targets": self._draw_targets}
        )
        await self._tabs.show()

    async def _delete(self) -> None:
        consequence = "It must be attached to nothing, and its other versions deleted, before. This cannot be undone."
        if await confirm(f"Delete {self._name}?", consequence, "Delete"):
            await self._operator.do("iot", "DeletePolicy", policyName=self._name)
            told(f"{self._name} is deleted.")
            ui.navigate.to("/policies")

    # --- the document -------------------------------------------------------------------------------------------------

    async def _draw_document(self) -> None:
        policy = await self._operator.do("iot", "GetPolicy", policyName=self._name)
        text = _pretty(policy["policyDocument"])
        if not self._may("CreatePolicyVersion"):
            _source(text)
            return
        editor = Editor(text)

        async def save() -> None:
            with editor.explained():
                await self._operator.do(
                    "iot",
                    "CreatePolicyVersion",
                    policyName=self._name,
                    policyDocument=editor.text,
                    setAsDefault=default.value,
                )
            told(f"A new version of {self._name} is saved.")
            await self._tabs.again("Versions")

        with ui.row().classes("dialog-buttons"):
            default = ui.checkbox("Set as default: it binds at once", value=True)
            ui.button("Save as new version", on_click=save).props("unelevated no-caps")

    # --- versions -----------------------------------------------------------------------------------------------------

    async def _draw_versions(self) -> None:
        answer = await self._operator.do("iot", "ListPolicyVersions", policyName=self._name)
        for version in answer["policyVersions"]:
            self._draw_version(version["versionId"], version["isDefaultVersion"], version["createDate"])

    def _draw_version(self, number: str, is_default: bool, made: Any) -> None:
        with ui.element("div").classes("line"):
            ui.label(f"Version {number}")
            Moment(made)
            if is_default:
                ui.label("default").classes("state good")
            ui.space()
            ui.button("Show", on_click=lambda: self._show(number)).props(f"flat dense no-caps {_named('Show', number)}")
            if not is_default and self._may("SetDefaultPolicyVersion"):
                ui.button("Set as default", on_click=lambda: self._set_default(number)).props(
                    f"flat dense no-caps {_named('Set as default', number)}"
                )
            if not is_default and self._may("DeletePolicyVersion"):
                ui.button("Delete", on_click=lambda: self._delete_version(number)).props(
                    f"flat dense no-caps {_named('Delete', number)}"
                )

    async def _show(self, number: str) -> None:
        version = await self._operator.do("iot", "GetPolicyVersion", policyName=self._name, policyVersionId=number)
        with ui.dialog() as dialog, ui.card().classes("dialog"):
            ui.label(f"Version {number}").classes("dialog-title").props("role=heading aria-level=2")
            _source(_pretty(version["policyDocument"]))
            with ui.row().classes("dialog-buttons"):
                ui.button("Close", on_click=dialog.close).props("flat no-caps")
        dialog.on("hide", dialog.delete)
        dialog.open()

    async def _set_default(self, number: str) -> None:
        consequence = "It binds every target at once: connections that it denies are dropped."
        if await confirm(f"Set version {number} as default?", consequence, "Set as default", dangerous=False):
            await self._operator.do("iot", "SetDefaultPolicyVersion", policyName=self._name, policyVersionId=number)
            told(f"Version {number} is the default.")
            await self._tabs.again("Versions")
            await self._tabs.again("Document")

    async def _delete_version(self, number: str) -> None:
        if await confirm(f"Delete version {number}?", "This cannot be undone.", "Delete"):
            await self._operator.do("iot", "DeletePolicyVersion", policyName=self._name, policyVersionId=number)
            await self._tabs.again("Versions")

    # --- targets ------------------------------------------------------------------------------------------------------

    async def _draw_targets(self) -> None:
        may_detach = self._may("DetachPolicy", target=self._arn)
        with ui.element("div").classes("toolbar"):
            ui.space()
            if self._may("AttachPolicy", target=self._arn):
                ui.button("Attach to thing group …", on_click=self._attach).props("outline no-caps")
        columns = [Column("name", "Target", "link"), Column("kind", "Kind")]
        columns += [Column("detach", "", "action")] if may_detach else []
        self._targets = Listing(
            self._operator, columns, _target_row, "iot", "ListTargetsForPolicy", "targets", _no_targets, "pageSize",
            self._detach, policyName=self._name,
        )  # fmt: skip
        await self._targets.show()

    async def _attach(self) -> None:
        async def accept() -> None:
            target = lookup.sibling(self._arn, "thinggroup", group.value or "")
            await self._operator.do("iot", "AttachPolicy", policyName=self._name, target=target)
            told(f"{self._name} is attached to {group.value}.")
            await self._targets.refresh()

        with forms.form(f"Attach {self._name} to a thing group", "Attach", accept):
            group = await forms.picker("Thing group", lambda text: lookup.groups(self._operator, text))

    async def _detach(self, row: Row) -> None:
        if await confirm(f"Detach {self._name}?", f"It no longer binds {row['name']}.", "Detach"):
            target = row["arn"]
            await self._operator.do("iot", "DetachPolicy", policyName=self._name, target=target)
            told(f"{self._name} is detached.")
            await self._targets.refresh()


def _pretty(text: str) -> str:
    """A document in one line is laid out; one that somebody laid out stays as it is."""
    return text if "\n" in text else json.dumps(json.loads(text), indent=2, ensure_ascii=False)


def _source(text: str) -> None:
    with ui.element("pre").classes("source card"):
        ui.label(text)


def _named(action: str, number: str) -> str:
    return f"aria-label='{action} version {number}'"


def _target_row(arn: str) -> Row:
    kind, name = lookup.named(arn)
    return {
        "key": name,
        "arn": arn,
        "name": name if len(name) <= 32 else f"{name[:32]}…",
        "name_href": lookup.href(kind, name),
        "kind": KINDS.get(kind, kind),
        "detach": "Detach",
    }


def _no_targets() -> None:
    empty("Attached to nothing", "It binds nobody until it is attached to a thing group or a certificate.", "policy")
