"""Asking before something is done that others will feel."""

from __future__ import annotations

from nicegui import ui


async def confirm(question: str, consequence: str, action: str, dangerous: bool = True) -> bool:
    """Whether the person wants it; the consequence says what will happen, `action` is on the button."""
    with ui.dialog() as dialog, ui.card().classes("dialog"):
        ui.label(question).classes("dialog-title").props("role=heading aria-level=2")
        ui.label(consequence)
        _buttons(dialog, action, lambda: dialog.submit(True), dangerous)
    dialog.on("hide", dialog.delete)  # then only: closing gives the focus back to the button that opened it
    return bool(await dialog)


async def ask_reason(question: str, consequence: str, action: str, dangerous: bool = True) -> str | None:
    """The reason they give, which goes on the audit trail; None when they do not want it."""
    with ui.dialog() as dialog, ui.card().classes("dialog"):
        ui.label(question).classes("dialog-title").props("role=heading aria-level=2")
        ui.label(consequence)
        reason = (
            ui.input("Reason (for the audit trail)").props("outlined dense autofocus maxlength=256").classes("wide")
        )
        reason.on("keydown.enter", lambda: dialog.submit(reason.value or ""))
        _buttons(dialog, action, lambda: dialog.submit(reason.value or ""), dangerous)
    dialog.on("hide", dialog.delete)
    answer = await dialog
    return answer if isinstance(answer, str) else None


def _buttons(dialog: ui.dialog, action: str, accept: object, dangerous: bool) -> None:
    with ui.row().classes("dialog-buttons"):
        ui.button("Cancel", on_click=lambda: dialog.submit(None)).props("flat no-caps")
        ui.button(action, on_click=accept, color="negative" if dangerous else "primary").props("unelevated no-caps")  # type: ignore[arg-type]
