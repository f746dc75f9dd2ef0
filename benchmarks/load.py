"""The client of benchmarks/api.py: the same signed requests to any server, on keep-alive connections or by boto3."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
import uvloop
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from peers import Server

REGION = "us-east-1"
CONNECTIONS = 8


@dataclass(frozen=True)
class Work:
    """What is asked for: a method and the paths that are asked for in turn."""

    name: str
    method: str
    paths: Callable[[], Iterator[str]]
    body: bytes = b""
    boto3_call: Callable[[Any], Callable[[], Any]] | None = None
    """The same call through a boto3 client."""
    new_each_time: bool = False
    """Whether each request is another one, and so is signed on its own."""
    service: str = "iot"
    headers: Mapping[str, str] = field(default_factory=dict)


def signed(server: Server, work: Work, path: str) -> bytes:
    """The request as it goes over the wire, signed by botocore."""
    host = server.url.partition("://")[2]
    headers = {"host": host, "content-type": "application/json", **work.headers}
    request = AWSRequest(work.method, f"{server.url}{path}", headers, work.body)
    SigV4Auth(Credentials(server.key_id, server.secret), work.service, REGION).add_auth(request)
    lines = [f"{work.method} {path} HTTP/1.1", *(f"{key}: {value}" for key, value in request.headers.items())]
    lines += [f"content-length: {len(work.body)}", "", ""]
    return "\r\n".join(lines).encode() + work.body


class Connection(asyncio.Protocol):
    """Asks one request after the other; a server that closes is connected to anew for the next one."""

    def __init__(self, requests: Iterator[bytes], tally: Tally) -> None:
        self.requests = requests
        self.tally = tally
        self.buffer = b""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        self.tally.add(head, body)
        self.buffer = b""
        if b"connection: close" in head.lower() or head.startswith(b"HTTP/1.0") or self.tally.over:
            self.transport.close()
        else:
            self._ask()

    def connection_lost(self, _reason: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def _ask(self) -> None:
        self.transport.write(next(self.requests))


class Tally:
    """Counts answers until the time is over; anything but a success ends the run."""

    def __init__(self, seconds: float) -> None:
        self.count = 0
        self.failure = ""
        self.started = time.perf_counter()
        self.end = self.started + seconds

    @property
    def over(self) -> bool:
        return time.perf_counter() >= self.end

    def add(self, head: bytes, body: bytes) -> None:
        if b" 200 " not in head.partition(b"\r\n")[0]:
            self.failure, self.end = f"{head.decode()}\n{body.decode()}", 0.0
        self.count += 1
        self.last = time.perf_counter()

    @property
    def rate(self) -> float:
        return self.count / (self.last - self.started)


def _length(head: bytes) -> int:
    lower = head.lower()
    start = lower.index(b"content-length:") + len(b"content-length:")
    return int(lower[start:].partition(b"\r\n")[0])


def requests_for(server: Server, work: Work) -> Iterator[bytes]:
    """Signed requests; those that repeat are signed once, as their signature is valid for a while."""
    kept: dict[str, bytes] = {}
    for path in work.paths():
        if work.new_each_time:
            yield signed(server, work, path)
        else:
            if path not in kept:
                kept[path] = signed(server, work, path)
            yield kept[path]


def raw_rate(server: Server, work: Work, seconds: float, connections: int = CONNECTIONS) -> float:
    """Answers a second over keep-alive connections. What is new each time is signed before the clock runs."""
    source = requests_for(server, work)
    if work.new_each_time:
        source = iter([next(source) for _ in range(int(seconds * 6_000))])

    async def one(tally: Tally) -> None:
        while not tally.over:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(source, tally), *server.address
            )
            await connection.closed

    async def all_of_them() -> float:
        tally = Tally(seconds)
        await asyncio.gather(*(one(tally) for _ in range(connections)))
        if tally.failure:
            raise RuntimeError(f"{work.name} on {server.name} failed: {tally.failure}")
        return tally.rate

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(all_of_them())


def boto3_rate(server: Server, work: Work, seconds: float) -> float:
    """Calls a second of one boto3 client that does nothing else."""
    client = boto3_client(server)
    assert work.boto3_call is not None
    call = work.boto3_call(client)
    call()
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        call()
        count += 1
    return count / (time.perf_counter() - started)


def boto3_client(server: Server) -> Any:
    config = Config(retries={"total_max_attempts": 1}, proxies={})
    keys = {"aws_access_key_id": server.key_id, "aws_secret_access_key": server.secret}
    return boto3.client("iot", endpoint_url=server.url, region_name=REGION, config=config, **keys)
