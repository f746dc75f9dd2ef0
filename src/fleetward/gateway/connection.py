"""One connection: a socket below, a `Channel` on it, and a `Client` behind; one transport write a turn of the loop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

import structlog

from fleetward.gateway import endings
from fleetward.gateway.channels import Channel
from fleetward.gateway.client import Client
from fleetward.gateway.guard import Guard
from fleetward.gateway.identity import Principal
from fleetward.gateway.lobby import Lobby
from fleetward.gateway.proxy_header import NoClient
from fleetward.model import Millis

log = structlog.get_logger()

EAGER_BYTES = 256 * 1024
"""More than this is not kept for the end of the turn; also what the transport may hold before it says stop."""

LINGER_SECONDS = 3
"""After our goodbye, time for the other end to read it and to close."""


class Connection(asyncio.Protocol):
    """The `Link` of one client."""

    __slots__ = (
        "_blocked",
        "_channel",
        "_chunks",
        "_client",
        "_closing",
        "_gathering",
        "_guard",
        "_is_stranger",
        "_lobby",
        "_loop",
        "_now",
        "_opened",
        "_pending",
        "_timer",
        "_transport",
        "_woken",
        "congested",
    )

    def __init__(
        self, channel: Channel, guard: Guard, now: Callable[[], Millis], opened: set[Connection], lobby: Lobby
    ) -> None:
        self.congested = False
        self._channel = channel
        self._guard = guard
        self._now = now
        self._opened = opened
        self._lobby = lobby
        self._is_stranger = True
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._client: Client | None = None
        self._chunks: list[bytes] = []
        self._pending = 0
        self._blocked = False
        self._woken = False
        self._closing = False
        self._gathering = False
        self._timer: asyncio.TimerHandle | None = None

    # --- asyncio's side -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by descent
        self._transport.set_write_buffer_limits(high=EAGER_BYTES)
        self._opened.add(self)
        self._lobby.enter(self)
        self._timer = self._loop.call_later(self._guard.limits.handshake_seconds, self.abort)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if self._client is None:
            self.pause_reading()
            self._lobby.put(self, data)
        else:
            self._receive(self._client, data)

    def eof_received(self) -> None:
        """The other end will say no more: so will we, when what it asked for is answered."""
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._opened.discard(self)
        self._lobby.leave(self)
        self._stop_timer()
        self._transport = None
        if self._client is not None:
            self._guarded(self._client.lost)
        self._client = None

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        self._flush()

    # --- the opening --------------------------------------------------------------------------------------------------

    def identify(self, data: bytes) -> Principal | None:
        """On another thread: nothing else uses the channel before `identified`."""
        return self._channel.open(data) if self._transport is not None else None

    def identified(self, found: asyncio.Future[Principal | None]) -> None:
        if self._transport is None or self._transport.is_closing():
            found.exception()  # now of no interest
            return
        try:
            principal = found.result()
            if principal is not None:
                self._client = self._guard.open(self, principal, self._now())
        except Exception as error:  # no TLS, no certificate, one that we cannot read, no header
            self._turn_away(error)
            return
        self._answer()
        self.resume_reading()
        if self._client is not None:
            self._stop_timer()
            self._lobby.opened(self)
            self._receive(self._client, b"")

    def _turn_away(self, error: Exception) -> None:
        if isinstance(error, (ssl.SSLError, NoClient)):
            log.debug("mqtt.connection_refused", error=str(error))
        else:
            log.warning("mqtt.connection_refused", error=str(error) or repr(error))
        self._lobby.leave(self)
        self.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- what comes in ------------------------------------------------------------------------------------------------

    def _receive(self, client: Client, data: bytes) -> None:
        try:
            data = self._channel.receive(data)
        except ssl.SSLError as error:
            log.debug("mqtt.tls_broken", client_id=client.client_id, error=str(error))
            self._chunks.clear()  # nobody could read it
            self._guarded(client.lost)
            return
        if self._channel.has_answer:
            self._answer()
        if data:
            self._gathering = True
            try:
                client.receive(data, self._now())
            except Exception:
                self._fail(client)
            self._gathering = False
            self._flush()
        if self._channel.closed:
            self._guarded(client.lost)
        if self._is_stranger and client.session is not None:
            self._is_stranger = False
            self._lobby.leave(self)

    def _answer(self) -> None:
        """What TLS itself has to say. Who asks for it without end and reads nothing is given up."""
        answer = self._channel.answer()
        if answer and self._transport is not None:
            self._transport.write(answer)
            if self._blocked and self._transport.get_write_buffer_size() > self._guard.limits.write_buffer:
                self.abort()

    def _guarded(self, step: Callable[[Millis], None]) -> None:
        """Whatever goes wrong in one connection ends that one, and is told."""
        client = self._client
        if client is None:
            return
        try:
            step(self._now())
        except Exception:
            self._fail(client)

    def _fail(self, client: Client) -> None:
        log.exception("mqtt.connection_failed", client_id=client.client_id, certificate_id=client.certificate_id)
        try:
            client.end(endings.FAILED, self._now())
        except Exception:
            log.exception("mqtt.ending_failed", client_id=client.client_id, certificate_id=client.certificate_id)
        self.abort()

    # --- the client's Link --------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self._transport is None:
            return
        if not self._chunks and not self._gathering:
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
        if self._blocked or self._closing or self._transport is None or not self._chunks:
            return
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._pending = 0
        self._transport.write(self._channel.send(data))
        if self.congested:
            self.congested = False
            self.wake()

    def close(self) -> None:
        """Says goodbye and waits for the other end to close, so that what it sends meanwhile resets nothing.

        A client that does not read cannot be told goodbye.
        """
        if self._transport is None or self._closing:
            return
        if self._blocked:
            self.abort()
            return
        self._flush()
        self._closing = True
        if goodbye := self._channel.close():
            self._transport.write(goodbye)
        self._transport.write_eof()
        self._transport.resume_reading()
        self._stop_timer()
        self._timer = self._loop.call_later(LINGER_SECONDS, self.abort)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._work)

    def _work(self) -> None:
        self._woken = False
        if self._client is not None:
            self._guarded(self._client.work)

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
