"""A request as the door reads it: raw where the signature needs it raw, decoded where the protocols want it decoded."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any
from urllib.parse import unquote, unquote_plus

from fleetward import errors

MAX_FIELDS = 10_000
"""Fields of a form or query string; the largest legal request (an SNS batch) has about a thousand."""

MAX_FIELD_NAME = 1024


class Request:
    """One HTTP request. `path` is still %-encoded, with `//` and dot segments resolved: what a signature covers."""

    def __init__(
        self,
        method: str,
        path: str,
        query: str,
        headers: dict[str, str],
        body: bytes = b"",
        peer: str = "",
        secure: bool = False,
    ) -> None:
        self.method = method
        self.path = normalise(path)
        self.query = query
        self.headers = headers
        self.body = body
        self.peer = peer
        self.secure = secure

    @cached_property
    def query_pairs(self) -> list[tuple[str, str]]:
        """The decoded query string in order. `+` stays `+`: that is what the signature means by it."""
        return _pairs(self.query, unquote)

    @cached_property
    def query_values(self) -> dict[str, list[str]]:
        values: dict[str, list[str]] = {}
        for name, value in self.query_pairs:
            values.setdefault(name, []).append(value)
        return values

    @cached_property
    def form(self) -> dict[str, str]:
        """The fields of the query protocol, from the query string and from a form body (the body wins)."""
        fields = dict(self.query_pairs)
        if self.body and self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            try:
                fields.update(_pairs(self.body.decode("ascii"), unquote_plus))
            except UnicodeDecodeError:
                raise errors.Serialization("The form body is not URL-encoded.") from None
        return fields


def from_scope(scope: Any) -> Request:
    """The request of an ASGI scope, its body not yet read."""
    client = scope.get("client")
    return Request(
        scope["method"],
        (scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
        scope["query_string"].decode("latin-1"),
        joined(scope["headers"]),
        peer=client[0] if client else "",
        secure=scope.get("scheme") == "https",
    )


def joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Lower-case headers; a repeated one is joined with commas, as the canonical request wants it."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def normalise(path: str) -> str:
    """Resolves `.`, `..` (RFC 3986 §5.2.4) and, as AWS does, empty segments of a raw path, but keeps a last `/`."""
    if path.startswith("/") and "//" not in path and "/." not in path:
        return path
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")


def _pairs(text: str, decode: Any) -> list[tuple[str, str]]:
    if text.count("&") >= MAX_FIELDS:
        raise errors.Serialization(f"More than {MAX_FIELDS} fields.")
    pairs = []
    for field in text.split("&"):
        if not field:
            continue
        name, _, value = field.partition("=")
        if len(name) > MAX_FIELD_NAME:
            raise errors.Serialization(f"A field name longer than {MAX_FIELD_NAME} characters.")
        pairs.append((decode(name), decode(value)))
    return pairs
