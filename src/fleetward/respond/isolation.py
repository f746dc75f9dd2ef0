"""Noticing that a thing was cut off or set free, through whichever door the registry was changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fleetward.records import Change
from fleetward.registry.view import FleetView


@dataclass(frozen=True, slots=True)
class Shift:
    """The things that became isolated and those that ceased to be, sorted by name."""

    isolated: tuple[str, ...]
    released: tuple[str, ...]


class IsolationWatch:
    """Keeps a `FleetView` up to date and says what each step of the feed did to the isolation of things."""

    def __init__(self, view: FleetView) -> None:
        self._view = view
        self._isolated = view.isolated_things()

    def apply(self, changes: Sequence[Change]) -> Shift:
        """Applies the changes to the view. A thing that is deleted while isolated counts as neither."""
        reached: set[str] = set()
        for change in changes:
            reached |= self._view.things_reached_by(change)
            self._view.apply(change)
            reached |= self._view.things_reached_by(change)
        now = {thing for thing in reached if self._view.is_isolated(thing)}
        released = {thing for thing in (self._isolated & reached) - now if self._view.thing(thing) is not None}
        entered = now - self._isolated
        self._isolated = (self._isolated - reached) | now
        return Shift(tuple(sorted(entered)), tuple(sorted(released)))

    @property
    def isolated(self) -> frozenset[str]:
        return frozenset(self._isolated)
