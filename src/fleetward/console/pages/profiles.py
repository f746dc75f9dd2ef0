"""Security profiles: what is watched, and what lint says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from fleetward.alarm import words
from fleetward.console import condition
from fleetward.console.operator import Operator
from fleetward.console.pages import profile_lint
from fleetward.console.pages.profile_steps import target_label
from fleetward.console.pages.profile_wizard import CREATE, stored_draft
from fleetward.console.parts.asking import confirm
from fleetward.console.parts.figures import Tile
from fleetward.console.parts.heading import heading
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.notices import empty, told
from fleetward.console.profile_draft import Draft
from fleetward.console.shell import entitle, page
from fleetward.meter.metrics import METRICS

COLUMNS = (
    Column("name", "Name", "link"),
    Column("behaviors", "Behaviors"),
    Column("targets", "Targets"),
    Column("alerts", "Alerts"),
    Column("lint", "Lint", "state"),
)
MARK_SECONDS = 2.0
COUNTED = 250


@page("/profiles", "Security profiles")
async def profiles(operator: Operator) -> None:
    may_create = operator.may("iot", "CreateSecurityProfile", securityProfileName="any")
    with ui.element("div").classes("toolbar") as toolbar:
        if may_create:
            _create_button("Create security profile")
    listing = Listing(
        operator,
        COLUMNS,
        _row,
        "iot",
        "ListSecurityProfiles",
        "securityProfileIdentifiers",
        lambda: _nothing(may_create),
    )
    await listing.show()
    toolbar.set_visibility(bool(listing.rows))

    async def mark() -> None:
        """One row after the other, so that the list itself never waits."""
        for row in listing.rows:
            if row["lint"] == profile_lint.WAITING:
                listing.amend(row["key"], lint="looking …")
                listing.amend(row["key"], **await _marks(operator, row["key"]))

    ui.timer(MARK_SECONDS, mark)


@page("/profiles/{name}", "Security profile")
async def profile(operator: Operator, name: str) -> None:
    entitle(name)
    draft = await stored_draft(operator, name)
    with ui.element("div").classes("toolbar"):
        _buttons(operator, draft)
    with ui.element("div").classes("tiles"):
        await _open_alarms(operator, name)
    heading("Behaviors")
    for one in draft.conditions:
        with ui.element("section").classes("card behavior"):
            heading(one.name, 3)
            ui.label(condition.alarm_sentence(one, draft.margin_percent))
            ui.label(f"Stored as the expected behavior: {condition.normal_sentence(one)}").classes("quiet")
            if one.suppress_alerts:
                ui.label("Record only: sends no alerts.").classes("quiet")
    if not draft.conditions:
        ui.label("It has no behaviors: it only retains metrics.").classes("quiet")
    heading("Lint")
    with ui.element("div").classes("card") as advice:
        ui.label("Looking …").classes("quiet")
    heading("Alerts, metrics and targets")
    _facts(draft)

    async def show_advice() -> None:
        found = await profile_lint.advice(operator, draft)
        advice.clear()
        with advice:
            _advice(found)

    ui.timer(0, show_advice, once=True)


# --- the list ---------------------------------------------------------------------------------------------------------


def _row(profile: Mapping[str, Any]) -> Row:
    name = profile["name"]
    return {
        "key": name,
        "name": name,
        "name_href": f"/console/profiles/{name}",
        "behaviors": "…",
        "targets": "…",
        "alerts": "…",
        "lint": profile_lint.WAITING,
    }


async def _marks(operator: Operator, name: str) -> Row:
    if not operator.may("iot", "DescribeSecurityProfile", securityProfileName=name):
        return {"behaviors": "–", "targets": "–", "alerts": "–", "lint": "–"}
    draft = await stored_draft(operator, name)
    text, tone = profile_lint.mark(await profile_lint.advice(operator, draft))
    return {
        "behaviors": words.listed(one.name for one in draft.conditions) or "None",
        "targets": words.listed(map(target_label, draft.targets)) or "None",
        "alerts": draft.topic_arn.rsplit(":", 1)[-1] if draft.topic_arn else "None",
        "lint": text,
        "lint_tone": tone,
    }


def _nothing(may_create: bool) -> None:
    with empty(
        "No security profiles yet",
        "A security profile says what is unusual for a group of devices, and who is told when one of them does it.",
        "policy",
    ):
        if may_create:
            _create_button("Create your first security profile")


def _create_button(text: str) -> None:
    ui.button(text, icon="add", on_click=lambda: ui.navigate.to(CREATE)).props("unelevated no-caps")


# --- one profile ------------------------------------------------------------------------------------------------------


def _buttons(operator: Operator, draft: Draft) -> None:
    name = draft.name

    async def delete() -> None:
        if await confirm(
            f"Delete {name}?",
            "Its behaviors are no longer watched for, from this moment, and its open alarms end without being cleared. "
            "Violations that were recorded stay on record.",
            "Delete",
        ):
            await operator.do("iot", "DeleteSecurityProfile", securityProfileName=name, expectedVersion=draft.version)
            told(f"Security profile {name} is deleted.")
            ui.navigate.to("/profiles")

    if operator.may("iot", "UpdateSecurityProfile", securityProfileName=name):
        edit = ui.button("Edit", icon="edit", on_click=lambda: ui.navigate.to(f"/profiles/{name}/edit"))
        edit.props("unelevated no-caps")
    if operator.may("iot", "DeleteSecurityProfile", securityProfileName=name):
        ui.button("Delete …", on_click=delete).props("outline no-caps color=negative")


async def _open_alarms(operator: Operator, name: str) -> None:
    if not operator.may("iot", "ListActiveViolations", securityProfileName=name):
        return
    found, more = await operator.page(
        "iot", "ListActiveViolations", "activeViolations", securityProfileName=name, maxResults=COUNTED
    )
    tile = Tile("Open alarms", f"/alarms?profile={name}")
    tile.show(f"{len(found):,}{'+' if more else ''}", bad=bool(found))


def _advice(found: Sequence[Mapping[str, Any]] | None) -> None:
    if found is None:
        ui.label("You may not lint security profiles.").classes("quiet")
    elif not found:
        ui.label("Nothing to say about it.").classes("quiet")
    for one in found or ():
        with ui.element("div").classes("line advice-line"):
            ui.label(one["level"]).classes("state warn" if one["level"] == "warning" else "state")
            ui.label(f"{one['behaviorName']}: {one['text']}")


def _facts(draft: Draft) -> None:
    metrics = [*draft.retained, *(entry["metric"] for entry in draft.retained_apart)]
    retained = ", ".join(METRICS[metric].label if metric in METRICS else metric for metric in metrics)
    with ui.element("dl").classes("facts card"):
        if draft.description:
            _fact("Description", draft.description)
        if draft.topic_arn:
            _fact("SNS topic", draft.topic_arn, "/topics")
            _fact("IAM role", draft.role_arn or "")
        else:
            _fact("SNS topic", "None: alarms are only recorded")
        _fact("Additional metrics to retain", retained or "None")
        for target in draft.targets:
            group = target.rsplit("/", 1)[-1] if ":thinggroup/" in target else ""
            _fact("Target", target_label(target), f"/groups/{group}" if group else "")
        if not draft.targets:
            _fact("Targets", "None: it watches nothing yet")
        if draft.margin_percent and draft.is_statistical:
            _fact("Margin", f"{draft.margin_percent:g} %: a device is flagged only when it is off by more than this.")
        if draft.mitigation_actions:
            _fact("Mitigation actions", f"{', '.join(draft.mitigation_actions)}: run when a device alarms.")
        if draft.export_topic:
            _fact("Metrics export", f"to the MQTT topic {draft.export_topic}, as {draft.export_role}")
        for key, value in draft.tags.items():
            _fact(f"Tag {key}", value)
        _fact("Version", f"{draft.version}")


def _fact(name: str, value: str, link: str = "") -> None:
    with ui.element("dt"):
        ui.label(name)
    with ui.element("dd"):
        ui.link(value, link) if link else ui.label(value)
