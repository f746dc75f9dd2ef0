"""Alarms: who violates what, now and before."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.pages import lookup, violation
from fleetward.console.pages.violation_words import VERIFICATIONS, standing, verification
from fleetward.console.parts import forms
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.moment import millis
from fleetward.console.parts.notices import empty
from fleetward.console.shell import page

LIVE_SECONDS = 5

COLUMNS = (
    Column("device", "Device", "link"),
    Column("state", "State", "state"),
    Column("why", "Why"),
    Column("profile", "Security profile", "link"),
    Column("verified", "Verification", "state"),
    Column("raised", "Raised", "time"),
)
TABS = {
    "OPEN": ("Active", COLUMNS),
    "ENDED": ("History", (*COLUMNS, Column("ended", "Ended", "time"))),
}
"""By the status that is asked for: the tab's title, and what it shows."""

TYPES = {"STATISTICAL": "Statistical threshold", "STATIC": "Fixed limit"}


@page("/alarms", "Alarms")
async def alarms(operator: Operator, thing: str = "", profile: str = "", status: str = "OPEN") -> None:
    """The query narrows it, so that other pages can link to the alarms of a thing or a profile."""
    chosen = _Chosen(operator, status if status in TABS else "OPEN", thing, profile)
    await chosen.draw()
    ui.timer(LIVE_SECONDS, chosen.refresh, immediate=False)


@page("/alarms/{violation_id}", "Alarm")
async def alarm(operator: Operator, violation_id: str) -> None:
    await violation.show(operator, violation_id)


class _Chosen:
    """The alarms that the tab and the filters choose."""

    def __init__(self, operator: Operator, status: str, thing: str, profile: str) -> None:
        self._operator, self._status = operator, status
        self._filters = {"thingName": thing, "securityProfileName": profile}
        self._listing: Listing | None = None

    async def draw(self) -> None:
        with ui.tabs().props("no-caps align=left dense aria-label=Alarms") as tabs:
            for status, (title, _) in TABS.items():
                ui.tab(status, title)
        tabs.set_value(self._status)
        tabs.on_value_change(self._switch)
        with ui.element("div").classes("toolbar filters"):
            await self._draw_filters()
        self._place = ui.element("div")
        await self._draw_listing()

    async def refresh(self) -> None:
        if self._listing is not None:
            await self._listing.refresh()

    async def _draw_filters(self) -> None:
        device = ui.input("Device (whole name)", value=self._filters["thingName"])
        device.props("outlined dense clearable debounce=400 maxlength=128")
        device.on_value_change(lambda event: self._narrow(thingName=(event.value or "").strip()))
        chosen = self._filters["securityProfileName"]
        # The alarms of a profile that is gone are found by typing its name.
        profile = ui.select(
            {chosen: chosen} if chosen else {},
            value=chosen or None,
            label="Security profile",
            new_value_mode="add-unique",
        )
        # Nobody has to be allowed to list them to see alarms.
        if self._operator.may("iot", "ListSecurityProfiles"):
            await forms.looked_up(profile, lambda text: lookup.profiles(self._operator, text))()
        self._narrows(profile, "securityProfileName")
        self._narrows(ui.select(TYPES, label="Type"), "behaviorCriteriaType")
        self._narrows(ui.select(dict(VERIFICATIONS), label="Verification"), "verificationState")

    def _narrows(self, choice: ui.select, parameter: str) -> None:
        choice.props("outlined dense clearable")
        choice.on_value_change(lambda event: self._narrow(**{parameter: event.value}))

    async def _switch(self, event: Any) -> None:
        self._status = event.value
        await self._draw_listing()

    async def _narrow(self, **wanted: Any) -> None:
        self._filters.update(wanted)
        if self._listing is not None:
            await self._listing.show(**self._asked())

    async def _draw_listing(self) -> None:
        _, columns = TABS[self._status]
        self._place.clear()
        with self._place:
            asked = ("fleetward", "ListViolations", "violations")
            self._listing = Listing(self._operator, columns, _row, *asked, _nothing)
            await self._listing.show(status=self._status, **self._asked())

    def _asked(self) -> dict[str, Any]:
        return {name: value or None for name, value in self._filters.items()}


def _row(found: dict[str, Any]) -> Row:
    state, tone = standing(found)
    verified, verified_tone = verification(found["verificationState"])
    return {
        "key": found["violationId"],
        "device": found["thingName"],
        "device_href": f"/console/alarms/{found['violationId']}",
        "state": state,
        "state_tone": tone,
        "why": f"{found['behaviorName']}: {found['explanation']}",
        "profile": found["securityProfileName"],
        "profile_href": f"/console/profiles/{found['securityProfileName']}",
        "verified": verified,
        "verified_tone": verified_tone,
        "raised": millis(found["startTime"]),
        "ended": millis(found.get("endTime")),
    }


def _nothing() -> None:
    empty(
        "No alarms here",
        "An alarm is raised when a device breaks a behavior of a security profile that is attached to it; it is shown"
        " here within a few seconds. Filters may hide some.",
        "verified_user",
    )
