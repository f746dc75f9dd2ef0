"""MENU: what the console shows, one row a page, in the order a person needs them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """`path` is below /console; `module` in console/pages draws it; `icon` is a Material icon."""

    path: str
    title: str
    icon: str
    module: str


MENU = (
    Item("/fleet", "Fleet", "dashboard", "fleet"),
    Item("/profiles", "Security profiles", "policy", "profiles"),
    Item("/things", "Things", "sensors", "things"),
)
