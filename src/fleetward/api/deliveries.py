"""fleetward: what became of the messages of a topic, one row for each subscriber."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import RowMapping

from fleetward.api.call import Call
from fleetward.api.paging import page_after
from fleetward.api.times import datetime_of
from fleetward.model import Millis
from fleetward.notify import subscriptions, topics
from fleetward.notify.log import deliveries_before


def list_deliveries(call: Call) -> dict[str, Any]:
    """The newest first, through to the function that was set off."""
    topic = topics.name_of(call.rooms.arns, call.params["topicArn"])
    with call.read() as look:
        topics.require(look, topic)

        def fetch(limit: int, after: Any) -> Sequence[RowMapping]:
            return look.all(deliveries_before(look, after, topic, call.params.get("messageId")).limit(limit))

        rows, token = page_after(call, fetch, lambda row: row["delivery"])
    return {"deliveries": [_shown(call, row) for row in rows], "nextToken": token}


def _shown(call: Call, row: RowMapping) -> dict[str, Any]:
    return {
        "deliveryId": str(row["delivery"]),
        "messageId": row["message_id"],
        "kind": row["kind"],
        "subject": row["subject"],
        "subscriptionArn": subscriptions.arn(call.rooms.arns, row["topic_name"], row["subscription_id"]),
        "protocol": row["protocol"],
        "endpoint": row["endpoint"],
        "status": row["status"],
        "attempts": row["attempts"],
        "statusCode": row["code"],
        "error": row["error"],
        "creationTime": datetime_of(row["created_at"]),
        "lastAttemptTime": _time(row["attempted_at"]),
        "nextAttemptTime": _time(row["next_at"]) if row["status"] == "pending" else None,
        "functionRequestId": row["invocation_id"],
        "functionStatus": row["invocation_status"],
    }


def _time(moment: Millis | None) -> Any:
    return None if moment is None else datetime_of(moment)
