"""The TLS listener: sockets in, `Client`s behind them; one transport write a turn of the loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import cast

import structlog

from fleetward.gateway import endings
from fleetward.gateway.client import Client
from fleetward.gateway.guard import Guard
from fleetward.gateway.identity import Principal, principal_of
from fleetward.gateway.limits import Limits
from fleetward.model import Millis

log = structlog.get_logger()

ALPN = ("x-amzn-mqtt-ca", "mqtt")
"""What device SDKs may ask for (AWS IoT developer guide, "Protocols, port mappings, and authentication")."""

EAGER_BYTES = 256 * 1024
"""More than this is not kept for the end of the turn; also what the transport may hold before it says stop."""

SHUTDOWN_SECONDS = 3
OTHER_FILES = 1_000
"""Open files that the rest of the process may need."""

BACKLOG = 1024


def server_context(certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """TLS 1.2 or newer, and no client without a certificate that `authority` signed, or that `Trust` adds."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    # Else OpenSSL refuses what does not end in a self-signed root: intermediate CAs, certificates that stand alone.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority)
    context.set_alpn_protocols(list(ALPN))
    return context


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


class Connection(asyncio.Protocol):
    """One TLS connection: the `Link` of one client."""

    def __init__(
        self, guard: Guard, now: Callable[[], Millis], opened: set[Connection], strangers: dict[Connection, None]
    ) -> None:
        self.congested = False
        self._guard = guard
        self._now = now
        self._opened = opened
        self._strangers = strangers
        self._is_stranger = True
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._client: Client | None = None
        self._chunks: list[bytes] = []
        self._pending = 0
        self._blocked = False
        self._woken = False

    # --- asyncio's side -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by descent
        self._transport.set_write_buffer_limits(high=EAGER_BYTES)
        self._opened.add(self)
        self._strangers[self] = None
        try:
            principal = self._principal(self._transport)
            self._client = self._guard.open(self, principal, self._now())
        except Exception as error:  # a certificate that TLS takes and we cannot read, or a socket that is gone
            log.warning("mqtt.connection_refused", error=repr(error))
            self.abort()

    def _principal(self, transport: asyncio.Transport) -> Principal:
        peer: ssl.SSLObject = transport.get_extra_info("ssl_object")
        der = peer.getpeercert(binary_form=True)
        if der is None:
            raise ConnectionAbortedError("no certificate")
        return principal_of(der, transport.get_extra_info("peername")[0])

    def data_received(self, data: bytes) -> None:
        self._guarded(lambda client: client.receive(data, self._now()))
        if self._is_stranger and self._client is not None and self._client.session is not None:
            self._is_stranger = False
            self._strangers.pop(self, None)

    def connection_lost(self, error: Exception | None) -> None:
        self._opened.discard(self)
        self._strangers.pop(self, None)
        self._transport = None
        self._guarded(lambda client: client.lost(self._now()))
        self._client = None

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        self._flush()

    def _guarded(self, step: Callable[[Client], None]) -> None:
        """Whatever goes wrong in one connection ends that one, and is told."""
        client = self._client
        if client is None:
            return
        try:
            step(client)
        except Exception:
            log.exception("mqtt.connection_failed", client_id=client.client_id, certificate_id=client.certificate_id)
            self._give_up(client)

    def _give_up(self, client: Client) -> None:
        try:
            client.end(endings.FAILED, self._now())
        except Exception:
            log.exception("mqtt.ending_failed", client_id=client.client_id, certificate_id=client.certificate_id)
        self.abort()

    # --- the client's Link --------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self._transport is None:
            return
        if not self._chunks:
            self._loop.call_soon(self._flush)
        self._chunks.append(data)
        self._pending += len(data)
        if self._pending > EAGER_BYTES:
            self._relieve()

    def _relieve(self) -> None:
        """Much is waiting: hands it on if the transport takes it, else tells the client."""
        if not self._blocked:
            self._flush()
        elif self._pending > self._guard.limits.write_buffer and not self.congested:
            self.congested = True
            if self._client is not None:
                self._client.congestion(self._now())

    def _flush(self) -> None:
        if self._blocked or self._transport is None or not self._chunks:
            return
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._pending = 0
        self._transport.write(data)
        if self.congested:
            self.congested = False
            self.wake()

    def close(self) -> None:
        """A client that does not read cannot be told goodbye."""
        if self._transport is None:
            return
        if self._blocked:
            self.abort()
            return
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._work)

    def _work(self) -> None:
        self._woken = False
        self._guarded(lambda client: client.work(self._now()))

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


class Listener:
    """Accepts connections, sees them through their handshake, and keeps to the limits.

    Those who dawdle over their CONNECT or their handshake make room for newer ones, the oldest first.
    """

    def __init__(
        self,
        listening: socket.socket,
        context: ssl.SSLContext,
        guard: Guard,
        now: Callable[[], Millis],
        max_connections: int,
    ) -> None:
        self._socket = listening
        self._context = context
        self._guard = guard
        self._now = now
        self._max_connections = max_connections
        self._opened: set[Connection] = set()
        self._strangers: dict[Connection, None] = {}  # those that were not admitted yet
        self._handshakes: dict[asyncio.Task[None], None] = {}

    @property
    def _limits(self) -> Limits:
        return self._guard.limits

    async def serve(self) -> None:
        """Accepts until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._socket)
            except OSError as error:  # out of file descriptors, most likely
                log.warning("mqtt.accept_failed", error=str(error))
                await asyncio.sleep(0.1)
                continue
            self._take(accepted)

    def _take(self, accepted: socket.socket) -> None:
        if len(self._opened) + len(self._handshakes) >= self._max_connections and not self._make_room():
            accepted.close()
            return
        if len(self._handshakes) >= self._limits.handshakes:
            self._break_off_handshake()
        task = asyncio.create_task(self._shake_hands(accepted))
        self._handshakes[task] = None
        task.add_done_callback(lambda done: self._handshakes.pop(done, None))

    def _make_room(self) -> bool:
        """Breaks off a connection that nobody was admitted on; False when there is none."""
        if self._strangers:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.abort()
        elif self._handshakes:
            self._break_off_handshake()
        else:
            return False
        return True

    def _break_off_handshake(self) -> None:
        oldest = next(iter(self._handshakes))
        del self._handshakes[oldest]
        oldest.cancel()

    async def _shake_hands(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            accepted.setblocking(False)
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            await loop.connect_accepted_socket(
                lambda: Connection(self._guard, self._now, self._opened, self._strangers),
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=self._limits.handshake_seconds,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
        except (OSError, asyncio.CancelledError):  # no TLS, no certificate, too slow, or pushed out
            accepted.close()

    async def close(self, seconds: float) -> None:
        """Gives connections that are ending this long, then breaks them off."""
        for task in list(self._handshakes):
            task.cancel()
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self._opened and loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for connection in list(self._opened):
            connection.abort()
        self._socket.close()
