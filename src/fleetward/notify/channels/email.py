"""email: the text of the message, or for an alarm the sentences for people with the message below; and how to leave.

When many wait for one address, one mail lists them, so that a fleet in alarm does not bury its operator.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from fleetward.errors import InvalidParameter
from fleetward.notify import retry
from fleetward.notify.channel import Channel, Doors, Outcome
from fleetward.notify.mail import Mail, is_address, subject_line
from fleetward.notify.message import Digest, Parcel, confirmation_text, timestamp
from fleetward.notify.outbox import send_mail
from fleetward.notify.records import Heading, Kind
from fleetward.store.database import Reader

WHOLE_CHARACTERS = 262_144
"""Of a digest, for those that stand in it in full."""

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


def compose_digest(digest: Digest, sender: str) -> Mail:
    first, count = digest.parcels[0], len(digest.headings)
    name = first.topic_arn.rpartition(":")[2]
    whole = list(_as_much_as_fits(_for_people(parcel) for parcel in digest.parcels))
    parts = [
        f"{count:,} notifications of the topic {name} were waiting for you at the same time; this mail lists them all.",
        "\n".join(f"{timestamp(one.created_at)}  {_line(one)}" for one in digest.headings),
        f"The first {len(whole)} of them in full:" if whole else "",
        *(f"--- {number} of {count:,} ---\n\n{text}" for number, text in enumerate(whole, 1)),
        f"--\n{_footer(first)}\n",
    ]
    line = subject_line(f"{count:,} notifications: {_line(digest.headings[0])} and {count - 1:,} more")
    mail = Mail.of(first, sender, line, "\n\n".join(part for part in parts if part))
    # Another id than a digest with others in it, and than the first one's own mail: no reader takes it for these.
    return replace(mail, id=f"{mail.id}-{digest.last}.{count}")


def _as_much_as_fits(texts: Iterable[str]) -> Iterator[str]:
    left = WHOLE_CHARACTERS
    for text in texts:
        left -= len(text)
        if left < 0:
            return
        yield text


def _line(heading: Heading) -> str:
    return subject_line(heading.subject) or DEFAULT_SUBJECT


async def send(parcel: Parcel, doors: Doors) -> Outcome:
    return await send_mail(compose(parcel, doors.settings.smtp_sender), doors.settings)


async def send_digest(digest: Digest, doors: Doors) -> Outcome:
    return await send_mail(compose_digest(digest, doors.settings.smtp_sender), doors.settings)


CHANNEL = Channel(
    check=check_address,
    send=send,
    retries=retry.CUSTOMER_MANAGED,
    needs_confirmation=True,
    concurrency=8,
    send_digest=send_digest,
)
