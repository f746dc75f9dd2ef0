"""Raw requests on the wire: signed as the server reads them, framed, sent over a plain socket, and the answers."""

from __future__ import annotations

import hashlib
import hmac
import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fleetward.api import models
from fleetward.api.request import Request
from fleetward.api.signature import ALGORITHM, Claim, _canonical_request, _signing_key
from fleetward.client import ServerInfo

SIGNING_NAMES = {service: name for name, service in models.SIGNING_NAMES.items() if name != "iotdevicegateway"}


@dataclass
class Raw:
    """One request as it goes over the wire; `chunks` are the sizes of its body's parts, or None for Content-Length."""

    service: str
    operation: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    chunks: list[int] | None = None
    mutations: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def sign(raw: Raw, server: ServerInfo) -> None:
    """Signs what is sent, as the server reads it, so that damage gets past the signature."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    raw.headers["host"], raw.headers["x-amz-date"] = server.endpoint_url.partition("://")[2], now
    if raw.headers.get("x-amz-content-sha256"):
        raw.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
    service = SIGNING_NAMES[raw.service]
    claim = Claim(server.access_key_id, now[:8], server.region, service, tuple(sorted(raw.headers)), "", now, 0, None)
    request = Request(raw.method, raw.path, raw.query, raw.headers, raw.body)
    try:
        hashed = hashlib.sha256(_canonical_request(claim, request).encode()).hexdigest()
    except Exception:  # what cannot be signed is sent with a signature that cannot be right
        hashed = ""
    key = _signing_key(server.secret_access_key, claim.date, claim.region, service)
    signature = hmac.digest(key, f"{ALGORITHM}\n{now}\n{claim.scope}\n{hashed}".encode(), "sha256").hex()
    raw.headers["authorization"] = (
        f"{ALGORITHM} Credential={claim.key_id}/{claim.scope}, SignedHeaders={';'.join(claim.signed_headers)}, "
        f"Signature={signature}"
    )


def wire(raw: Raw) -> bytes:
    target = raw.path + (f"?{raw.query}" if raw.query else "")
    headers = {**raw.headers}
    body = raw.body
    if raw.chunks is not None:
        headers["transfer-encoding"] = "chunked"
        body = _chunked(raw.body, raw.chunks)
    else:
        headers["content-length"] = str(len(body))
    lines = [f"{raw.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace") + body


def _chunked(body: bytes, sizes: list[int]) -> bytes:
    parts, start = [], 0
    for size in (*sizes, len(body) + 1):
        part = body[start : start + size]
        start += size
        if part:
            parts.append(b"%x\r\n%s\r\n" % (len(part), part))
    return b"".join(parts) + b"0\r\n\r\n"


class Wire:
    """A keep-alive connection that is made anew whenever the server closes it."""

    def __init__(self, server: ServerInfo) -> None:
        host, _, port = server.endpoint_url.partition("://")[2].rpartition(":")
        self._address = (host, int(port))
        self._server = server
        self._file: Any = None

    def ask(self, raw: Raw) -> Answer:
        sign(raw, self._server)
        data = wire(raw)
        if self._file is None:
            self._socket = socket.create_connection(self._address, timeout=30)
            self._file = self._socket.makefile("rb")
        try:
            self._socket.sendall(data)
        except OSError:  # refused before it was read to its end: the answer is there already
            pass
        return self._read(raw.method)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._socket.close()
            self._file = None

    def _read(self, method: str) -> Answer:
        first = self._file.readline().split(b" ", 2)
        headers = {}
        while (line := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        length = 0 if method == "HEAD" else int(headers.get("content-length", 0))
        body = self._file.read(length)
        if headers.get("connection") == "close" or len(first) < 2:
            self.close()
        return Answer(int(first[1]) if len(first) > 1 else 0, headers, body)
