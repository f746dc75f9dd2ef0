"""Whose shadow request is next: every device has a share, certificates take turns, and memory is bounded.

AWS refuses a device's requests with 429 while ten of them are under way, and beyond twenty a second (AWS general
reference, "AWS IoT Device Shadow service": in-flight messages, and requests per second, per thing).
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, replace

from fleetward.gateway.doors import Arrival
from fleetward.gateway.handover import TakingTurns
from fleetward.model import Millis
from fleetward.shadows.request import MAX_REQUEST_BYTES

IN_FLIGHT = 10
PER_SECOND = 20

REFUSALS = 10
"""Requests over its share that a device is told of; any further ones vanish unanswered until these have been."""

WAITING_PER_CERTIFICATE = 2_500
WAITING = 10_000
WAITING_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A device's message to the shadow service; `refused` when it is over the device's share."""

    arrival: Arrival
    refused: bool = False

    @property
    def device(self) -> tuple[str, str]:
        return self.arrival.certificate_id, self.arrival.client_id

    @property
    def size(self) -> int:
        return len(self.arrival.topic) + len(self.arrival.payload)


class Turns:
    """The requests that wait. Put in on the gateway's thread, taken on the house's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: TakingTurns[Request] = TakingTurns()
        self._count = self._bytes = 0
        self._in_flight: Counter[tuple[str, str]] = Counter()
        self._second = 0
        self._this_second: Counter[tuple[str, str]] = Counter()

    def put(self, arrival: Arrival, now: Millis) -> bool:
        """Lets a request wait for its turn, as one to be refused if need be; False when it is dropped."""
        request = Request(replace(arrival, payload=arrival.payload[: MAX_REQUEST_BYTES + 1]))
        with self._lock:
            full = self._count >= WAITING or self._bytes + request.size > WAITING_BYTES
            if full or self._waiting.waiting(arrival.certificate_id) >= WAITING_PER_CERTIFICATE:
                return False
            under_way = self._in_flight[request.device]
            if under_way >= IN_FLIGHT + REFUSALS:
                return False
            if under_way >= IN_FLIGHT or self._is_too_fast(request.device, now):
                request = replace(request, refused=True)
            self._in_flight[request.device] += 1
            self._waiting.put(arrival.certificate_id, request)
            self._count += 1
            self._bytes += request.size
            return True

    def take(self) -> Request | None:
        """The next request: the oldest of the certificate that has waited longest; `done` must follow."""
        with self._lock:
            request = self._waiting.take()
            if request is not None:
                self._count -= 1
                self._bytes -= request.size
            return request

    def done(self, request: Request) -> None:
        with self._lock:
            self._in_flight[request.device] -= 1
            if not self._in_flight[request.device]:
                del self._in_flight[request.device]

    def _is_too_fast(self, device: tuple[str, str], now: Millis) -> bool:
        if now // 1000 != self._second:
            self._second = now // 1000
            self._this_second.clear()
        self._this_second[device] += 1
        return self._this_second[device] > PER_SECOND
