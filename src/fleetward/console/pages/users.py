"""Users: who signs in, with what role, password and access keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from fleetward import errors
from fleetward.console.operator import Operator
from fleetward.console.pages import users_roles
from fleetward.console.pages.users_password import RULES, password_field
from fleetward.console.pages.users_roles import PREFIX, ROLES
from fleetward.console.parts.asking import confirm
from fleetward.console.parts.heading import heading
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.moment import Moment, millis
from fleetward.console.parts.notices import empty, told
from fleetward.console.shell import entitle, page

COLUMNS = (Column("name", "User name", "link"), Column("created", "Created", "time"), Column("arn", "ARN", "code"))


@page("/users", "Users")
async def users(operator: Operator) -> None:
    if operator.may("iam", "CreateUser", UserName="a"):
        with ui.element("div").classes("toolbar"):
            ui.button("Create user", icon="person_add", on_click=lambda: _ask_new(operator)).props("unelevated no-caps")
    listing = Listing(operator, COLUMNS, _row, "iam", "ListUsers", "Users", _nothing, size="MaxItems")
    await listing.show()


@page("/users/{name}", "User")
async def user(operator: Operator, name: str) -> None:
    shown = (await operator.do("iam", "GetUser", UserName=name))["User"]
    entitle(shown["UserName"])
    with ui.element("dl").classes("facts card"):
        for title, value in (("ARN", shown["Arn"]), ("Created", shown["CreateDate"])):
            with ui.element("dt"):
                ui.label(title)
            with ui.element("dd"):
                ui.label(value) if title == "ARN" else Moment(value)
    with ui.element("div").classes("halves"):
        with ui.element("section").classes("card stack"):
            await _draw_role(operator, name)
        with ui.element("section").classes("card stack"):
            await _draw_password(operator, name)
    with ui.element("section").classes("card apart"):
        await _draw_keys(operator, name)
    if operator.may("iam", "DeleteUser", UserName=name):
        with ui.element("div").classes("toolbar apart"):
            ui.button("Delete user …", color="negative", on_click=lambda: _delete(operator, name)).props(
                "outline no-caps"
            )


def _row(shown: Mapping[str, Any]) -> Row:
    name = shown["UserName"]
    return {
        "key": name,
        "name": name,
        "name_href": f"/console/users/{name}",
        "created": millis(shown["CreateDate"]),
        "arn": shown["Arn"],
    }


def _nothing() -> None:
    empty("No users yet", "The root access key may everything; give each person a user and a role instead.", "group")


# --- a new user -------------------------------------------------------------------------------------------------------


def _ask_new(operator: Operator) -> None:
    with ui.dialog() as dialog, ui.card().classes("dialog"):
        ui.label("Create user").classes("dialog-title").props("role=heading aria-level=2")
        name = ui.input("User name").props("outlined dense autofocus maxlength=64").classes("wide")
        password = password_field("Console password")
        ui.label(RULES).classes("quiet")
        must_change = ui.checkbox("Must be changed at the first sign-in", value=True)
        role = ui.radio(dict(ROLES), value=f"{PREFIX}FleetwardViewer").props("aria-label=Role")

        async def create() -> None:
            await _create(operator, name.value.strip(), password.value, bool(must_change.value), role.value)
            dialog.close()
            ui.navigate.to(f"/users/{name.value.strip()}")

        with ui.row().classes("dialog-buttons"):
            ui.button("Cancel", on_click=dialog.close).props("flat no-caps")
            ui.button("Create", on_click=create).props("unelevated no-caps")
    dialog.open()


async def _create(operator: Operator, name: str, password: str, must_change: bool, role: str) -> None:
    """All of it or nothing."""
    await operator.do("iam", "CreateUser", UserName=name)
    try:
        await operator.do(
            "iam", "CreateLoginProfile", UserName=name, Password=password, PasswordResetRequired=must_change
        )
        await users_roles.give(operator, name, role)
    except errors.Refusal:
        await users_roles.remove(operator, name)
        raise


async def _delete(operator: Operator, name: str) -> None:
    consequence = "Its sessions end at once, its access keys stop working. What it did stays on the audit trail."
    if await confirm(f"Delete {name}?", consequence, "Delete user"):
        await users_roles.remove(operator, name)
        ui.navigate.to("/users")


# --- role and password ------------------------------------------------------------------------------------------------


async def _draw_role(operator: Operator, name: str) -> None:
    heading("Role")
    role, others = await users_roles.role_of(operator, name)
    may = operator.may("iam", "AttachUserPolicy", UserName=name, PolicyArn=f"{PREFIX}FleetwardViewer")
    if not may:
        ui.label(ROLES[role])
    else:
        chosen = ui.radio(dict(ROLES), value=role).props("aria-label=Role")

        async def save() -> None:
            await users_roles.give(operator, name, chosen.value)
            told(f"{name} is now: {ROLES[chosen.value].split(' – ')[0]}.")

        ui.button("Save role", on_click=save).props("unelevated no-caps")
    if others:
        ui.label(f"Further policies attached: {', '.join(others)}").classes("quiet")


async def _draw_password(operator: Operator, name: str) -> None:
    heading("Console password")
    try:
        profile: Mapping[str, Any] | None = (await operator.do("iam", "GetLoginProfile", UserName=name))["LoginProfile"]
    except errors.NoSuchEntity:
        profile = None
    if profile is None:
        ui.label("None: this user cannot sign in with a password.")
    else:
        ui.label("Must be changed at the next sign-in." if profile["PasswordResetRequired"] else "Set.")
    if not operator.may("iam", "UpdateLoginProfile", UserName=name):
        return
    password, operation = (
        password_field("New password"),
        "CreateLoginProfile" if profile is None else "UpdateLoginProfile",
    )
    ui.label(RULES).classes("quiet")
    must_change = ui.checkbox("Must be changed at the next sign-in", value=True)

    async def save() -> None:
        await operator.do(
            "iam", operation, UserName=name, Password=password.value, PasswordResetRequired=must_change.value
        )
        ui.navigate.reload()

    async def remove() -> None:
        if await confirm(f"Take {name}'s password away?", "Sessions opened with it end at once.", "Remove password"):
            await operator.do("iam", "DeleteLoginProfile", UserName=name)
            ui.navigate.reload()

    with ui.element("div").classes("toolbar"):
        ui.button("Set password", on_click=save).props("unelevated no-caps")
        if profile is not None:
            ui.button("Remove password …", on_click=remove).props("flat no-caps color=negative")


# --- access keys ------------------------------------------------------------------------------------------------------


async def _draw_keys(operator: Operator, name: str) -> None:
    heading("Access keys")
    keys = await operator.all("iam", "ListAccessKeys", "AccessKeyMetadata", UserName=name)
    if not keys:
        ui.label("None. They are for programs: the AWS CLI, boto3.").classes("quiet")
    for key in keys:
        with ui.element("div").classes("line"):
            _draw_key(operator, name, key)
    if operator.may("iam", "CreateAccessKey", UserName=name):
        with ui.element("div").classes("toolbar"):
            ui.button("Create access key", on_click=lambda: _new_key(operator, name)).props("outline no-caps")


def _draw_key(operator: Operator, name: str, key: Mapping[str, Any]) -> None:
    identity, active = key["AccessKeyId"], key["Status"] == "Active"
    ui.label(identity).classes("mono")
    ui.label(key["Status"]).classes(f"state {'good' if active else ''}")
    with ui.element("span").classes("quiet"):
        Moment(key["CreateDate"])
    if not operator.may("iam", "DeleteAccessKey", UserName=name, AccessKeyId=identity):
        return

    async def switch() -> None:
        status = "Inactive" if active else "Active"
        await operator.do("iam", "UpdateAccessKey", UserName=name, AccessKeyId=identity, Status=status)
        ui.navigate.reload()

    async def delete() -> None:
        if await confirm(f"Delete {identity}?", "Programs that use it are refused from now on.", "Delete access key"):
            await operator.do("iam", "DeleteAccessKey", UserName=name, AccessKeyId=identity)
            ui.navigate.reload()

    ui.space()
    ui.button("Deactivate" if active else "Activate", on_click=switch).props("flat dense no-caps")
    ui.button("Delete …", on_click=delete).props("flat dense no-caps color=negative")


async def _new_key(operator: Operator, name: str) -> None:
    key = (await operator.do("iam", "CreateAccessKey", UserName=name))["AccessKey"]
    with ui.dialog().props("persistent") as dialog, ui.card().classes("dialog"):
        ui.label("The secret is shown only now").classes("dialog-title").props("role=heading aria-level=2")
        with ui.element("dl").classes("facts secret-once"):
            for title, value in (("Access key ID", key["AccessKeyId"]), ("Secret access key", key["SecretAccessKey"])):
                with ui.element("dt"):
                    ui.label(title)
                with ui.element("dd").classes("mono"):
                    ui.label(value)
        ui.label("Copy it to a safe place; who loses it makes another key.")
        with ui.row().classes("dialog-buttons"):
            ui.button("I have copied it", on_click=ui.navigate.reload).props("unelevated no-caps")
    dialog.open()
