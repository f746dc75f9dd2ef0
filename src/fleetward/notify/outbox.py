"""Where mails go: out through the SMTP server in the settings, else into the local outbox table."""

from __future__ import annotations

import asyncio
from typing import Any

import aiosmtplib
import sqlalchemy as sa

from fleetward.notify.channel import Effect, Outcome, delivered, refused, try_again
from fleetward.notify.mail import Mail, mime
from fleetward.settings import Settings
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.notify import mails as table

TIMEOUT_SECONDS = 15.0
"""For one step of the dialogue; all of it has TOTAL_SECONDS."""
TOTAL_SECONDS = 60.0
MAX_MAILS = 1000
"""The local outbox keeps the newest ones."""


async def send_mail(mail: Mail, settings: Settings) -> Outcome:
    if settings.smtp_host is None:
        return delivered(effect=_keep(mail))
    try:
        async with asyncio.timeout(TOTAL_SECONDS):
            await _submit(mail, settings)
    except (aiosmtplib.SMTPException, OSError) as error:
        return _judge(error)
    return delivered(250)


async def _submit(mail: Mail, settings: Settings) -> None:
    await aiosmtplib.send(
        await asyncio.to_thread(mime, mail),
        sender=settings.smtp_sender,
        recipients=[mail.recipient],
        hostname=settings.smtp_host,
        port=settings.smtp_port,
        username=settings.smtp_username,
        password=settings.smtp_password,
        use_tls=settings.smtp_tls == "tls",
        start_tls=settings.smtp_tls == "starttls",
        timeout=TIMEOUT_SECONDS,
    )


def _judge(error: Exception) -> Outcome:
    """A 5xx about this mail or its recipient is final; a server that cannot be reached or entered is not."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused) and error.recipients:
        error = error.recipients[0]
    if not isinstance(error, aiosmtplib.SMTPResponseException):
        return try_again(f"SMTP: {str(error) or type(error).__name__}")
    about_the_mail = isinstance(error, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError)
    end = refused if about_the_mail and error.code >= 500 else try_again
    return end(f"SMTP: {error.code} {error.message}", error.code)


# --- the local outbox -------------------------------------------------------------------------------------------------


def _keep(mail: Mail) -> Effect:
    def keep(tx: Transaction) -> None:
        tx.execute(
            sa.insert(table).values(
                message_id=mail.message_id,
                sender=mail.sender,
                recipient=mail.recipient,
                subject=mail.subject,
                body=mail.body,
                created_at=tx.now,
            )
        )
        _forget_old(tx)

    return keep


def _forget_old(tx: Transaction) -> None:
    oldest_kept = sa.select(table.c.id).order_by(table.c.id.desc()).offset(MAX_MAILS - 1).limit(1).scalar_subquery()
    tx.execute(sa.delete(table).where(table.c.id < oldest_kept))


def mails_to(recipient: str | None) -> sa.Select[Any]:
    """All mails, or those to one address."""
    every = sa.select(table)
    return every if recipient is None else every.where(table.c.recipient == recipient)


def mails(look: Reader, limit: int = 100) -> list[dict[str, Any]]:
    """The newest mails first: id, message_id, sender, recipient, subject, body, created_at."""
    return [dict(row) for row in look.all(sa.select(table).order_by(table.c.id.desc()).limit(limit))]
