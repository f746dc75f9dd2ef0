"""Headings that assistive technology knows as headings."""

from __future__ import annotations

from nicegui.elements.mixins.text_element import TextElement


def heading(text: str, level: int = 2) -> TextElement:
    return TextElement(tag=f"h{level}", text=text)
