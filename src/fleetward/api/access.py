"""Access keys: the root key, the short-lived keys of sessions, and who stands behind one."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field

import sqlalchemy as sa

from fleetward.arn import Arns
from fleetward.arn import parse as parse_arn
from fleetward.model import Millis
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.access import access_keys

KEPT_AFTER_EXPIRY: Millis = 3_600_000
"""How long an expired key is remembered, so that its holder hears `ExpiredToken` rather than `no such key`."""


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key and its holder. Session keys have a token and an end."""

    id: str
    secret: str = field(repr=False)
    principal_arn: str
    session_token: str | None = field(default=None, repr=False)
    expires_at: Millis | None = None


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """Short-lived keys of a role's session, as STS hands them out."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: Millis
    principal_arn: str


def find_key(look: Reader, key_id: str) -> AccessKey | None:
    row = look.one(sa.select(access_keys).where(access_keys.c.id == key_id))
    if row is None:
        return None
    return AccessKey(row["id"], row["secret"], row["principal_arn"], row["session_token"], row["expires_at"])


def root_key(look: Reader, arns: Arns) -> AccessKey | None:
    """The root access key, if one was issued."""
    key_id = look.scalar(sa.select(access_keys.c.id).where(access_keys.c.principal_arn == arns.root).limit(1))
    return find_key(look, key_id) if key_id else None


def ensure_root_key(tx: Transaction, arns: Arns, key_id: str | None = None, secret: str | None = None) -> AccessKey:
    """The root key: the pair given (which replaces any other), else the one we have, else a new one.

    Raises ValueError when only one half of the pair is given.
    """
    if (key_id is None) != (secret is None):
        raise ValueError("root_access_key_id and root_secret_access_key must be set together")
    known = root_key(tx, arns)
    if key_id is None or secret is None:
        return known or _store(tx, AccessKey(f"AKIA{_letters(16)}", secrets.token_urlsafe(30), arns.root))
    if known is not None and (known.id, known.secret) == (key_id, secret):
        return known
    for old in tx.all(sa.select(access_keys.c.id).where(access_keys.c.principal_arn == arns.root)):
        _forget(tx, old["id"])
    return _store(tx, AccessKey(key_id, secret, arns.root))


def issue_session(tx: Transaction, role_arn: str, session_name: str, seconds: int) -> SessionKeys:
    """New keys for a session of `role_arn` that end after `seconds`. Also forgets keys that expired an hour ago."""
    prune(tx)
    key = AccessKey(
        f"ASIA{_letters(16)}",
        secrets.token_urlsafe(30),
        session_arn(role_arn, session_name),
        session_token=secrets.token_urlsafe(96),
        expires_at=tx.now + seconds * 1000,
    )
    _store(tx, key)
    assert key.session_token is not None
    assert key.expires_at is not None
    return SessionKeys(key.id, key.secret, key.session_token, key.expires_at, key.principal_arn)


def prune(tx: Transaction) -> None:
    expired = sa.select(access_keys.c.id).where(access_keys.c.expires_at < tx.now - KEPT_AFTER_EXPIRY)
    for row in tx.all(expired):
        _forget(tx, row["id"])


def session_arn(role_arn: str, session_name: str) -> str:
    """The principal of a session: arn:aws:sts::<account>:assumed-role/<role without its path>/<session>."""
    role = parse_arn(role_arn)
    account, name = (role.account, role.resource.rsplit("/", 1)[-1]) if role else ("", role_arn)
    return f"arn:aws:sts::{account}:assumed-role/{name}/{session_name}"


def _store(tx: Transaction, key: AccessKey) -> AccessKey:
    tx.execute(
        sa.insert(access_keys).values(
            id=key.id,
            secret=key.secret,
            principal_arn=key.principal_arn,
            session_token=key.session_token,
            expires_at=key.expires_at,
            created_at=tx.now,
        )
    )
    tx.touch("access_key", key.id)
    return key


def _forget(tx: Transaction, key_id: str) -> None:
    tx.execute(sa.delete(access_keys).where(access_keys.c.id == key_id))
    tx.touch("access_key", key_id)


def _letters(count: int) -> str:
    """Random letters of base32, as in AWS's key ids."""
    return base64.b32encode(secrets.token_bytes(count)).decode()[:count]
