"""The HTTP connections of the AWS door: uvicorn's, with bounds on what comes before a request is known.

Until its headers are complete nobody knows who is asking, and uvicorn itself waits for them, and keeps them, without
end. Here they may have so many bytes and take so long, and connections that dawdle make room for newer ones.
"""

from __future__ import annotations

import asyncio
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_BYTES = 128 * 1024
"""Of a request line and headers, or of trailers; a presigned URL, the longest that is legal, has about 8 KiB."""

HEADER_SECONDS = 10.0
CONNECTIONS = 512


class HttpConnection(HttpToolsProtocol):
    """For uvicorn's setting `http`."""

    _pending = 0  # bytes that led to nothing yet
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()
        if len(self.connections) > CONNECTIONS:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._have_headers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._pending += len(data)
        super().data_received(data)
        if self._pending > HEADER_BYTES:
            self.give_up()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_headers()

    def on_headers_complete(self) -> None:
        self._have_headers()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._pending = 0
        super().on_body(body)

    def give_up(self) -> None:
        """There is nobody yet who could be answered."""
        self.transport.abort()

    @property
    def idle_until(self) -> float | None:
        """When it is closed unless a request comes (the loop's time); None while one is being answered."""
        timer = self._patience or self.timeout_keep_alive_task
        return timer.when() if timer is not None else None

    def _await_headers(self) -> None:
        self._pending = 0
        if self._patience is None:
            self._patience = self.loop.call_later(HEADER_SECONDS, self.give_up)

    def _have_headers(self) -> None:
        self._pending = 0
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _make_room(self) -> None:
        """Gives up the idle connection whose time ends first; this one when all the others are being answered."""
        connections = cast(set[HttpConnection], self.connections)
        idle = {other: until for other in connections if (until := other.idle_until) is not None}
        min(idle, key=idle.__getitem__, default=self).give_up()
