"""Signature Version 4, verified: header form and presigned URL.

Rules: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
Three steps, cheapest first, so that a request that cannot be right is refused before its body is read: `read` takes the
claim from the request, `check` holds it against clock and region, `verify` computes the signature.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote

from fleetward import errors
from fleetward.api.request import Request
from fleetward.model import Millis

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
SKEW: Millis = 15 * 60 * 1000
"""How far a signature's date may be from ours, either way."""

MAX_EXPIRES = 7 * 24 * 3600
"""Seconds that a presigned URL may live."""

REGIONLESS = {"iam": "us-east-1", "sts": "us-east-1"}
"""Services with a global endpoint, and the region its callers sign for; they are answered in our own region too."""

MAY_BE_UNSIGNED = "x-amzn-trace-id"
"""The one `x-amz…` header that proxies add on the way; all others say what is asked for, so they must be signed."""

_TIMESTAMP = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)
_FIELDS = ("Credential", "SignedHeaders", "Signature")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a signature says of itself. `timestamp` is ISO basic (20261124T053700Z), `date` that of the scope."""

    key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    signed_at: Millis
    token: str | None
    expires: int | None = None
    """Seconds; only of a presigned URL."""

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def read(request: Request) -> Claim | None:
    """The claim a request makes, or None when it is not signed at all.

    Raises errors.IncompleteSignature when it is signed but its fields cannot be understood.
    """
    authorization = request.headers.get("authorization")
    if authorization is not None:
        return _read_header(request, authorization)
    if "X-Amz-Signature" in request.query_values or "X-Amz-Algorithm" in request.query_values:
        return _read_query(request)
    return None


def check(claim: Claim, region: str, now: Millis) -> None:
    """Holds a claim against our clock and region. Raises errors.InvalidSignature."""
    age = now - claim.signed_at
    lifetime = SKEW if claim.expires is None else claim.expires * 1000
    if age > lifetime:
        raise errors.InvalidSignature(
            f"Signature expired: {claim.timestamp} is now earlier than {_iso(now - lifetime)} "
            f"({_iso(now)} - {lifetime // 60_000} min.)"
        )
    if age < -SKEW:
        raise errors.InvalidSignature(
            f"Signature not yet current: {claim.timestamp} is still later than {_iso(now + SKEW)} "
            f"({_iso(now)} + {SKEW // 60_000} min.)"
        )
    if claim.region not in (region, REGIONLESS.get(claim.service)):
        raise errors.InvalidSignature(
            f"Credential should be scoped to a valid region, not {claim.region[:64]!r}. "
            f"This server's region is {region!r}."
        )


def verify(claim: Claim, request: Request, secret: str) -> None:
    """Computes the signature over the whole request, body included. Raises errors.InvalidSignature when it differs."""
    hashed = hashlib.sha256(_canonical_request(claim, request).encode()).hexdigest()
    text = f"{ALGORITHM}\n{claim.timestamp}\n{claim.scope}\n{hashed}"
    key = _signing_key(secret, claim.date, claim.region, claim.service)
    expected = hmac.digest(key, text.encode(), "sha256").hex()
    if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        raise errors.InvalidSignature(
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method."
        )


def _read_header(request: Request, authorization: str) -> Claim:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise errors.IncompleteSignature(f"Unsupported signature algorithm {algorithm[:64]!r}; use {ALGORITHM}.")
    fields = dict(_field(part) for part in rest.split(","))
    missing = [f"Authorization header requires '{name}' parameter." for name in _FIELDS if not fields.get(name)]
    if missing:
        raise errors.IncompleteSignature(" ".join(missing))
    timestamp = request.headers.get("x-amz-date") or _from_http_date(request.headers.get("date", ""))
    return _claim(
        request,
        credential=fields["Credential"],
        signed_headers=fields["SignedHeaders"],
        signature=fields["Signature"],
        timestamp=timestamp,
        token=request.headers.get("x-amz-security-token"),
    )


def _read_query(request: Request) -> Claim:
    def parameter(name: str) -> str:
        values = request.query_values.get(f"X-Amz-{name}", [])
        if len(values) != 1:
            raise errors.IncompleteSignature(f"AWS query-string parameters must include one 'X-Amz-{name}'.")
        return values[0]

    if parameter("Algorithm") != ALGORITHM:
        raise errors.IncompleteSignature(f"Unsupported signature algorithm; use {ALGORITHM}.")
    # A presigned WebSocket URL (iotdevicegateway) may leave the lifetime out.
    expires = parameter("Expires") if "X-Amz-Expires" in request.query_values else "300"
    if not (expires.isascii() and expires.isdigit() and len(expires) < 8 and 1 <= int(expires) <= MAX_EXPIRES):
        raise errors.IncompleteSignature(f"X-Amz-Expires must be between 1 and {MAX_EXPIRES} seconds.")
    return _claim(
        request,
        credential=parameter("Credential"),
        signed_headers=parameter("SignedHeaders"),
        signature=parameter("Signature"),
        timestamp=parameter("Date"),
        token=parameter("Security-Token") if "X-Amz-Security-Token" in request.query_values else None,
        expires=int(expires),
    )


def _claim(
    request: Request,
    *,
    credential: str,
    signed_headers: str,
    signature: str,
    timestamp: str,
    token: str | None,
    expires: int | None = None,
) -> Claim:
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or not all(parts) or parts[4] != "aws4_request":
        raise errors.IncompleteSignature("Credential must be keyid/date/region/service/aws4_request.")
    signed_at = _moment(timestamp)
    if timestamp[:8] != parts[1]:
        raise errors.InvalidSignature("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date.")
    key_id, date, region, service, _ = parts
    names = tuple(signed_headers.split(";"))
    _check_coverage(request, names)
    return Claim(key_id, date, region, service, names, signature, timestamp, signed_at, token, expires)


def _check_coverage(request: Request, names: tuple[str, ...]) -> None:
    """What decides the meaning of a request has to be signed: the host and every `x-amz…` header."""
    signed = set(names)
    if len(signed) != len(names):
        raise errors.IncompleteSignature("'SignedHeaders' names a header twice.")
    if "host" not in signed:
        raise errors.InvalidSignature("'Host' must be a 'SignedHeader' in the AWS Authorization.")
    if not signed <= request.headers.keys():
        raise errors.InvalidSignature("'SignedHeaders' names a header that the request does not have.")
    for name in request.headers:
        if name.startswith("x-amz") and name not in signed and name != MAY_BE_UNSIGNED:
            raise errors.InvalidSignature(f"{name[:64]!r} must be a 'SignedHeader' in the AWS Authorization.")


def _canonical_request(claim: Claim, request: Request) -> str:
    lines = [request.method, quote(request.path, safe="/~"), _canonical_query(claim, request)]
    lines += [f"{name}:{' '.join(request.headers[name].split())}" for name in claim.signed_headers]
    lines += ["", ";".join(claim.signed_headers), _payload_hash(request)]
    return "\n".join(lines)


def _canonical_query(claim: Claim, request: Request) -> str:
    if not request.query:
        return ""
    left_out = {"X-Amz-Signature"} if claim.expires is not None else set()
    if claim.service == "iotdevicegateway":
        left_out.add("X-Amz-Security-Token")  # the AWS IoT WebSocket URL adds it after signing
    pairs = [(quote(k, safe="~"), quote(v, safe="~")) for k, v in request.query_pairs if k not in left_out]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _payload_hash(request: Request) -> str:
    declared = request.headers.get("x-amz-content-sha256") or request.query_values.get("X-Amz-Content-Sha256", [""])[0]
    if declared == UNSIGNED_PAYLOAD:
        return declared
    actual = hashlib.sha256(request.body).hexdigest()
    if declared and declared != actual:
        raise errors.InvalidSignature("The provided 'x-amz-content-sha256' does not match what was computed.")
    return actual


@lru_cache(maxsize=256)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _field(part: str) -> tuple[str, str]:
    name, _, value = part.strip().partition("=")
    return name, value


def _from_http_date(text: str) -> str:
    try:
        return parsedate_to_datetime(text).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    except (TypeError, ValueError, OverflowError):
        return ""


@lru_cache(maxsize=256)
def _moment(timestamp: str) -> Millis:
    match = _TIMESTAMP.fullmatch(timestamp)
    try:
        year, month, day, hour, minute, second = map(int, match.groups() if match else ())
        return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        raise errors.IncompleteSignature("The request needs a valid 'X-Amz-Date' or 'Date' header.") from None


def _iso(moment: Millis) -> str:
    return datetime.fromtimestamp(moment // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
