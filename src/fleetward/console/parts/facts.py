"""What is known of one thing: names and values."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement


def facts(known: Mapping[str, str | Callable[[], object]], kind: str = "facts card") -> None:
    """A value is a text, or draws itself."""
    with ui.element("dl").classes(kind):
        for name, value in known.items():
            TextElement(tag="dt", text=name)
            with ui.element("dd"):
                ui.label(value) if isinstance(value, str) else value()
