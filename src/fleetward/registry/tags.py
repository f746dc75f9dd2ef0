"""Tags: key and value on the ARN of anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from fleetward import errors
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.registry import tags

MAX_TAGS = 50


RESERVED = "aws:"
"""How the keys of AWS's own tags begin."""


def given(params: Mapping[str, Any]) -> dict[str, str]:
    """The tags in an operation's parameters, by key; one that nobody may set, or that comes twice, is refused."""
    found: dict[str, str] = {}
    for tag in params.get("tags", ()):
        if tag["Key"].lower().startswith(RESERVED):
            raise errors.InvalidRequest(f"Tag keys that begin with {RESERVED} are reserved")
        if tag["Key"] in found:
            raise errors.InvalidRequest(f"Tag key {tag['Key']} is given twice")
        found[tag["Key"]] = tag.get("Value", "")
    return found


def of(look: Reader, arn: str) -> dict[str, str]:
    """The tags of one resource, by key."""
    rows = look.execute(sa.select(tags.c.key, tags.c.value).where(tags.c.arn == arn).order_by(tags.c.key))
    return {key: value for key, value in rows}


def put(tx: Transaction, arn: str, added: Mapping[str, str]) -> None:
    """Adds tags, or changes their values."""
    current = of(tx, arn)
    if len({*current, *added}) > MAX_TAGS:
        raise errors.LimitExceeded(f"A resource can have at most {MAX_TAGS} tags")
    remove(tx, arn, added)
    if added:
        tx.execute(tags.insert(), [{"arn": arn, "key": key, "value": value} for key, value in added.items()])


def remove(tx: Transaction, arn: str, keys: Iterable[str]) -> None:
    tx.execute(tags.delete().where(tags.c.arn == arn, tags.c.key.in_(list(keys))))


def forget(tx: Transaction, arn: str) -> None:
    """Removes every tag of a resource that is deleted."""
    tx.execute(tags.delete().where(tags.c.arn == arn))
