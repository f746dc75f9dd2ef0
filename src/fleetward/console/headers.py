"""What the console tells browsers to refuse.

Vue compiles its templates in the browser, which needs 'unsafe-eval', and Quasar sets styles on elements; scripts in the
page itself run only with the nonce of that very answer.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import Message, Send

nonce: ContextVar[str] = ContextVar("nonce", default="")
"""Of the answer that is being made."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'nonce-{nonce}' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def strictly(scope: MutableMapping[str, Any], send: Send) -> Send:
    """`send`, with the headers on every answer."""
    fresh = secrets.token_urlsafe(16)
    nonce.set(fresh)

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["content-security-policy"] = POLICY.format(nonce=fresh)
            for name, value in HEADERS.items():
                headers[name] = value
            if "_nicegui/" not in scope["path"]:
                headers["cache-control"] = "no-store"
        await send(message)

    return with_headers


def is_from_elsewhere(http: HTTPConnection) -> bool:
    """Whether another site's page made the browser ask: for anything but reading, and for a live connection."""
    if http.scope["type"] == "http" and http.scope["method"] in ("GET", "HEAD") and "_nicegui_ws" not in http.url.path:
        return False
    origin = http.headers.get("origin")
    if origin is None:
        return http.scope["type"] == "websocket" or http.headers.get("sec-fetch-site") not in (None, "same-origin")
    return urlsplit(origin).netloc != http.headers.get("host")
