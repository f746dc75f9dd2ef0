"""A thing's Activity tab: when it came and went, from where, and why it was refused."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.pages import lookup
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.moment import millis
from fleetward.console.parts.notices import empty

LIVE_SECONDS = 3

COLUMNS = (
    Column("time", "Time", "time"),
    Column("event", "Event", "state"),
    Column("reason", "Reason"),
    Column("address", "From"),
    Column("client", "Client ID", "code"),
    Column("certificate", "Certificate", "link"),
)

TONES = {"connected": "good", "refused": "bad"}


async def draw(operator: Operator, name: str) -> None:
    listing = Listing(operator, COLUMNS, _row, "fleetward", "ListActivity", "activity", _nothing, thingName=name)
    await listing.show()
    ui.timer(LIVE_SECONDS, listing.refresh, immediate=False)


def _row(event: dict[str, Any]) -> Row:
    certificate = event["certificateId"]
    return {
        "key": f"{millis(event['time'])} {event['event']} {event['clientId']}",
        "time": millis(event["time"]),
        "event": event["event"],
        "event_tone": TONES.get(event["event"], ""),
        "reason": event["reason"] or "–",
        "address": event["sourceIp"],
        "client": event["clientId"],
        "certificate": f"{certificate[:12]}…" if certificate else "–",
        "certificate_href": lookup.href("cert", certificate) if certificate else None,
    }


def _nothing() -> None:
    empty("No activity yet", "Each connect, disconnect and refusal of this device will be told here.", "history")
