"""What each step of the change feed sets off: the gateway and detection learn of it, and isolations are recorded."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from fleetward.gateway.doors import Clock, Inlets
from fleetward.pipeline import Pipeline, enrolments, releases
from fleetward.records import Change, RecordKind
from fleetward.registry.view import FleetView
from fleetward.respond import isolations
from fleetward.respond.isolation import IsolationWatch, Shift
from fleetward.store.database import Database

log = structlog.get_logger()


class FleetFollower:
    """Subscribes to the feed once `view` is loaded; keeps it up to date, and what depends on it."""

    def __init__(self, database: Database, clock: Clock, view: FleetView, gateway: Inlets, pipeline: Pipeline) -> None:
        self._database = database
        self._clock = clock
        self._view = view
        self._gateway = gateway
        self._pipeline = pipeline
        self.isolation = IsolationWatch(view)

    def catch_up(self) -> None:
        """Brings the record of isolations up to date; what was released just before a crash is released now."""
        isolated, now = self.isolation.isolated, self._clock()
        with self._database.transaction(now) as tx:
            isolations.mark(tx, isolated)
            released = sorted(isolations.known(tx) - isolated)
        for item in releases(released, now):
            self._pipeline.put(item)

    def take(self, changes: Sequence[Change]) -> None:
        """Takes a step of the feed, on the thread that committed it."""
        before = self._ids_of_things(changes)
        shift = self.isolation.apply(changes)
        self._gateway.apply(changes)
        now = self._clock()
        for item in (*enrolments(self._view, changes, before, now), *releases(shift.released, now)):
            self._pipeline.put(item)
        _log(shift)
        if shift.isolated:
            with self._database.transaction(now) as tx:
                isolations.mark(tx, shift.isolated)

    def _ids_of_things(self, changes: Sequence[Change]) -> dict[str, int]:
        """The integer ids that the things among the changes have had until now."""
        names = (change.key for change in changes if change.kind is RecordKind.THING)
        return {name: thing.id for name in names if (thing := self._view.thing(name)) is not None}


def _log(shift: Shift) -> None:
    for thing in shift.isolated:
        log.info("isolated", thing=thing)
    for thing in shift.released:
        log.info("released", thing=thing)
