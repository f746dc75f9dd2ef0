"""Writing a policy: as statements in a form, or as JSON, with the server's refusal where it belongs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import ui

from fleetward.console.parts import forms
from fleetward.console.parts.code import Code
from fleetward.errors import Refusal

VERSION = "2012-10-17"

LINE = re.compile(r"\bline (\d+)\b")
QUOTED = re.compile(r"'([^']+)'")


class Editor:
    """The document as text; `explained` marks the line that a refusal speaks of."""

    def __init__(self, text: str) -> None:
        with ui.element("div").classes("stack") as self.place:
            self._code = Code(text, "Policy document", language="JSON", indent="  ").classes("editor")
        self._complaint = ui.element("section").classes("notice bad stack").props("role=alert")
        self._complaint.set_visibility(False)

    @property
    def text(self) -> str:
        return self._code.value or ""

    def show(self, text: str) -> None:
        self._code.set_value(text)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Shows the refusal of a document under it as well as where it is raised to."""
        self._complaint.set_visibility(False)
        self._code.decorations.clear()
        try:
            yield
        except Refusal as refusal:
            self._explain(refusal.message)
            raise

    def _explain(self, message: str) -> None:
        self._complaint.clear()
        with self._complaint:
            ui.label(message)
        self._complaint.set_visibility(True)
        if (line := place_of(message, self.text)) is not None:
            self._code.decorations.append({"kind": "line", "line": line, "class": "broken-line"})


def place_of(message: str, text: str) -> int | None:
    """The line (from 1) that a refusal speaks of: by its number, or by what it quotes."""
    lines = text.splitlines()
    if (number := LINE.search(message)) is not None:
        return int(number[1]) if int(number[1]) <= len(lines) else None
    for quoted in QUOTED.findall(message):
        for place, line in enumerate(lines, 1):
            if f'"{quoted}"' in line:
                return place
    return None


class Statements:
    """Statements, each an action, a resource and whether it is allowed or denied."""

    def __init__(self) -> None:
        self._rows: list[tuple[ui.input, ui.input, ui.radio]] = []
        with ui.element("div").classes("stack") as self.place:
            with ui.element("div").classes("stack") as self._list:
                self._add()
            with ui.row():
                ui.button("Add statement", icon="add", on_click=self._add_below).props("flat no-caps")

    def document(self) -> str:
        """The policy document that the statements make."""
        statements = [
            {"Effect": effect.value, "Action": _many(action.value), "Resource": _many(resource.value)}
            for action, resource, effect in self._rows
        ]
        return json.dumps({"Version": VERSION, "Statement": statements})

    def _add_below(self) -> None:
        with self._list:
            self._add()

    def _add(self) -> None:
        with ui.element("div").classes("statement card") as card:
            action = forms.field("Action", hint="such as iot:Publish or iot:*")
            resource = forms.field("Resource ARN", hint="an ARN, or * for all")
            effect = ui.radio(["Allow", "Deny"], value="Allow").props("inline")
            row = (action, resource, effect)

            def remove() -> None:
                self._rows.remove(row)
                card.delete()

            ui.button(icon="delete", on_click=remove).props("flat round aria-label='Remove this statement'")
        self._rows.append(row)


def _many(written: str) -> str | list[str]:
    """ "a, b" → ["a", "b"]; one alone stays alone."""
    parts = [part for part in re.split(r"[,\s]+", written or "") if part]
    return parts[0] if len(parts) == 1 else parts
