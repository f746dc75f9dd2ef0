"""Dimensions while metering: which of those in use a topic belongs to."""

from __future__ import annotations

from fleetward.gateway.topics import matches
from fleetward.meter.batch import Column
from fleetward.model import Demand

CLIENT_ID = "${iot:ClientId}"
MAX_REMEMBERED = 10_000
"""Answers kept; they are forgotten all at once, whatever topics are invented."""


class DimensionMatcher:
    """Answers which columns a message on a topic counts in. A change of the demand makes a new one.

    AWS developer guide, "Scoping metrics in security profiles using dimensions": IN counts what matches any filter,
    NOT_IN what matches none; what is about no topic counts in neither.
    """

    def __init__(self, demand: Demand) -> None:
        self._columns: dict[str, list[tuple[Column, bool, tuple[str, ...]]]] = {}
        for column in sorted(demand.columns):
            filters = demand.filters.get(column[1])
            if filters is not None:
                self._columns.setdefault(column[0], []).append((column, column[1].startswith("IN:"), filters))
        self._personal = any(CLIENT_ID in text for filters in demand.filters.values() for text in filters)
        self._known: dict[tuple[str, str, str], tuple[Column, ...]] = {}

    def columns(self, metric: str, topic: str, client_id: str) -> tuple[Column, ...]:
        """The columns of `metric` that something about `topic` counts in."""
        if not topic:
            return ()
        key = (metric, topic, client_id if self._personal else "")
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            found = self._known[key] = self._match(metric, topic, client_id)
        return found

    def _match(self, metric: str, topic: str, client_id: str) -> tuple[Column, ...]:
        return tuple(
            column
            for column, wanted, filters in self._columns.get(metric, ())
            if belongs(filters, topic, client_id) is wanted
        )


def is_within(dimension: str, filters: tuple[str, ...], topic: str, client_id: str) -> bool:
    """Whether what is about `topic` counts in a column of that dimension, "IN:name", "NOT_IN:name" or "" for all."""
    return not dimension or belongs(filters, topic, client_id) is dimension.startswith("IN:")


def belongs(filters: tuple[str, ...], topic: str, client_id: str) -> bool:
    return any(_matches(text, topic, client_id) for text in filters)


def _matches(text: str, topic: str, client_id: str) -> bool:
    """Whether the filter matches (MQTT §4.7); a client id that would change the filter's levels stands for none."""
    if CLIENT_ID in text:
        if not client_id or any(letter in client_id for letter in "+#/"):
            return False
        text = text.replace(CLIENT_ID, client_id)
    return matches(text, topic)
