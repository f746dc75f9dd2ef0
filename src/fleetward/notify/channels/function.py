"""lambda: hands the event to the functions room as an asynchronous invocation, in the transaction that records it.

From then on the functions room retries; the delivery log follows the invocation.
"""

from __future__ import annotations

import json
import re

from fleetward.arn import Arns
from fleetward.errors import InvalidParameter
from fleetward.notify import retry
from fleetward.notify.channel import Channel, Doors, Outcome, handed_over, refused
from fleetward.notify.message import Parcel, lambda_event
from fleetward.store.database import Reader, Transaction

SOURCE = "sns"
"""What this room calls itself to the functions room; the source id is the delivery's number."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,140}")


def name_of(arns: Arns, endpoint: str) -> str | None:
    """The function's name, from the ARN (with or without a qualifier) of a function of this account and region."""
    prefix = arns.function("")
    name = endpoint[len(prefix) :].split(":")[0] if endpoint.startswith(prefix) else ""
    return name if _NAME.fullmatch(name) else None


def check(look: Reader, doors: Doors, endpoint: str) -> None:
    if name_of(doors.arns, endpoint) is None:
        raise InvalidParameter("Invalid parameter: Lambda endpoint ARN")
    if not doors.function_exists(look, endpoint):
        raise InvalidParameter(
            f"Invalid parameter: Endpoint Reason: The function {endpoint} does not exist. Create it, then subscribe it."
        )


async def send(parcel: Parcel, doors: Doors) -> Outcome:
    arn = parcel.subscription.endpoint
    name = name_of(doors.arns, arn)
    with doors.database.read() as look:
        if name is None or not doors.function_exists(look, arn):
            return refused(f"The function {arn} does not exist.", 404)
        if not doors.may_invoke(look, arn, parcel.topic_arn):
            return refused(_how_to_permit(name, parcel.topic_arn), 403)
    payload = json.dumps(lambda_event(parcel), ensure_ascii=False).encode()

    def enqueue(tx: Transaction) -> None:
        doors.enqueue(tx, name, payload, SOURCE, str(parcel.delivery))

    return handed_over(enqueue)


def _how_to_permit(name: str, topic_arn: str) -> str:
    return (
        f"The policy of function {name} does not let sns.amazonaws.com invoke it for this topic. Permit it with: "
        f"aws lambda add-permission --function-name {name} --statement-id sns --action lambda:InvokeFunction "
        f"--principal sns.amazonaws.com --source-arn {topic_arn}"
    )


CHANNEL = Channel(check=check, send=send, retries=retry.AWS_MANAGED, needs_confirmation=False, concurrency=8)
