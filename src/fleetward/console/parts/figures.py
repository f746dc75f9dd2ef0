"""Numbers with their units, as people read them."""

from __future__ import annotations

from nicegui import ui

UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def size(amount: float, each: str = "") -> str:
    """1500 → "1.5 kB"; `each` is put behind, such as "/s"."""
    for unit, factor in UNITS:
        if amount >= factor:
            return f"{amount / factor:,.1f} {unit}{each}"
    return f"{amount:,.0f} B{each}"


def number(amount: float, each: str = "") -> str:
    """12345.6 → "12,346"; small ones keep a decimal."""
    return f"{amount:,.1f}{each}" if 0 < amount < 10 and amount != int(amount) else f"{amount:,.0f}{each}"


class Tile:
    """One figure with its name; a link to what is behind it."""

    def __init__(self, name: str, target: str | None = None) -> None:
        kind = ui.link(target=target) if target else ui.element("div")
        with kind.classes("card tile") as self._card:
            self._figure = ui.label("–").classes("figure")
            self._name = ui.label(name).classes("quiet")

    def show(self, text: str, bad: bool = False, name: str | None = None) -> None:
        self._figure.set_text(text)
        if name is not None:
            self._name.set_text(name)
        self._card.classes(add="bad" if bad else "", remove="" if bad else "bad")
