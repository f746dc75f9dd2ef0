"""Access keys: the root key, the keys of users, the short-lived keys of sessions, and who stands behind one."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.arn import Arns
from fleetward.arn import parse as parse_arn
from fleetward.model import Millis
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.access import access_keys

KEPT_AFTER_EXPIRY: Millis = 3_600_000
"""How long an expired key is remembered, so that its holder hears `ExpiredToken` rather than `no such key`."""


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key and its holder. Session keys have a token and an end.

    `owner_id` is the unique id of the user or role, empty for the root user: another one of the same name is not meant.
    `session_policies` (documents and ARNs of managed policies) narrow a session; None when nothing does.
    """

    id: str
    secret: str = field(repr=False)
    principal_arn: str
    session_token: str | None = field(default=None, repr=False)
    expires_at: Millis | None = None
    owner_id: str = ""
    active: bool = True
    session_policies: tuple[str, ...] | None = field(default=None, repr=False)
    issued_by: str | None = None
    created_at: Millis = 0


def unique_id(prefix: str) -> str:
    """A new unique identifier (IAM user guide, "IAM identifiers"): AIDA… a user, AROA… a role, AKIA… a key."""
    return prefix + base64.b32encode(secrets.token_bytes(10)).decode()


# --- looking ----------------------------------------------------------------------------------------------------------


def find_key(look: Reader, key_id: str) -> AccessKey | None:
    row = look.one(sa.select(access_keys).where(access_keys.c.id == key_id))
    return None if row is None else _of_row(row)


def keys_of(look: Reader, owner_id: str) -> list[AccessKey]:
    """The long-lived keys of a user, oldest first."""
    own = (access_keys.c.owner_id == owner_id) & access_keys.c.session_token.is_(None)
    rows = look.all(sa.select(access_keys).where(own).order_by(access_keys.c.created_at, access_keys.c.id))
    return [_of_row(row) for row in rows]


def root_key(look: Reader, arns: Arns) -> AccessKey | None:
    """The root access key, if one was issued."""
    long_lived = (access_keys.c.principal_arn == arns.root) & access_keys.c.session_token.is_(None)
    key_id = look.scalar(sa.select(access_keys.c.id).where(long_lived).limit(1))
    return find_key(look, key_id) if key_id else None


def _of_row(row: RowMapping) -> AccessKey:
    policies = row["session_policies"]
    return AccessKey(**{**row, "session_policies": None if policies is None else tuple(policies)})


# --- long-lived keys --------------------------------------------------------------------------------------------------


def ensure_root_key(tx: Transaction, arns: Arns, key_id: str | None = None, secret: str | None = None) -> AccessKey:
    """The root key: the pair given (which replaces any other), else the one we have, else a new one.

    Raises ValueError when only one half of the pair is given.
    """
    if (key_id is None) != (secret is None):
        raise ValueError("root_access_key_id and root_secret_access_key must be set together")
    known = root_key(tx, arns)
    if key_id is None or secret is None:
        return known or create(tx, arns.root)
    if known is not None and (known.id, known.secret) == (key_id, secret):
        return known
    _forget(tx, access_keys.c.principal_arn == arns.root)
    return _store(tx, AccessKey(key_id, secret, arns.root, created_at=tx.now))


def create(tx: Transaction, principal_arn: str, owner_id: str = "") -> AccessKey:
    """A new long-lived key; its secret is told this once."""
    key = AccessKey(unique_id("AKIA"), secrets.token_urlsafe(30), principal_arn, owner_id=owner_id, created_at=tx.now)
    return _store(tx, key)


def set_active(tx: Transaction, key_id: str, active: bool) -> None:
    """Switches a key on or off; the sessions it has made for its own user end when it goes off."""
    tx.execute(sa.update(access_keys).where(access_keys.c.id == key_id).values(active=active))
    tx.touch("access_key", key_id)
    if not active:
        _forget(tx, access_keys.c.issued_by == key_id)


def delete(tx: Transaction, key_id: str) -> None:
    _forget(tx, (access_keys.c.id == key_id) | (access_keys.c.issued_by == key_id))


def rename(tx: Transaction, owner_id: str, principal_arn: str) -> None:
    """Gives the keys of a user the user's new ARN."""
    for row in tx.all(sa.select(access_keys.c.id).where(access_keys.c.owner_id == owner_id)):
        tx.touch("access_key", row["id"])
    tx.execute(sa.update(access_keys).where(access_keys.c.owner_id == owner_id).values(principal_arn=principal_arn))


def delete_all(tx: Transaction, owner_id: str) -> None:
    """Ends every key and session of a user or role that is deleted."""
    _forget(tx, access_keys.c.owner_id == owner_id)


# --- sessions ---------------------------------------------------------------------------------------------------------


def issue_session(
    tx: Transaction,
    role_arn: str,
    session_name: str,
    seconds: int,
    role_id: str = "",
    policies: Sequence[str] | None = None,
) -> AccessKey:
    """New keys for a session of `role_arn` that end after `seconds`. Also forgets keys that expired an hour ago."""
    return _issue(tx, session_arn(role_arn, session_name), role_id, seconds, policies=policies)


def issue_user_session(tx: Transaction, key: AccessKey, seconds: int) -> AccessKey:
    """New keys for the very principal that holds `key`."""
    return _issue(tx, key.principal_arn, key.owner_id, seconds, issued_by=key.id)


def session_arn(role_arn: str, session_name: str) -> str:
    """The principal of a session: arn:aws:sts::<account>:assumed-role/<role without its path>/<session>."""
    role = parse_arn(role_arn)
    account, name = (role.account, role.resource.rsplit("/", 1)[-1]) if role else ("", role_arn)
    return f"arn:aws:sts::{account}:assumed-role/{name}/{session_name}"


def _issue(
    tx: Transaction,
    principal_arn: str,
    owner_id: str,
    seconds: int,
    policies: Sequence[str] | None = None,
    issued_by: str | None = None,
) -> AccessKey:
    prune(tx)
    key = AccessKey(
        unique_id("ASIA"),
        secrets.token_urlsafe(30),
        principal_arn,
        session_token=secrets.token_urlsafe(96),
        expires_at=tx.now + seconds * 1000,
        owner_id=owner_id,
        session_policies=None if policies is None else tuple(policies),
        issued_by=issued_by,
        created_at=tx.now,
    )
    return _store(tx, key)


def prune(tx: Transaction) -> None:
    _forget(tx, access_keys.c.expires_at < tx.now - KEPT_AFTER_EXPIRY)


# --- inside -----------------------------------------------------------------------------------------------------------


def _store(tx: Transaction, key: AccessKey) -> AccessKey:
    values = {name: getattr(key, name) for name in AccessKey.__slots__}
    if key.session_policies is not None:
        values["session_policies"] = list(key.session_policies)
    tx.execute(sa.insert(access_keys).values(values))
    tx.touch("access_key", key.id)
    return key


def _forget(tx: Transaction, which: sa.ColumnElement[bool]) -> None:
    ids = [row["id"] for row in tx.all(sa.select(access_keys.c.id).where(which))]
    for key_id in ids:
        tx.execute(sa.delete(access_keys).where(access_keys.c.id == key_id))
        tx.touch("access_key", key_id)
