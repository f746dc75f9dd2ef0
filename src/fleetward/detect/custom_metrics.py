"""Custom metrics as they are kept: a name and the type of the values that devices report under it.

AWS IoT Device Defender developer guide, "Custom metrics": name and type never change, the display name may.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.detect import profile_members
from fleetward.detect.used_by_profiles import Shelf
from fleetward.model import ValueKind
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.detect import custom_metrics

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

_SHELF = Shelf(custom_metrics, "Custom metric", TOUCH, MAX_METRICS, profile_members.used_metrics)
find, get, delete = _SHELF.find, _SHELF.get, _SHELF.delete


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
    return _SHELF.create(tx, name, {"type": of_type, "display_name": display_name, "request_token": request_token})


def rename(tx: Transaction, name: str, display_name: str) -> RowMapping:
    """Gives a metric another display name, the one thing of it that can change."""
    return _SHELF.change(tx, name, display_name=display_name)
