"""Between the store's epoch milliseconds and the wire's timestamps."""

from __future__ import annotations

from datetime import UTC, datetime

from fleetward.model import Millis


def datetime_of(millis: Millis) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)


def millis_of(moment: datetime) -> Millis:
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
