"""One's own password."""

from __future__ import annotations

from nicegui import ui

from fleetward import errors
from fleetward.console.operator import Operator
from fleetward.console.parts.notices import empty
from fleetward.console.sessions import WITH_PASSWORD
from fleetward.console.shell import page

RULES = "8 to 128 characters, at least 3 of uppercase, lowercase, numbers and symbols, and not the user's name."


@page("/password", "Change my password")
async def password(operator: Operator) -> None:
    if operator.session.key.id != WITH_PASSWORD:
        empty("You signed in with an access key", "It has no password; make another key on its user's page.", "key")
        return
    with ui.element("section").classes("card stack"):
        old, new, again = (
            password_field(label) for label in ("Current password", "New password", "New password again")
        )
        ui.label(RULES).classes("quiet")

        async def change() -> None:
            if new.value != again.value:
                raise errors.Validation("The two new passwords differ.")
            await operator.do("iam", "ChangePassword", OldPassword=old.value, NewPassword=new.value)
            ui.navigate.to("/sign-in")

        with ui.element("div").classes("toolbar"):
            ui.button("Change password", on_click=change).props("unelevated no-caps")
        ui.label("You are signed out everywhere, and sign in again with the new one.").classes("quiet")


def password_field(label: str) -> ui.input:
    kind = "current-password" if label.startswith("Current") else "new-password"
    field = ui.input(label, password=True).props(f"outlined dense autocomplete={kind} maxlength=128")
    field.classes("wide")
    return field
