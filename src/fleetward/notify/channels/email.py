"""email: the text of the message, or for an alarm the sentences for people with the message below; and how to leave."""

from __future__ import annotations

from fleetward.errors import InvalidParameter
from fleetward.notify import retry
from fleetward.notify.channel import Channel, Doors, Outcome
from fleetward.notify.mail import Mail, is_address, subject_line
from fleetward.notify.message import Parcel, confirmation_text
from fleetward.notify.outbox import send_mail
from fleetward.notify.records import Kind
from fleetward.store.database import Reader

DEFAULT_SUBJECT = "AWS Notification Message"
CONFIRMATION_SUBJECTS = {
    Kind.SUBSCRIPTION_CONFIRMATION: "AWS Notification - Subscription Confirmation",
    Kind.UNSUBSCRIBE_CONFIRMATION: "AWS Notification - Unsubscribe Confirmation",
}


def check_address(look: Reader, doors: Doors, endpoint: str) -> None:
    if not is_address(endpoint):
        raise InvalidParameter("Invalid parameter: Email address")


def subject(parcel: Parcel) -> str:
    message = parcel.message
    return subject_line(CONFIRMATION_SUBJECTS.get(message.kind) or message.subject or DEFAULT_SUBJECT)


def compose(parcel: Parcel, sender: str) -> Mail:
    message = parcel.message
    if message.kind is Kind.NOTIFICATION:
        line = subject_line(message.email_subject) if message.email_subject else subject(parcel)
        body = f"{_for_people(parcel)}\n\n--\n{_footer(parcel)}\n"
    else:
        line, body = subject(parcel), f"{confirmation_text(parcel)}\n\n{parcel.subscribe_url}\n"
    return Mail.of(parcel, sender, line, body)


def _for_people(parcel: Parcel) -> str:
    if parcel.message.email_text is None:
        return parcel.text
    return f"{parcel.message.email_text.rstrip()}\n\nThe alert as other subscribers receive it:\n\n{parcel.text}"


def _footer(parcel: Parcel) -> str:
    return (
        f"You receive this because your address is subscribed to the topic {parcel.topic_arn}.\n"
        f"To stop receiving notifications from it, visit this link to unsubscribe:\n{parcel.unsubscribe_url}"
    )


async def send(parcel: Parcel, doors: Doors) -> Outcome:
    return await send_mail(compose(parcel, doors.settings.smtp_sender), doors.settings)


CHANNEL = Channel(
    check=check_address, send=send, retries=retry.CUSTOMER_MANAGED, needs_confirmation=True, concurrency=8
)
