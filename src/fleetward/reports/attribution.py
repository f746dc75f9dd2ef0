"""Under whose name a report counts.

A thing may report for another by using its topic, where its policies let it (AWS IoT Device Defender developer guide,
"Sending metrics from devices"). Nobody else may: a certificate without a thing of its own would frame whom it likes.
"""

from __future__ import annotations

import re

from fleetward.gateway.doors import Arrival
from fleetward.meter.batch import unregistered_id
from fleetward.registry.view import FleetView

UNREGISTERED_NAMES = 100
"""Names without a thing that one certificate may report for in one run: no one makes us remember more."""

_CERTIFICATE_ID = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)


class ReportAttribution:
    def __init__(self, view: FleetView) -> None:
        self._view = view
        self._unregistered: dict[str, set[str]] = {}

    def device(self, arrival: Arrival, topic_thing: str) -> tuple[int, str]:
        """The integer id and the name of the device that a report on `topic_thing`'s topic is of."""
        name = topic_thing if self._may_speak_for(arrival, topic_thing) else arrival.device
        record = self._view.thing(name)
        return (unregistered_id(name) if record is None else record.id), name

    def _may_speak_for(self, arrival: Arrival, thing: str) -> bool:
        certificate = self._view.certificate(arrival.certificate_id)
        if thing == arrival.device or (certificate is not None and thing in certificate.things):
            return True
        if self._view.thing(arrival.device) is None:
            return False
        return self._view.thing(thing) is not None or self._may_name(arrival.certificate_id, thing)

    def _may_name(self, certificate_id: str, name: str) -> bool:
        if _CERTIFICATE_ID.fullmatch(name):  # it would frame the certificate of that id
            return False
        names = self._unregistered.setdefault(certificate_id, set())
        if name not in names and len(names) >= UNREGISTERED_NAMES:
            return False
        names.add(name)
        return True
