"""Console passwords: a user's login profile (IAM API reference, CreateLoginProfile).

The rules for passwords are those of AWS's default policy (IAM user guide, "Set an account password policy").
"""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field

import sqlalchemy as sa
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.access import entities
from fleetward.access.entities import USER
from fleetward.arn import Arns
from fleetward.model import Millis
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.access import login_profiles, users

SHORTEST, LONGEST = 8, 128
KINDS = (string.ascii_uppercase, string.ascii_lowercase, string.digits, string.punctuation)
KINDS_NEEDED = 3

SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class LoginProfile:
    """A user who may sign in. `hash` is salt and scrypt of the password, hexadecimal."""

    user_name: str
    user_id: str
    principal_arn: str
    hash: str = field(repr=False)
    created_at: Millis
    must_change: bool


def find(look: Reader, arns: Arns, user_name: str) -> LoginProfile | None:
    """The login profile of the user of exactly that name."""
    columns = (users.c.name, users.c.id, users.c.path, *login_profiles.c)
    joined = sa.select(*columns).join(login_profiles, login_profiles.c.user_name == users.c.name)
    row = look.one(joined.where(users.c.name == user_name))
    return None if row is None else _of_row(row, arns)


def get(look: Reader, arns: Arns, user_name: str) -> LoginProfile:
    """As `find`; raises errors.NoSuchEntity."""
    entities.get(look, USER, user_name)
    profile = find(look, arns, user_name)
    if profile is None:
        raise errors.NoSuchEntity(f"Login Profile for User {user_name} cannot be found.")
    return profile


def create(tx: Transaction, arns: Arns, user_name: str, hash: str, must_change: bool) -> LoginProfile:
    """With a password as `accepted` hashes it."""
    entities.get(tx, USER, user_name)
    if find(tx, arns, user_name) is not None:
        raise errors.EntityAlreadyExists(f"Login Profile for user {user_name} already exists.")
    values = {"user_name": user_name, "hash": hash, "created_at": tx.now, "must_change": must_change}
    tx.execute(sa.insert(login_profiles).values(values))
    return get(tx, arns, user_name)


def update(tx: Transaction, arns: Arns, user_name: str, hash: str | None, must_change: bool | None) -> None:
    """Another password, as `accepted` hashes it, or whether it must be changed; who is signed in with it is signed
    out."""
    get(tx, arns, user_name)
    values: dict[str, object] = {} if must_change is None else {"must_change": must_change}
    if hash is not None:
        values["hash"] = hash
    if values:
        tx.execute(sa.update(login_profiles).where(login_profiles.c.user_name == user_name).values(values))


def delete(tx: Transaction, arns: Arns, user_name: str) -> None:
    get(tx, arns, user_name)
    tx.execute(sa.delete(login_profiles).where(login_profiles.c.user_name == user_name))


# --- passwords --------------------------------------------------------------------------------------------------------


def accepted(password: str, user_name: str) -> str:
    """The hash of a password that is not too easy; slow on purpose (~80 ms), so never on the event loop."""
    _check(password, user_name)
    salt = secrets.token_bytes(SALT_BYTES)
    return (salt + _scrypt(salt).derive(password.encode())).hex()


def matches(profile: LoginProfile | None, password: str) -> bool:
    """Whether it is the profile's password; takes as long when there is no profile. Slow on purpose (~80 ms)."""
    known = bytes.fromhex(profile.hash if profile is not None else "00" * (SALT_BYTES + 32))
    try:
        _scrypt(known[:SALT_BYTES]).verify(password.encode(), known[SALT_BYTES:])
    except InvalidKey:
        return False
    return profile is not None


def _check(password: str, user_name: str) -> None:
    kinds = sum(any(letter in kind for letter in password) for kind in KINDS)
    if not SHORTEST <= len(password) <= LONGEST or kinds < KINDS_NEEDED or password.lower() == user_name.lower():
        raise errors.PasswordPolicyViolation(
            f"Password does not conform to the account password policy: {SHORTEST} to {LONGEST} characters, "
            f"at least {KINDS_NEEDED} of uppercase, lowercase, numbers and symbols, and not the user's name."
        )


def _scrypt(salt: bytes) -> Scrypt:
    return Scrypt(salt=salt, length=32, n=2**15, r=8, p=1)


def _of_row(row: RowMapping, arns: Arns) -> LoginProfile:
    return LoginProfile(
        user_name=row["name"],
        user_id=row["id"],
        principal_arn=USER.arn(arns, row),
        hash=row["hash"],
        created_at=row[login_profiles.c.created_at],
        must_change=row["must_change"],
    )
