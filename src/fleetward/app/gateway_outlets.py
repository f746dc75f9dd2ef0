"""What comes out of the gateway's doors, and who of the house is told of it."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from fleetward import telemetry
from fleetward.gateway.doors import Arrival, Presence, Refused
from fleetward.meter.batch import Batch
from fleetward.registry.activity import CONNECTED, DISCONNECTED, NOBODY, REFUSED, Event
from fleetward.registry.activity_log import ActivityLog
from fleetward.registry.connectivity import Connectivity
from fleetward.registry.view import FleetView

log = structlog.get_logger()

ENDED_BY_US = frozenset({"AUTH_ERROR", "FORBIDDEN_ACCESS", "CLIENT_ERROR", "THROTTLED"})
"""Disconnect reasons that whoever runs a device will ask about."""


class GatewayOutlets:
    """Doors 1 and 2, on a thread of the gateway's.

    `batch_takers` each get every batch; a message on a reserved topic goes to the first of `arrival_takers` that says
    it was for it. Both are complete before the gateway starts.
    """

    def __init__(self, view: FleetView, connectivity: Connectivity, activity: ActivityLog) -> None:
        self._view = view
        self._connectivity = connectivity
        self._activity = activity
        self.batch_takers: list[Callable[[Batch], None]] = []
        self.arrival_takers: list[Callable[[Arrival], bool]] = []

    def batch(self, batch: Batch) -> None:
        for take in self.batch_takers:
            take(batch)

    def arrival(self, arrival: Arrival) -> None:
        if not any(take(arrival) for take in self.arrival_takers):
            log.debug("reserved_topic", topic=arrival.topic, device=arrival.device)

    def presence(self, presence: Presence) -> None:
        self._connectivity.note(presence)
        self._note(presence, CONNECTED if presence.connected else DISCONNECTED, presence.device, presence.reason)
        telemetry.SESSIONS.inc(1 if presence.connected else -1)
        told = log.info if presence.reason in ENDED_BY_US else log.debug
        told("presence", client_id=presence.client_id, connected=presence.connected, reason=presence.reason)

    def refused(self, refused: Refused) -> None:
        telemetry.REFUSED.inc()
        self._note(refused, REFUSED, self._thing_refused(refused), refused.why)
        log.info(
            "connect_refused",
            client_id=refused.client_id[:128],
            certificate=refused.certificate_id[:16],
            address=refused.address,
            why=refused.why,
        )

    def _thing_refused(self, refused: Refused) -> str:
        """The thing whose certificate was refused. A client id is only claimed: what uses another thing's name does not
        appear among what that thing did.
        """
        thing = self._view.association(refused.certificate_id, refused.client_id)
        if thing is not None:
            return thing.name
        certificate = self._view.certificate(refused.certificate_id)
        own = certificate.things if certificate is not None else frozenset()
        return next(iter(own)) if len(own) == 1 else NOBODY

    def _note(self, about: Presence | Refused, event: str, thing: str, reason: str) -> None:
        client_id, certificate_id = about.client_id[:128], about.certificate_id[:64]
        self._activity.note(
            Event(thing[:128], about.time, event, client_id, certificate_id, about.address[:64], reason[:256])
        )
