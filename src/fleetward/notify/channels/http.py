"""http and https: POST to an endpoint, success is a 2xx within 15 s; redirects are never followed.

An endpoint may be anywhere, loopback and private networks included, because people host both ends themselves. Whoever
may call Subscribe can thus make this server send POST requests (and see the status, never the body, of the answers)
inside its network: narrow it with the setting `http_subscribers`, or with the policy of those callers.
"""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urlsplit, urlunsplit

import httpx

from fleetward.errors import InvalidParameter
from fleetward.notify import retry
from fleetward.notify.channel import Channel, Check, Doors, Outcome, delivered, refused, try_again
from fleetward.notify.message import Parcel, http_body, http_headers
from fleetward.settings import Settings
from fleetward.store.database import Reader

TIMEOUT_SECONDS = 15.0
DRAIN_SECONDS = 1.0
MAX_RESPONSE_BYTES = 64 * 1024
MAX_URL = 2048
_URL_LETTERS = re.compile(r"[\x21-\x7e]+")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def client() -> httpx.AsyncClient:
    """Honours the proxy variables of the environment, but never for loopback."""
    return httpx.AsyncClient(
        timeout=TIMEOUT_SECONDS,
        follow_redirects=False,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=15),
        mounts={f"all://{host}": None for host in _LOOPBACK},
    )


def _check(scheme: str) -> Check:
    def check(look: Reader, doors: Doors, endpoint: str) -> None:
        parts = _split(endpoint)
        if parts is None or parts[0] != scheme:
            raise InvalidParameter("Invalid parameter: Endpoint must match the specified protocol")
        if not _allowed(doors.settings, scheme):
            raise InvalidParameter(f"Invalid parameter: Endpoint Reason: {_forbidden(doors.settings)}")

    return check


def _split(endpoint: str) -> tuple[str, str] | None:
    """(scheme, host) of a URL that can be called."""
    if len(endpoint) > MAX_URL or not _URL_LETTERS.fullmatch(endpoint):
        return None
    try:
        url, _ = httpx.URL(endpoint), urlsplit(endpoint)
    except (httpx.InvalidURL, ValueError):
        return None
    return (url.scheme, url.host) if url.host and url.port != 0 else None


def _allowed(settings: Settings, scheme: str) -> bool:
    return settings.http_subscribers == "any" or settings.http_subscribers == scheme


def _forbidden(settings: Settings) -> str:
    return f"the setting http_subscribers={settings.http_subscribers} does not allow this endpoint"


async def send(parcel: Parcel, doors: Doors) -> Outcome:
    if not _allowed(doors.settings, parcel.subscription.protocol):
        return refused(_forbidden(doors.settings))
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            code = await _post(parcel, doors)
    except TimeoutError:
        return try_again(f"no answer within {TIMEOUT_SECONDS:g} seconds")
    except httpx.InvalidURL as error:
        return refused(f"the endpoint is no valid URL: {error}")
    except httpx.HTTPError as error:
        return try_again(f"{type(error).__name__}: {error}".rstrip(": "))
    return _judge(code)


async def _post(parcel: Parcel, doors: Doors) -> int:
    assert doors.client is not None
    body = http_body(parcel).encode()
    url = parcel.subscription.endpoint
    async with doors.client.stream("POST", url, content=body, headers=http_headers(parcel)) as response:
        await _drain(response)
        return response.status_code


async def _drain(response: httpx.Response) -> None:
    """Reads a short answer to its end, so that the connection can be used again; a long or slow one changes nothing."""
    size = 0
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            async for chunk in response.aiter_raw():  # raw, so that nothing unpacks
                size += len(chunk)
                if size > MAX_RESPONSE_BYTES:
                    return
    except (TimeoutError, httpx.HTTPError):
        pass


def _judge(code: int) -> Outcome:
    """2xx is success, 429 and 5xx are worth another try, everything else is final."""
    if 200 <= code < 300:
        return delivered(code)
    if 300 <= code < 400:
        return refused(f"the endpoint answered {code}; redirects are not followed", code)
    if 400 <= code < 500 and code != 429:
        return refused(f"the endpoint answered {code}", code)
    return try_again(f"the endpoint answered {code}", code)


def masked(endpoint: str) -> str:
    """The endpoint with the password, if any, hidden."""
    parts = urlsplit(endpoint)
    if parts.password is None:
        return endpoint
    credentials, _, place = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{credentials.split(':')[0]}:****@{place}"))


def _channel(scheme: str) -> Channel:
    return Channel(
        check=_check(scheme),
        send=send,
        retries=retry.HTTP,
        needs_confirmation=True,
        supports_raw=True,
        concurrency=128,
    )


CHANNEL = _channel("http")
SECURE_CHANNEL = _channel("https")
