"""Both ends of a delivery for tests: the room on a real store, an HTTP receiver and an SMTP server on loopback."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from fleetward.arn import Arns
from fleetward.functions import queue
from fleetward.notify import topics
from fleetward.notify.service import Notifier
from fleetward.notify.signature import Signer
from fleetward.settings import Settings
from fleetward.store.database import Database, sqlite_url
from fleetward.store.tables import functions, notify, registry
from fleetward.store.tables.base import metadata

ARNS = Arns("us-east-1", "123456789012")
FUNCTION = ARNS.function("IsolateDevice")
NOW = 1_573_786_836_527
TABLES = (notify, functions, registry)


class ManualClock:
    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@dataclass
class Functions:
    """The functions room as notify knows it: what exists and permits is told, the queue is the real one."""

    database: Database
    exists: bool = True
    permits: bool = True

    @property
    def queued(self) -> list[tuple[str, dict[str, Any], str]]:
        """(function, event, delivery) in the order of arrival."""
        table = functions.invocations
        with self.database.read() as look:
            rows = look.all(table.select().order_by(table.c.sequence))
        return [(row["function_name"], json.loads(row["payload"]), row["source_id"]) for row in rows]


@dataclass
class House:
    database: Database
    notifier: Notifier
    clock: Callable[[], int]
    functions: Functions
    settings: Settings
    base_url: str = "http://127.0.0.1:7700"

    def topic(self, name: str = "BadIoTDevices", **attributes: str) -> str:
        arn = ARNS.topic(name)
        with self.database.transaction(self.clock()) as tx:
            topics.create(tx, name, attributes, {}, arn)
        return arn

    def subscribe(self, topic: str, protocol: str, endpoint: str, **attributes: str) -> str:
        with self.database.transaction(self.clock()) as tx:
            return self.notifier.subscription_arn(
                self.notifier.subscribe(tx, topic, protocol, endpoint, attributes, ARNS.root)
            )

    def publish(self, topic: str, message: str, **more: Any) -> str:
        with self.database.transaction(self.clock()) as tx:
            return self.notifier.publish(tx, topic, message, **more)

    def confirm(self, topic: str, token: str) -> str:
        with self.database.transaction(self.clock()) as tx:
            return self.notifier.confirm(tx, topic, token)

    def log(self, topic: str | None = None, message_id: str | None = None) -> list[dict[str, Any]]:
        with self.database.read() as look:
            return self.notifier.delivery_log(look, topic, message_id)

    def mails(self) -> list[dict[str, Any]]:
        with self.database.read() as look:
            return self.notifier.mails(look)

    async def until(self, condition: Callable[[], Any], seconds: float = 10.0) -> Any:
        """Waits for what deliveries bring about; fails the test when it does not come."""
        async with asyncio.timeout(seconds):
            while not (found := condition()):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return found

    async def settled(self, message_id: str) -> list[dict[str, Any]]:
        """The log of a message none of whose deliveries waits for an attempt any more."""

        def ended() -> list[dict[str, Any]]:
            rows = self.log(message_id=message_id)
            return rows if all(row["status"] != "pending" for row in rows) else []

        found: list[dict[str, Any]] = await self.until(ended)
        return found


def house(folder: Path, clock: Callable[[], int] | None = None, **settings: Any) -> House:
    database = Database(sqlite_url(folder / "store.db"))
    metadata.create_all(database.engine)
    clock, given, doubles = clock or ManualClock(), Settings(data_dir=folder, **settings), Functions(database)
    built = House(database, None, clock, doubles, given)  # type: ignore[arg-type]
    built.notifier = Notifier(
        database,
        given,
        clock,
        ARNS,
        lambda: built.base_url,
        queue.enqueue,
        lambda look, function, topic: doubles.permits,
        lambda look, function: doubles.exists,
        Signer.load_or_create(folder, clock()),
    )
    return built


# --- an HTTP receiver -------------------------------------------------------------------------------------------------


@dataclass
class Received:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Receiver:
    """Answers each request with the next status of `script`, at the end with the last; 0 never answers."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.script = [200]
        self.extra = b""
        self.content = b"hello"
        self.pages: dict[str, bytes] = {}
        self.hold = asyncio.Event()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                method, target, _ = line.decode().split()
                headers = {}
                while (header := await reader.readline()) not in (b"\r\n", b""):
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                await self.answer(Received(method, target, headers, body), writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def answer(self, request: Received, writer: asyncio.StreamWriter) -> None:
        if request.method == "GET":
            status, content = 200, self.pages[request.target]
        else:
            self.requests.append(request)
            status = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            content = self.content
            if status == 0:
                await self.hold.wait()
        head = f"HTTP/1.1 {status or 200} X\r\nContent-Length: {len(content)}\r\n".encode()
        writer.write(head + self.extra + b"\r\n" + content)
        await writer.drain()


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        made.hold.set()
        server.close()


# --- an SMTP server ---------------------------------------------------------------------------------------------------


class SmtpSink:
    """Takes mails as [RFC 5321] says; answers RCPT with the next of `script`, at the end with the last."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, str, bytes]] = []
        self.script = ["250 ok"]
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender = recipient = ""
        writer.write(b"220 sink ESMTP\r\n")
        while line := (await reader.readline()).decode().strip():
            verb = line.split()[0].upper()
            reply = "250 ok"
            if verb == "MAIL":
                sender = line.partition("<")[2].partition(">")[0]
            elif verb == "RCPT":
                recipient = line.partition("<")[2].partition(">")[0]
                reply = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            elif verb == "DATA":
                writer.write(b"354 go on\r\n")
                data = await reader.readuntil(b"\r\n.\r\n")
                self.mails.append((sender, recipient, data[:-3].replace(b"\r\n..", b"\r\n.")))
            elif verb == "QUIT":
                reply = "221 bye"
            writer.write(f"{reply}\r\n".encode())
            await writer.drain()
            if verb == "QUIT":
                break
        writer.close()


@asynccontextmanager
async def smtp_sink() -> AsyncIterator[SmtpSink]:
    made = SmtpSink()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


# --- verification as a subscriber does it -----------------------------------------------------------------------------


def verify(document: dict[str, Any], certificate_pem: bytes) -> None:
    """Verifies a signature by the steps of AWS's page for subscribers; raises InvalidSignature."""
    if document["Type"] == "Notification":
        names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    else:
        names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = ""
    for name in names:
        if name in document:
            text += name + "\n" + document[name] + "\n"
    algorithm = {"1": hashes.SHA1(), "2": hashes.SHA256()}[document["SignatureVersion"]]
    key: Any = x509.load_pem_x509_certificate(certificate_pem).public_key()
    key.verify(base64.b64decode(document["Signature"]), text.encode("utf-8"), PKCS1v15(), algorithm)
