"""Dimensions as they are kept: topic filters by name, which narrow what a behaviour counts.

AWS IoT Device Defender developer guide, "Scoping metrics in security profiles using dimensions".
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.detect import profile_members
from fleetward.detect.used_by_profiles import Shelf
from fleetward.gateway.topics import is_topic_filter
from fleetward.model import Dimension
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.detect import dimensions

TOUCH = "dimension"

CLIENT_ID = "${iot:ClientId}"
"""What a filter may hold in the place of the client id."""

MAX_DIMENSIONS = 100
MAX_VALUE_LENGTH = 256


_SHELF = Shelf(dimensions, "Dimension", TOUCH, MAX_DIMENSIONS, profile_members.used_dimensions)
find, get, delete = _SHELF.find, _SHELF.get, _SHELF.delete


def named(look: Reader) -> dict[str, Dimension]:
    """Every dimension, by name, in the form the meter and the kernel use."""
    return {row["name"]: Dimension(row["name"], tuple(row["string_values"])) for row in look.all(sa.select(dimensions))}


def create(tx: Transaction, name: str, of_type: str, values: Sequence[str], request_token: str = "") -> RowMapping:
    """Creates a dimension; the same request again, told by its token, succeeds and changes nothing."""
    wanted = {"type": of_type, "string_values": _checked(values), "request_token": request_token}
    return _SHELF.create(tx, name, wanted)


def update(tx: Transaction, name: str, values: Sequence[str]) -> RowMapping:
    """Replaces a dimension's filters, for every profile that uses it."""
    changed = _SHELF.change(tx, name, string_values=_checked(values))
    tx.touch(TOUCH, name)
    for profile in _SHELF.users(tx, name):
        tx.touch("profile", profile)
    return changed


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
