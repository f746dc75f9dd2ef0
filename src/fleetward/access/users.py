"""Users: the rules that keep them and their keys consistent (IAM API reference)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.access import entities, keys, login_profiles, roles
from fleetward.access.entities import USER
from fleetward.access.keys import AccessKey
from fleetward.arn import Arns
from fleetward.registry import tags
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.access import users

MAX_KEYS = 2


def create(tx: Transaction, name: str, path: str) -> RowMapping:
    entities.check_free(tx, users, "User", name)
    tx.execute(sa.insert(users).values(name=name, id=keys.unique_id("AIDA"), path=path, created_at=tx.now))
    tx.touch("user", name)
    return entities.get(tx, USER, name)


def rename(tx: Transaction, arns: Arns, name: str, new_name: str, new_path: str | None) -> None:
    """Gives a user another name or path; keys, tags and policies stay with the user."""
    row = entities.get(tx, USER, name)
    if new_name.lower() != name.lower():
        entities.check_free(tx, users, "User", new_name)
    path = row["path"] if new_path is None else new_path
    tx.execute(sa.update(users).where(users.c.name == name).values(name=new_name, path=path))
    changed = entities.get(tx, USER, new_name)
    old_arn, new_arn = USER.arn(arns, row), USER.arn(arns, changed)
    keys.rename(tx, row["id"], new_arn)
    kept = tags.of(tx, old_arn)
    tags.forget(tx, old_arn)
    tags.put(tx, new_arn, kept)
    roles.rename_trusted(tx, old_arn, new_arn)
    tx.touch("user", name)
    tx.touch("user", new_name)


def delete(tx: Transaction, arns: Arns, name: str) -> None:
    """As on AWS, a user must be empty to go. Sessions end at once."""
    row = entities.get(tx, USER, name)
    if keys.keys_of(tx, row["id"]):
        raise errors.DeleteConflict("Cannot delete entity, must delete access keys first.")
    if login_profiles.find(tx, arns, name) is not None:
        raise errors.DeleteConflict("Cannot delete entity, must delete login profile first.")
    entities.check_empty(tx, USER, name)
    arn = USER.arn(arns, row)
    keys.delete_all(tx, row["id"])
    tags.forget(tx, arn)
    roles.rename_trusted(tx, arn, row["id"])
    tx.execute(sa.delete(users).where(users.c.name == name))
    tx.touch("user", name)


# --- access keys ------------------------------------------------------------------------------------------------------


def create_key(tx: Transaction, arns: Arns, name: str) -> AccessKey:
    row = entities.get(tx, USER, name)
    if len(keys.keys_of(tx, row["id"])) >= MAX_KEYS:
        raise errors.LimitExceeded(f"Cannot exceed quota for AccessKeysPerUser: {MAX_KEYS}")
    return keys.create(tx, USER.arn(arns, row), row["id"])


def key_of(look: Reader, name: str, key_id: str) -> AccessKey:
    """That key of that very user, or errors.NoSuchEntity."""
    row = entities.get(look, USER, name)
    found = next((key for key in keys.keys_of(look, row["id"]) if key.id == key_id), None)
    if found is None:
        raise errors.NoSuchEntity(f"The Access Key with id {key_id} cannot be found.")
    return found


def owner_of(look: Reader, key: AccessKey) -> str | None:
    """The name of the user behind a key; None for the root user's and for sessions of roles."""
    if not key.owner_id:
        return None
    name = look.scalar(sa.select(users.c.name).where(users.c.id == key.owner_id))
    return None if name is None else str(name)
