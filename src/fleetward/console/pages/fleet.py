"""The fleet at a glance."""

from __future__ import annotations

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.shell import page


@page("/fleet", "Fleet")
async def fleet(operator: Operator) -> None:
    things = await operator.all("iot", "ListThings", "things", most=10)
    ui.label(f"{len(things)} things")
