"""Reports that wait for their turn: certificates take turns, and memory is bounded."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace

from fleetward.gateway.doors import Arrival
from fleetward.gateway.handover import TakingTurns
from fleetward.meter.report_encoding import MAX_PAYLOAD

PER_DEVICE = 100
PER_CERTIFICATE = 1_000
BYTES = 64 * 1024 * 1024


class Waiting:
    """Put in on the gateway's thread, taken on the house's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: TakingTurns[Arrival] = TakingTurns()
        self._of_device: Counter[tuple[str, str]] = Counter()
        self._bytes = 0

    def put(self, arrival: Arrival) -> bool:
        """Lets a report wait; False when there is no room for it. One that is too long is kept no longer than needed
        to be told so."""
        arrival = replace(arrival, payload=arrival.payload[: MAX_PAYLOAD + 1])
        device, size = _device(arrival), _size(arrival)
        with self._lock:
            if self._of_device[device] >= PER_DEVICE or self._bytes + size > BYTES:
                return False
            if self._waiting.waiting(arrival.certificate_id) >= PER_CERTIFICATE:
                return False
            self._waiting.put(arrival.certificate_id, arrival)
            self._of_device[device] += 1
            self._bytes += size
            return True

    def take(self) -> Arrival | None:
        """The oldest report of the certificate that has waited longest; None when nothing waits."""
        with self._lock:
            arrival = self._waiting.take()
            if arrival is None:
                return None
            self._bytes -= _size(arrival)
            self._of_device[_device(arrival)] -= 1
            if not self._of_device[_device(arrival)]:
                del self._of_device[_device(arrival)]
            return arrival


def _device(arrival: Arrival) -> tuple[str, str]:
    return arrival.certificate_id, arrival.client_id


def _size(arrival: Arrival) -> int:
    return len(arrival.topic) + len(arrival.payload)
