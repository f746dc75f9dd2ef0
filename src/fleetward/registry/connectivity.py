"""Who is connected: what the gateway's presence events said last, for GetThingConnectivityData."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from fleetward.model import Millis


class Sighting(Protocol):
    """A presence event of the gateway (`gateway.doors.Presence`)."""

    @property
    def client_id(self) -> str: ...
    @property
    def certificate_id(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def connected(self) -> bool: ...
    @property
    def address(self) -> str: ...
    @property
    def session(self) -> int: ...
    @property
    def time(self) -> Millis: ...
    @property
    def reason(self) -> str: ...


class Connectivity:
    """The last event of each client id: of all that are connected, and of the latest `remembered` that are not.

    `note` may be called from any thread.
    """

    def __init__(self, remembered: int = 100_000) -> None:
        self._remembered = remembered
        self._online: dict[str, Sighting] = {}
        self._offline: dict[str, Sighting] = {}
        self._clients: dict[str, dict[str, None]] = {}
        self._lock = threading.Lock()

    def note(self, sighting: Sighting) -> None:
        """Takes the next event. The end of a session whose client has a newer one already says nothing."""
        client_id = sighting.client_id
        with self._lock:
            current = self._online.get(client_id)
            if current is not None and not sighting.connected and current.session != sighting.session:
                return
            self._forget(client_id)
            (self._online if sighting.connected else self._offline)[client_id] = sighting
            self._clients.setdefault(sighting.device, {})[client_id] = None
            while len(self._offline) > self._remembered:
                self._forget(next(iter(self._offline)))

    @property
    def connected(self) -> int:
        """How many clients are connected."""
        return len(self._online)

    def of(self, thing: str, is_its_own: Callable[[Sighting], bool]) -> Sighting | None:
        """The latest event of a thing, those of live sessions first; None when it was never seen.

        `is_its_own` tells whether a client stands for the thing: its client id alone does not.
        """
        with self._lock:
            clients = {thing: None, **self._clients.get(thing, {})}
            seen = [found for name in clients if (found := self._online.get(name) or self._offline.get(name))]
        mine = [sighting for sighting in seen if is_its_own(sighting)]
        return max(mine, key=lambda sighting: (sighting.connected, sighting.time), default=None)

    def _forget(self, client_id: str) -> None:
        known = self._online.pop(client_id, None) or self._offline.pop(client_id, None)
        if known is not None:
            clients = self._clients[known.device]
            clients.pop(client_id, None)
            if not clients:
                del self._clients[known.device]
