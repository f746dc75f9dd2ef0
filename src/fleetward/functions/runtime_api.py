"""The Lambda Runtime API of one function process: hands out events, takes back responses and errors.

One listener on a free loopback port per process; `trusted` decides about each connection before a word on it is heard.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import httptools

from fleetward.functions.records import MAX_RESPONSE, Answer, Event, failure

Address: TypeAlias = tuple[str, int]
Trust: TypeAlias = Callable[[Address, Address], Awaitable[bool]]
"""(peer, here) → whether the process that connected is the function's own."""

_PREFIX = "/2018-06-01/runtime"
_OUTCOME = re.compile(re.escape(_PREFIX) + r"/invocation/([0-9a-f-]{36})/(response|error)")
_MAX_CONNECTIONS = 4
_MAX_HEADERS = 2 * 1024 * 1024  # awslambdaric sends up to 1 MiB of tracing data in a header.


class RuntimeApi:
    """Use: `await idle()`, then `await invoke(event)`, again and again until it has `failed`."""

    def __init__(self, function_arn: str, trusted: Trust) -> None:
        self.function_arn = function_arn
        self.trusted = trusted
        self.failed: Answer | None = None
        self.address: Address = ("127.0.0.1", 0)
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._idle = asyncio.Event()
        self._waiting: _Connection | None = None
        self._current_id = ""
        self._answer: asyncio.Future[Answer] | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), *self.address)
        self.address = self._server.sockets[0].getsockname()[:2]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.abort()

    async def idle(self) -> Answer | None:
        """Waits until the process asks for an event (None), or has failed (why)."""
        await self._idle.wait()
        return self.failed

    async def invoke(self, event: Event) -> Answer:
        """Hands `event` to the process that waits for one, and waits for what it answers."""
        if self._waiting is None:
            return self.failed or failure("Runtime.ExitError", "Runtime is gone", event.request_id)
        self._answer = asyncio.get_running_loop().create_future()
        self._current_id = event.request_id
        connection, self._waiting = self._waiting, None
        self._idle.clear()
        connection.reply(200, event.payload, self._headers(event))
        return await self._answer

    def fail(self, answer: Answer) -> None:
        """The process ended or must end: whoever waits gets `answer`. The first reason stays."""
        self.failed = self.failed or answer
        self._idle.set()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    # --- what the process asks ---

    def handle(
        self, connection: _Connection, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> None:
        """`body` is None when it was longer than a response may be."""
        if (method, path) == ("GET", f"{_PREFIX}/invocation/next"):
            self._next(connection)
        elif (method, path) == ("POST", f"{_PREFIX}/init/error"):
            self.fail(Answer(body or b"{}", headers.get("lambda-runtime-function-error-type", "Runtime.InitError")))
            connection.reply(202, b'{"status":"OK"}')
        elif method == "POST" and (match := _OUTCOME.fullmatch(path)):
            self._outcome(connection, match[1], match[2] == "error", headers, body)
        else:
            connection.reply(404, b'{"errorMessage":"No such path","errorType":"InvalidPath"}')

    def _next(self, connection: _Connection) -> None:
        if self._current_id or self._waiting is not None:
            connection.reply(
                403, b'{"errorMessage":"State transition is not allowed","errorType":"InvalidStateTransition"}'
            )
            return
        self._waiting = connection
        self._idle.set()

    def _headers(self, event: Event) -> dict[str, str]:
        headers = {
            # Without a Content-Type awslambdaric crashes.
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": event.request_id,
            "Lambda-Runtime-Deadline-Ms": str(event.deadline),
            "Lambda-Runtime-Invoked-Function-Arn": self.function_arn,
        }
        if event.client_context:
            headers["Lambda-Runtime-Client-Context"] = event.client_context
        return headers

    def _outcome(
        self, connection: _Connection, request_id: str, error: bool, headers: dict[str, str], body: bytes | None
    ) -> None:
        if request_id != self._current_id or self._answer is None or self._answer.done():
            connection.reply(400, b'{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}')
            return
        self._current_id = ""
        if body is None:
            text = f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE} bytes)."
            self._answer.set_result(failure("Function.ResponseSizeTooLarge", text, request_id))
            connection.reply(
                413, b'{"errorMessage":"Exceeded maximum allowed payload size","errorType":"RequestEntityTooLarge"}'
            )
            return
        error_type = headers.get("lambda-runtime-function-error-type", "Unhandled") if error else None
        self._answer.set_result(Answer(body, error_type))
        connection.reply(202, b'{"status":"OK"}')

    # --- its connections ---

    def opened(self, connection: _Connection) -> bool:
        if len(self._connections) >= _MAX_CONNECTIONS:
            return False
        self._connections.add(connection)
        return True

    def closed(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        if self._waiting is connection:
            self._waiting = None
            self._idle.clear()


class _Connection(asyncio.Protocol):
    """HTTP/1.1 on one connection. Nothing is parsed before the peer is trusted."""

    def __init__(self, api: RuntimeApi) -> None:
        self._api = api
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._trusting: asyncio.Task[None] | None = None
        self._unheard: bytearray | None = bytearray()
        self.on_message_begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are not asyncio's.
        if not self._api.opened(self):
            transport.close()
            return
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer, here = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._trusting = asyncio.get_running_loop().create_task(self._trust(peer, here))

    async def _trust(self, peer: Address, here: Address) -> None:
        if not await self._api.trusted(peer, here):
            self.abort()
        elif self._unheard is not None:
            unheard, self._unheard = self._unheard, None
            self.data_received(bytes(unheard))

    def connection_lost(self, _: Exception | None) -> None:
        self._api.closed(self)
        if self._trusting is not None:
            self._trusting.cancel()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._unheard is not None:
            self._unheard += data
            if len(self._unheard) > _MAX_HEADERS:
                self.abort()
            return
        self._header_size += len(data) if self._in_headers else 0
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()
        if self._in_headers and self._header_size > _MAX_HEADERS:
            self.abort()

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        lines = [f"HTTP/1.1 {status} {_REASONS[status]}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {"Content-Type": "application/json"}).items()]
        self._write("\r\n".join((*lines, "", "")).encode("latin-1") + body)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    # --- called by httptools ---

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_size = 0
        self._header_size = 0
        self._in_headers = True

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        if key == "lambda-runtime-function-error-type":
            self._headers[key] = value.decode("latin-1")[:256]
        elif key == "expect":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_headers_complete(self) -> None:
        self._in_headers = False

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        if self._body_size > MAX_RESPONSE:
            self._body.clear()
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        self._in_headers = True
        method = self._parser.get_method().decode("latin-1")
        body = b"".join(self._body) if self._body_size <= MAX_RESPONSE else None
        self._api.handle(self, method, self._url.decode("latin-1"), self._headers, body)


_REASONS = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    413: "Payload Too Large",
}
