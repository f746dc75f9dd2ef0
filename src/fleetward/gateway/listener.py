"""The listener: accepts connections on its entrances, and keeps to the limits."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

import structlog

from fleetward.gateway.channels import NewChannel
from fleetward.gateway.connection import Connection
from fleetward.gateway.guard import Guard
from fleetward.gateway.lobby import Lobby
from fleetward.model import Millis

log = structlog.get_logger()

OTHER_FILES = 1_000
"""Open files that the rest of the process may need."""

BACKLOG = 4096
"""Connections that wait in the kernel while handshakes are made; the kernel may allow fewer."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """A bound socket, and what the bytes of its connections pass through."""

    socket: socket.socket
    new_channel: NewChannel
    loopback_only: bool = False


class Listener:
    """Accepts connections, sees them through their opening, and keeps to the limits.

    Those who dawdle over their CONNECT or their handshake make room for newer ones, the oldest first.
    """

    def __init__(
        self, entrances: Sequence[Entrance], guard: Guard, now: Callable[[], Millis], max_connections: int
    ) -> None:
        self._entrances = entrances
        self._guard = guard
        self._now = now
        self._max_connections = max_connections
        self._opened: set[Connection] = set()
        self._lobby = Lobby(guard.limits.handshakes)

    async def serve(self) -> None:
        """Accepts until it is cancelled."""
        await asyncio.gather(*map(self._serve, self._entrances))

    async def _serve(self, entrance: Entrance) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._lobby.has_room()
            try:
                accepted, (address, *_) = await loop.sock_accept(entrance.socket)
                await self._take(entrance, accepted, address)
            except OSError as error:  # out of file descriptors, most likely
                log.warning("mqtt.accept_failed", error=str(error))
                await asyncio.sleep(0.1)

    async def _take(self, entrance: Entrance, accepted: socket.socket, address: str) -> None:
        if entrance.loopback_only and not ip_address(address).is_loopback:
            accepted.close()  # some kernels can be told to route to loopback from outside
            return
        if len(self._opened) >= self._max_connections and not self._lobby.make_room():
            accepted.close()
            return
        accepted.setblocking(False)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        channel = entrance.new_channel(address)
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: Connection(channel, self._guard, self._now, self._opened, self._lobby), accepted
        )

    async def close(self, seconds: float) -> None:
        """Gives connections that are ending this long, then breaks them off."""
        self._lobby.close()
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self._opened and loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for connection in list(self._opened):
            connection.abort()
        for entrance in self._entrances:
            entrance.socket.close()


def allow_open_files(connections: int) -> None:
    """Raises the process's limit on open files as far as it may and `connections` need it."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
