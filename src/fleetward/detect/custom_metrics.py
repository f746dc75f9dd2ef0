"""Custom metrics as they are kept: a name and the type of the values that devices report under it.

AWS IoT Device Defender developer guide, "Custom metrics": name and type never change, the display name may.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.detect import profile_members
from fleetward.model import ValueKind
from fleetward.registry.names import near_name
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.detect import custom_metrics, security_profiles

TOUCH = "custom-metric"

TYPES: Mapping[str, ValueKind] = {
    "string-list": ValueKind.STRINGS,
    "ip-address-list": ValueKind.CIDRS,
    "number-list": ValueKind.NUMBERS,
    "number": ValueKind.NUMBER,
}
"""The service model's CustomMetricType → the member of MetricValue that holds its values."""

RESERVED = ("aws:", "fleetward:")
MAX_METRICS = 100


def find(look: Reader, name: str) -> RowMapping | None:
    return look.one(sa.select(custom_metrics).where(custom_metrics.c.name == name))


def get(look: Reader, name: str) -> RowMapping:
    """The metric's row, or ResourceNotFound."""
    row = find(look, name)
    if row is None:
        raise errors.ResourceNotFound(f"Custom metric {name} not found.{near_name(look, custom_metrics.c.name, name)}")
    return row


def types(look: Reader) -> dict[str, str]:
    """The type of every custom metric, by name."""
    return {name: of for name, of in look.execute(sa.select(custom_metrics.c.name, custom_metrics.c.type))}


def value_kinds(look: Reader) -> dict[str, ValueKind]:
    """The kind of values of every custom metric, by name."""
    return {name: TYPES[of] for name, of in types(look).items()}


def create(tx: Transaction, name: str, of_type: str, display_name: str = "", request_token: str = "") -> RowMapping:
    """Creates a metric; the same request again, told by its token, succeeds and changes nothing."""
    if name.startswith(RESERVED):
        raise errors.InvalidRequest(f"metricName {name} should not begin with {' or '.join(RESERVED)}")
    wanted = {"type": of_type, "display_name": display_name, "request_token": request_token}
    existing = find(tx, name)
    if existing is not None:
        if request_token and all(existing[key] == value for key, value in wanted.items()):
            return existing
        raise errors.ResourceAlreadyExists(f"Custom metric {name} already exists")
    if (tx.scalar(sa.select(sa.func.count()).select_from(custom_metrics)) or 0) >= MAX_METRICS:
        raise errors.LimitExceeded(f"There can be at most {MAX_METRICS} custom metrics")
    tx.execute(custom_metrics.insert(), [{"name": name, **wanted, "created_at": tx.now, "modified_at": tx.now}])
    tx.touch(TOUCH, name)
    return get(tx, name)


def rename(tx: Transaction, name: str, display_name: str) -> RowMapping:
    """Gives a metric another display name, the one thing of it that can change."""
    get(tx, name)
    values = {"display_name": display_name, "modified_at": tx.now}
    tx.execute(custom_metrics.update().where(custom_metrics.c.name == name).values(**values))
    return get(tx, name)


def delete(tx: Transaction, name: str) -> None:
    """Deletes a metric that no profile uses; one that is not there succeeds."""
    if find(tx, name) is None:
        return
    if users := _users(tx, name):
        raise errors.InvalidRequest(
            f"Custom metric {name} is used by security profile {', '.join(users[:5])}; remove it there first"
        )
    tx.execute(custom_metrics.delete().where(custom_metrics.c.name == name))
    tx.touch(TOUCH, name)


def _users(look: Reader, name: str) -> list[str]:
    rows = look.execute(sa.select(security_profiles.c.name, security_profiles.c.document))
    return sorted(profile for profile, document in rows if name in profile_members.used_metrics(document))
