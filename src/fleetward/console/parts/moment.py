"""A moment, shown in the viewer's zone with the exact UTC on hover."""

from __future__ import annotations

from datetime import datetime

from nicegui import ui

from fleetward.model import Millis


class Moment(ui.element, component="moment.js"):
    def __init__(self, when: Millis | datetime | None) -> None:
        super().__init__()
        self.show(when)

    def show(self, when: Millis | datetime | None) -> None:
        self._props["millis"] = millis(when)
        self.update()


def millis(when: Millis | datetime | None) -> Millis | None:
    """What operations give as a time → epoch milliseconds."""
    return int(when.timestamp() * 1000) if isinstance(when, datetime) else when
