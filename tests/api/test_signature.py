"""Signature Version 4: what must verify, and everything that must not."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import pytest
from awscrt.auth import (
    AwsCredentialsProvider,
    AwsSignatureType,
    AwsSigningConfig,
    aws_sign_request,
)
from awscrt.http import HttpHeaders, HttpRequest
from hypothesis import given, settings
from hypothesis import strategies as st

from api_house import REGION, presigned, signed
from fleetward import errors
from fleetward.access.keys import AccessKey
from fleetward.api import signature
from fleetward.api.request import Request

KEY = AccessKey("AKIAEXAMPLE", "a secret/with+odd=letters", "arn:aws:iam::123456789012:root")
SESSION = dataclasses.replace(KEY, id="ASIAEXAMPLE", session_token="a/token+with=letters")
PATH = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12).map(quote)
NAMES = st.text("abcXYZ019-_.~:/+ é", min_size=1, max_size=6)


def now() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


def request_of(method: str, url: str, headers: dict[str, str], body: bytes = b"") -> Request:
    path, _, query = url.partition("?")
    return Request(method, path, query, {"host": "localhost", **headers}, body)


def check(request: Request, secret: str = KEY.secret, at: int | None = None) -> signature.Claim:
    """All three steps, as the door takes them."""
    claim = signature.read(request)
    assert claim is not None
    signature.check(claim, REGION, now() if at is None else at)
    signature.verify(claim, request, secret)
    return claim


def test_aws_own_example_verifies() -> None:
    """The `get-vanilla` vector of AWS's published SigV4 test suite verifies."""
    headers = {
        "host": "example.amazonaws.com",
        "x-amz-date": "20150830T123600Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date, "
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    }
    at = int(datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp() * 1000)
    check(request_of("GET", "/", headers), "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", at)


@settings(max_examples=60)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    path=PATH,
    query=st.dictionaries(NAMES, NAMES, max_size=4),
    extra=st.dictionaries(st.sampled_from(["x-amzn-principal", "content-type", "x-amz-target"]), NAMES, max_size=3),
    body=st.binary(max_size=40),
)
def test_whatever_botocore_signs_verifies(
    method: str, path: str, query: dict[str, str], extra: dict[str, str], body: bytes
) -> None:
    """Any method, path, query, headers and body signed by botocore verify."""
    pairs = "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in query.items())
    url = f"/{path}?{pairs}" if pairs else f"/{path}"
    check(request_of(method, url, signed(method, url, "iot", KEY, body, headers=extra), body))


@pytest.mark.parametrize("topic", ["a/b", "/a//b/", "a%b", "ä/+ö", "$aws/things/x"])
def test_whatever_the_crt_signs_verifies(topic: str) -> None:
    """A second signer, AWS's C runtime, agrees on paths with slashes, percent signs and letters beyond ASCII."""
    request = HttpRequest("POST", f"/topics/{quote(topic, safe='')}?qos=1", HttpHeaders([("host", "localhost")]))
    done = _crt_sign(request, KEY, "iotdata", AwsSignatureType.HTTP_REQUEST_HEADERS)
    headers = {name.lower(): value for name, value in done.headers}
    check(request_of("POST", done.path, headers))


def test_the_websocket_url_of_the_crt_verifies() -> None:
    """The URL that the AWS IoT SDK signs for MQTT over WebSocket, its session token added after signing, verifies."""
    request = HttpRequest("GET", "/mqtt", HttpHeaders([("host", "localhost")]))
    done = _crt_sign(request, SESSION, "iotdevicegateway", AwsSignatureType.HTTP_REQUEST_QUERY_PARAMS, omit=True)
    claim = check(request_of("GET", done.path, {}))
    assert (claim.key_id, claim.token) == (SESSION.id, SESSION.session_token)


def test_a_presigned_url_verifies_until_it_expires() -> None:
    """A presigned URL verifies for the seconds it was made for, and no longer."""
    url = presigned("GET", "/things/a%2Fb?maxResults=3", "iot", SESSION, expires=1800)
    check(request_of("GET", url, {}), at=now() + 1_790_000)
    with pytest.raises(errors.InvalidSignature, match="expired"):
        check(request_of("GET", url, {}), at=now() + 1_801_000)


TAMPERED: dict[str, Callable[[Request], None]] = {
    "method": lambda request: setattr(request, "method", "DELETE"),
    "path": lambda request: setattr(request, "path", "/things/b"),
    "case of the path": lambda request: setattr(request, "path", "/Things/a"),
    "query value": lambda request: setattr(request, "query", "x=2"),
    "query added": lambda request: setattr(request, "query", "x=1&y=1"),
    "query removed": lambda request: setattr(request, "query", ""),
    "body": lambda request: setattr(request, "body", b"other"),
    "body removed": lambda request: setattr(request, "body", b""),
    "host": lambda request: request.headers.update(host="elsewhere"),
    "signed header": lambda request: request.headers.update({"x-amz-target": "Other"}),
    "header removed": lambda request: request.headers.pop("x-amz-target") and None,
    "header added": lambda request: request.headers.update({"x-amz-security-token": "mine"}),
    "date": lambda request: request.headers.update({"x-amz-date": request.headers["x-amz-date"][:-2] + "9Z"}),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_changed_request_is_refused(what: str) -> None:
    """A signed request in which anything that matters was changed is refused."""
    headers = signed("POST", "/things/a?x=1", "iot", KEY, b"body", headers={"x-amz-target": "Fine"})
    request = request_of("POST", "/things/a?x=1", headers, b"body")
    check(request_of("POST", "/things/a?x=1", dict(headers), b"body"))
    before = (request.method, request.path, request.query, request.body, dict(request.headers))
    TAMPERED[what](request)
    if before == (request.method, request.path, request.query, request.body, request.headers):
        pytest.skip("the second ended in 9 already")
    with pytest.raises(errors.InvalidSignature):
        check(request)


@pytest.mark.parametrize("what", ["maxResults=3", "X-Amz-Expires=300", "X-Amz-Credential=AKIAEXAMPLE"])
def test_a_changed_presigned_url_is_refused(what: str) -> None:
    """Every part of a presigned URL is covered by its signature, its lifetime too."""
    url = presigned("GET", "/things?maxResults=3", "iot", KEY)
    assert what in url
    with pytest.raises(errors.Refusal):
        check(request_of("GET", url.replace(what, what + "0"), {}))


def test_another_secret_is_refused() -> None:
    """A signature made with another secret is refused."""
    headers = signed("GET", "/things", "iot", dataclasses.replace(KEY, secret="another"))
    with pytest.raises(errors.InvalidSignature, match="does not match"):
        check(request_of("GET", "/things", headers))


@pytest.mark.parametrize(("minutes", "words"), [(16, "Signature expired"), (-16, "not yet current")])
def test_a_date_too_far_off_is_refused(minutes: int, words: str) -> None:
    """A signature more than fifteen minutes old, or as far ahead, is refused; at fourteen it is fine."""
    request = request_of("GET", "/things", signed("GET", "/things", "iot", KEY))
    with pytest.raises(errors.InvalidSignature, match=words):
        check(request, at=now() + minutes * 60_000)
    check(request, at=now() + (14 if minutes > 0 else -14) * 60_000)


def test_another_region_is_refused_except_for_global_services() -> None:
    """The scope must name our region; iam and sts, whose endpoints are global, may be signed for us-east-1."""
    for service, fine in (("iot", False), ("iam", True)):
        request = request_of("POST", "/", signed("POST", "/", service, KEY))
        claim = signature.read(request)
        assert claim is not None
        if fine:
            signature.check(claim, "eu-central-1", now())
        else:
            with pytest.raises(errors.InvalidSignature, match="valid region, not 'us-east-1'"):
                signature.check(claim, "eu-central-1", now())


def test_a_signature_that_leaves_out_the_host_is_refused() -> None:
    """A signature that does not cover `host` could be replayed elsewhere, so it is refused."""
    headers = signed("GET", "/things", "iot", KEY)
    headers["authorization"] = headers["authorization"].replace("SignedHeaders=host;", "SignedHeaders=")
    with pytest.raises(errors.InvalidSignature, match="Host"):
        signature.read(request_of("GET", "/things", headers))


def test_an_unsigned_payload_is_the_clients_choice() -> None:
    """UNSIGNED-PAYLOAD is accepted where the client signed that word, and only there."""
    extra = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    headers = signed("POST", "/things/a", "iot", KEY, b"body", headers=extra)
    check(request_of("POST", "/things/a", headers, b"another body"))
    hashed = signed("POST", "/things/a", "iot", KEY, b"body")
    with pytest.raises(errors.InvalidSignature):
        check(request_of("POST", "/things/a", {**hashed, **extra}, b"another body"))


def test_one_header_named_many_times_is_refused() -> None:
    """A header list that repeats itself would make us build a huge canonical request, so it is refused."""
    headers = signed("GET", "/things", "iot", KEY)
    headers["authorization"] = headers["authorization"].replace("host;", "host;" * 5000)
    with pytest.raises(errors.IncompleteSignature):
        signature.read(request_of("GET", "/things", headers))


@settings(max_examples=300)
@given(
    authorization=st.text(max_size=80)
    | st.builds(
        "AWS4-HMAC-SHA256 Credential={}/{}/{}/{}/aws4_request, SignedHeaders={}, Signature={}".format,
        *[st.text(max_size=12)] * 6,
    )
    | st.text(max_size=60).map("AWS4-HMAC-SHA256 ".__add__),
    date=st.text(max_size=20) | st.from_regex(r"[0-9]{8}T[0-9]{6}Z", fullmatch=True),
    query=st.text(max_size=60) | st.text(max_size=60).map("X-Amz-Signature=".__add__),
)
def test_garbage_is_refused_and_never_breaks_us(authorization: str, date: str, query: str) -> None:
    """Whatever stands in the Authorization header, the date and the query string, the answer is a refusal."""
    for headers in ({"authorization": authorization, "x-amz-date": date}, {}):
        request = request_of("GET", f"/?{query}", headers)
        with contextlib.suppress(errors.Refusal):
            if signature.read(request) is not None:
                check(request)


def _crt_sign(
    request: HttpRequest, key: AccessKey, service: str, kind: AwsSignatureType, omit: bool = False
) -> HttpRequest:
    config = AwsSigningConfig(
        signature_type=kind,
        credentials_provider=AwsCredentialsProvider.new_static(key.id, key.secret, key.session_token),
        region=REGION,
        service=service,
        omit_session_token=omit,
    )
    done = aws_sign_request(request, config).result(timeout=5)
    assert urlsplit(done.path).path
    return done
