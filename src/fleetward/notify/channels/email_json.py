"""email-json: the same JSON document that HTTP subscribers receive, as the body of a mail."""

from __future__ import annotations

import json

from fleetward.notify import retry
from fleetward.notify.channel import Channel, Doors, Outcome
from fleetward.notify.channels.email import check_address, subject
from fleetward.notify.mail import Mail
from fleetward.notify.message import Parcel, envelope
from fleetward.notify.outbox import send_mail


def compose(parcel: Parcel, sender: str) -> Mail:
    body = json.dumps(envelope(parcel), indent=2, ensure_ascii=False)
    return Mail.of(parcel, sender, subject(parcel), f"{body}\n")


async def send(parcel: Parcel, doors: Doors) -> Outcome:
    return await send_mail(compose(parcel, doors.settings.smtp_sender), doors.settings)


CHANNEL = Channel(
    check=check_address, send=send, retries=retry.CUSTOMER_MANAGED, needs_confirmation=True, concurrency=8
)
