"""What strangers can do to the HTTP port before they have said who they are."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest
import uvicorn

from fleetward.api import connection
from fleetward.api.connection import HttpConnection

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
FLOOD = b"".join(b"a%d: %s\r\n" % (i, b"x" * 1000) for i in range(1000))


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the size of the body."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    text = b"%d" % len(body)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]})
    await send({"type": "http.response.body", "body": text})


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """The port of a running server."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(answer, http=HttpConnection, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        server.capture_signals = nullcontext  # type: ignore[method-assign]
        task = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = server.force_exit = True
            await task


async def opened(port: int, data: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    return reader, writer


async def is_closed(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(5):
            await reader.read()
    except ConnectionError:
        return True
    return True


@pytest.mark.parametrize(
    "start",
    [
        b"GET / HTTP/1.1\r\n",
        b"GET /" + b"x" * 1_000_000,
        b"GET / HTTP/1.1\r\nA: " + b"x" * 1_000_000,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
    ],
)
def test_endless_headers_are_cut_off(start: bytes) -> None:
    """Headers, trailers and request lines are bounded, however they come."""

    async def run() -> None:
        async with serving() as port:
            reader, writer = await opened(port, start)
            writer.write(FLOOD)
            assert await is_closed(reader)
            writer.close()

    asyncio.run(run())


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nA", REQUEST + b"GET"])
def test_headers_must_come_in_time(monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    """A connection without a request, or with half of one, is closed after a while."""
    monkeypatch.setattr(connection, "HEADER_SECONDS", 0.1)

    async def run() -> None:
        async with serving() as port:
            reader, writer = await opened(port, start)
            assert await is_closed(reader)
            writer.close()

    asyncio.run(run())


def test_large_bodies_pass() -> None:
    """Only headers are bounded here: a body may be large, and a connection may carry many requests."""

    async def run() -> None:
        async with serving() as port:
            reader, writer = await opened(port)
            for size in (0, 3_000_000, 200_000, 1):
                writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
                await writer.drain()
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                assert await reader.readexactly(len(str(size))) == str(size).encode()
            writer.close()

    asyncio.run(run())


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nA", REQUEST])
def test_idle_connections_make_room(monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    """Whoever holds all connections without asking for anything keeps nobody else out."""
    monkeypatch.setattr(connection, "CONNECTIONS", 3)

    async def run() -> None:
        async with serving() as port:
            held = []
            for _ in range(3):
                held.append(await opened(port, start))
                if start == REQUEST:
                    await held[-1][0].readuntil(b"\r\n\r\n")
            reader, writer = await opened(port, REQUEST)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            assert await is_closed(held[0][0])
            for _, other in [*held, (reader, writer)]:
                other.close()

    asyncio.run(run())
