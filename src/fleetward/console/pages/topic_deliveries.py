"""The delivery log of a topic: to whom each message went, and what became of it. Live."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from fleetward.console.operator import Operator
from fleetward.console.parts.heading import heading
from fleetward.console.parts.listing import Column, Listing, Row
from fleetward.console.parts.moment import millis
from fleetward.console.parts.notices import empty

LIVE_SECONDS = 3
COLUMNS = (
    Column("time", "Published", "time"),
    Column("message", "Message"),
    Column("endpoint", "To", "link"),
    Column("status", "Status", "state"),
    Column("attempts", "Attempts", "number"),
    Column("error", "Last error"),
    Column("next", "Next attempt", "time"),
)
KINDS = {"SubscriptionConfirmation": "Subscription confirmation", "UnsubscribeConfirmation": "Unsubscribe confirmation"}
TONES = {"delivered": "good", "succeeded": "good", "failed": "bad", "discarded": "warn", "pending": "warn"}


async def draw(operator: Operator, arn: str) -> None:
    heading("Delivery log")
    with ui.element("div").classes("deliveries"):
        listing = Listing(operator, COLUMNS, _row, "fleetward", "ListDeliveries", "deliveries", _nothing, topicArn=arn)
    await listing.show()
    ui.timer(LIVE_SECONDS, listing.refresh, immediate=False)


def _row(item: dict[str, Any]) -> Row:
    run = item.get("functionStatus")
    row: Row = {
        "key": item["deliveryId"],
        "time": millis(item["creationTime"]),
        "message": item.get("subject") or KINDS.get(item["kind"], item["messageId"][:8]),
        "endpoint": item["endpoint"],
        "status": f"function {run}" if run else item["status"],
        "status_tone": TONES.get(run or item["status"], ""),
        "attempts": item["attempts"],
        "error": item.get("error") or "–",
        "next": millis(item.get("nextAttemptTime")),
    }
    if item["protocol"] == "lambda":
        row["endpoint"] = item["endpoint"].rpartition(":")[2]
        row["endpoint_href"] = f"/console/functions/{row['endpoint']}"
    return row


def _nothing() -> None:
    empty("Nothing was published yet", "Alerts and test messages appear here, one row for each subscriber.", "outbox")
