"""A house of just the AWS door over a real store, and signed requests to it without a socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from fleetward.access.authorizer import Authorizer
from fleetward.access.keyring import KeyRing
from fleetward.access.keys import AccessKey, ensure_root_key
from fleetward.api.call import Rooms
from fleetward.api.door import make_door
from fleetward.arn import Arns
from fleetward.records import Change
from fleetward.registry.feed import Feed
from fleetward.registry.fleet import read_fleet
from fleetward.registry.view import FleetView
from fleetward.settings import Settings
from fleetward.store.database import Database, sqlite_url
from fleetward.store.tables.base import metadata

REGION = "us-east-1"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class House:
    """`skew` milliseconds are added to the real time, which botocore signs with."""

    folder: Path
    skew: int = 0
    rooms: Rooms = field(init=False)
    root: AccessKey = field(init=False)

    def __post_init__(self) -> None:
        database = Database(sqlite_url(self.folder / "house.db"))
        metadata.create_all(database.engine)
        arns = Arns(REGION, "123456789012")
        self.rooms = Rooms(
            Settings(),
            arns,
            self.now,
            database,
            KeyRing(database),
            authorizer=Authorizer(database, arns),
            view=following(database, arns),
        )
        self.door = make_door(self.rooms)
        with database.transaction(self.now()) as tx:
            self.root = ensure_root_key(tx, arns)

    def now(self) -> int:
        return time.time_ns() // 1_000_000 + self.skew

    def ask(self, method: str, url: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
        """Sends a request as it stands."""
        return asyncio.run(ask(self.door, method, url, {"host": "localhost", **(headers or {})}, [body]))

    def ask_signed(self, method: str, url: str, service: str, body: bytes = b"", **how: Any) -> Answer:
        headers = signed(method, url, service, self.root, body, **how)
        return self.ask(method, url, headers, body)

    def close(self) -> None:
        self.rooms.database.close()


def following(database: Database, arns: Arns) -> FleetView:
    """A view that follows the store."""
    view = FleetView(arns)

    def follow(changes: Sequence[Change]) -> None:
        for change in changes:
            view.apply(change)

    Feed(database).subscribe(follow)
    for records in read_fleet(database):
        view.load(records)
    return view


def signed(
    method: str,
    url: str,
    service: str,
    key: AccessKey,
    body: bytes = b"",
    region: str = REGION,
    headers: dict[str, str] | None = None,
) -> dict[str, str]:
    """The headers of a request as botocore signs it."""
    request = AWSRequest(method, f"http://localhost{url}", {**(headers or {})}, body)
    SigV4Auth(_credentials(key), service, region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


def presigned(method: str, url: str, service: str, key: AccessKey, expires: int = 300) -> str:
    """The path and query of a URL presigned by botocore."""
    request = AWSRequest(method, f"http://localhost{url}")
    SigV4QueryAuth(_credentials(key), service, REGION, expires=expires).add_auth(request)
    parts = urlsplit(request.url)
    return f"{parts.path}?{parts.query}"


def _credentials(key: AccessKey) -> Credentials:
    return Credentials(key.id, key.secret, key.session_token)


async def ask(door: Any, method: str, url: str, headers: dict[str, str], chunks: Iterable[bytes]) -> Answer:
    """One request through the ASGI interface, its body in `chunks`."""
    path, _, query = url.partition("?")
    waiting = list(chunks)
    if any(waiting) and "transfer-encoding" not in headers:
        headers.setdefault("content-length", str(sum(map(len, waiting))))
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": ("127.0.0.1", 50000),
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        chunk = waiting.pop(0) if waiting else b""
        return {"type": "http.request", "body": chunk, "more_body": bool(waiting)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await door(scope, receive, send)
    found = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], found, b"".join(message["body"] for message in sent[1:]))
