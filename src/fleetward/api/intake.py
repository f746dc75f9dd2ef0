"""Reading request bodies: never more than one request may send, nor more than all may hold together, nor for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fleetward import errors
from fleetward.api.request import Request

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

MEBIBYTE = 1024 * 1024

BODY_LIMITS = {"lambda": 70 * MEBIBYTE}
"""Bytes of a body by service; a function's archive of 50 MiB is 67 MiB as base64 in JSON."""

BODY_LIMIT = 16 * MEBIBYTE

HELD_LIMIT = 512 * MEBIBYTE
"""Bytes of half-received bodies that may wait in memory at once."""

BODY_TIMEOUT = 60.0
"""Seconds a body may take to arrive."""


class ClientGone(Exception):
    """The client hung up before its request was complete; there is nobody left to answer."""


class Intake:
    """Reads bodies, and knows how many bytes of unfinished ones it holds."""

    def __init__(self) -> None:
        self.held = 0

    async def read(self, receive: Receive, request: Request, service: str) -> bytes:
        """The whole body. Raises errors.RequestTooLarge (before it is read, where the length is announced),
        errors.ServiceUnavailable, errors.RequestTimeout, or ClientGone.
        """
        limit = BODY_LIMITS.get(service, BODY_LIMIT)
        length = request.headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 16) or int(length) > limit:
            raise _too_large(limit)
        if length == "0" and "transfer-encoding" not in request.headers:
            return b""
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                return await self._collect(receive, limit)
        except TimeoutError:
            raise errors.RequestTimeout(f"The body did not arrive within {BODY_TIMEOUT:.0f} seconds.") from None

    async def _collect(self, receive: Receive, limit: int) -> bytes:
        body = bytearray()
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunk = message.get("body", b"")
                if len(body) + len(chunk) > limit:
                    raise _too_large(limit)
                if self.held + len(chunk) > HELD_LIMIT:
                    raise errors.ServiceUnavailable("Too much is being received at once; try again.")
                body += chunk
                self.held += len(chunk)
                if not message.get("more_body", False):
                    return bytes(body)
        finally:
            self.held -= len(body)


def _too_large(limit: int) -> errors.Refusal:
    return errors.RequestTooLarge(f"The body may have at most {limit} bytes.")
