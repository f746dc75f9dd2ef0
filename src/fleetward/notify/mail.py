"""A mail as a value, and the MIME message made of it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from fleetward.model import Millis
from fleetward.notify.message import Parcel
from fleetward.notify.records import Kind

MAX_SUBJECT = 200

_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=.{{1,254}}\Z)(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")


def is_address(text: str) -> bool:
    """Whether `text` is a plain address, local@domain in dot-atom form [RFC 5322 3.4.1]; no names, quotes or routes."""
    return _ADDRESS.fullmatch(text) is not None


def subject_line(text: str) -> str:
    """`text` as one header line: no control characters, no line breaks, not too long."""
    return _UNSAFE.sub(" ", text).strip()[:MAX_SUBJECT]


@dataclass(frozen=True, slots=True)
class Mail:
    """`id` is the same at every attempt, so that mail readers can tell a repetition."""

    id: str
    message_id: str
    sender: str
    sender_name: str
    recipient: str
    subject: str
    body: str
    time: Millis

    @classmethod
    def of(cls, parcel: Parcel, sender: str, subject: str, body: str) -> Mail:
        """Confirmations always come from the server itself, never under a topic's display name."""
        named = parcel.message.kind is Kind.NOTIFICATION
        return cls(
            id=f"{parcel.message.id}.{parcel.delivery}",
            message_id=parcel.message.id,
            sender=sender,
            sender_name=parcel.display_name if named else "",
            recipient=parcel.subscription.endpoint,
            subject=subject,
            body=body.encode(errors="replace").decode(),
            time=parcel.message.created_at,
        )


def mime(mail: Mail) -> EmailMessage:
    """The mail in RFC 5322 form; the header registry refuses line breaks in every header."""
    message = EmailMessage(policy=SMTP)
    domain = mail.sender.rpartition("@")[2] or "localhost"
    message["From"] = Address(subject_line(mail.sender_name), addr_spec=mail.sender)
    message["To"] = Address(addr_spec=mail.recipient)
    message["Subject"] = mail.subject
    message["Date"] = datetime.fromtimestamp(mail.time / 1000, UTC)
    message["Message-ID"] = f"<{mail.id}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.body, cte="quoted-printable")
    return message
