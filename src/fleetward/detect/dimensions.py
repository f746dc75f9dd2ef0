"""Dimensions as they are kept: topic filters by name, which narrow what a behaviour counts.

AWS IoT Device Defender developer guide, "Scoping metrics in security profiles using dimensions".
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.detect import profile_members
from fleetward.gateway.topics import is_topic_filter
from fleetward.model import Dimension
from fleetward.registry.names import near_name
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.detect import dimensions, security_profiles

TOUCH = "dimension"

CLIENT_ID = "${iot:ClientId}"
"""What a filter may hold in the place of the client id."""

MAX_DIMENSIONS = 100
MAX_VALUE_LENGTH = 256


def find(look: Reader, name: str) -> RowMapping | None:
    return look.one(sa.select(dimensions).where(dimensions.c.name == name))


def get(look: Reader, name: str) -> RowMapping:
    """The dimension's row, or ResourceNotFound."""
    row = find(look, name)
    if row is None:
        raise errors.ResourceNotFound(f"Dimension {name} not found.{near_name(look, dimensions.c.name, name)}")
    return row


def named(look: Reader) -> dict[str, Dimension]:
    """Every dimension, by name, in the form the meter and the kernel use."""
    return {row["name"]: Dimension(row["name"], tuple(row["string_values"])) for row in look.all(sa.select(dimensions))}


def create(tx: Transaction, name: str, of_type: str, values: Sequence[str], request_token: str = "") -> RowMapping:
    """Creates a dimension; the same request again, told by its token, succeeds and changes nothing."""
    wanted = {"type": of_type, "string_values": _checked(values), "request_token": request_token}
    existing = find(tx, name)
    if existing is not None:
        if request_token and all(existing[key] == value for key, value in wanted.items()):
            return existing
        raise errors.ResourceAlreadyExists(f"Dimension {name} already exists")
    if (tx.scalar(sa.select(sa.func.count()).select_from(dimensions)) or 0) >= MAX_DIMENSIONS:
        raise errors.LimitExceeded(f"There can be at most {MAX_DIMENSIONS} dimensions")
    tx.execute(dimensions.insert(), [{"name": name, **wanted, "created_at": tx.now, "modified_at": tx.now}])
    tx.touch(TOUCH, name)
    return get(tx, name)


def update(tx: Transaction, name: str, values: Sequence[str]) -> RowMapping:
    """Replaces a dimension's filters, for every profile that uses it."""
    get(tx, name)
    changed = {"string_values": _checked(values), "modified_at": tx.now}
    tx.execute(dimensions.update().where(dimensions.c.name == name).values(**changed))
    tx.touch(TOUCH, name)
    for profile in _users(tx, name):
        tx.touch("profile", profile)
    return get(tx, name)


def delete(tx: Transaction, name: str) -> None:
    """Deletes a dimension that no profile uses; one that is not there succeeds."""
    if find(tx, name) is None:
        return
    if users := _users(tx, name):
        raise errors.InvalidRequest(
            f"Dimension {name} is used by security profile {', '.join(users[:5])}; remove it there first"
        )
    tx.execute(dimensions.delete().where(dimensions.c.name == name))
    tx.touch(TOUCH, name)


def complaint(text: str) -> str | None:
    """What is wrong with one filter of a dimension."""
    bare = text.replace(CLIENT_ID, "client")
    if "${" in bare:
        return f"stringValues {text} holds a substitution other than {CLIENT_ID}"
    if not 1 <= len(text) <= MAX_VALUE_LENGTH or not bare.isprintable() or not is_topic_filter(bare):
        return f"stringValues {text[:MAX_VALUE_LENGTH]} should be an MQTT topic filter of 1 to 256 characters"
    return None


def _checked(values: Sequence[str]) -> list[str]:
    if complaints := [told for value in values if (told := complaint(value))]:
        raise errors.InvalidRequest("; ".join(complaints[:5]))
    return list(values)


def _users(look: Reader, name: str) -> list[str]:
    rows = look.execute(sa.select(security_profiles.c.name, security_profiles.c.document))
    return sorted(profile for profile, document in rows if name in profile_members.used_dimensions(document))
