"""What there is one of in an account: the registration code, the logging options, which events are sent."""

from __future__ import annotations

import secrets
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.registry import account_settings

REGISTRATION_CODE = "registration code"


def find(look: Reader, name: str) -> RowMapping | None:
    """The row of a setting; None while it was never set."""
    return look.one(sa.select(account_settings).where(account_settings.c.name == name))


def put(tx: Transaction, name: str, document: Any) -> None:
    """Sets a setting to a JSON document."""
    if find(tx, name) is None:
        row = {"name": name, "document": document, "created_at": tx.now, "modified_at": tx.now}
        tx.execute(account_settings.insert(), [row])
    else:
        values = {"document": document, "modified_at": tx.now}
        tx.execute(account_settings.update().where(account_settings.c.name == name).values(**values))


def registration_code(look: Reader) -> str | None:
    row = find(look, REGISTRATION_CODE)
    return str(row["document"]) if row else None


def ensure_registration_code(tx: Transaction) -> str:
    """The code that a CA's verification certificate must carry; made when there is none."""
    code = registration_code(tx)
    if code is None:
        code = secrets.token_hex(32)
        put(tx, REGISTRATION_CODE, code)
    return code


def delete_registration_code(tx: Transaction) -> None:
    if not tx.execute(account_settings.delete().where(account_settings.c.name == REGISTRATION_CODE)).rowcount:
        raise errors.ResourceNotFound("There is no registration code")
