"""What a refused request is answered with: code, status and form, as each protocol has them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore import parsers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api_house import Answer, House, presigned, signed
from fleetward import errors
from fleetward.access.keys import AccessKey
from fleetward.api import faults, models, operations
from fleetward.api.call import Call, Caller
from fleetward.api.request import Request

FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def error_in(answer: Answer) -> dict[str, Any]:
    """The error as botocore reads it, whichever protocol it is in."""
    kind = answer.headers.get("content-type", "")
    protocol = "query" if "xml" in kind else "json" if "x-amz-json" in kind else "rest-json"
    wire = {"status_code": answer.status, "headers": answer.headers, "body": answer.body}
    parsed: dict[str, Any] = parsers.create_parser(protocol).parse(wire, None)
    assert parsed["ResponseMetadata"]["RequestId"]
    return parsed["Error"]


def ask_json(house: House, target: str, body: bytes = b"{}") -> Answer:
    service = "logs" if target.startswith("Logs") else "events"
    return house.ask_signed("POST", "/", service, body, headers={"x-amz-target": target})


def ask_query(house: House, service: str, body: str) -> Answer:
    return house.ask_signed("POST", "/", service, body.encode(), headers=FORM)


# --- who calls --------------------------------------------------------------------------------------------------------

WRONG_KEYS = {
    "unknown key": (
        lambda root: AccessKey("AKIANOBODY", "x", "x"),
        "UnrecognizedClientException",
        "InvalidClientTokenId",
    ),
    "wrong secret": (lambda root: AccessKey(root.id, "x", "x"), "InvalidSignatureException", "SignatureDoesNotMatch"),
    "token of nobody": (
        lambda root: AccessKey(root.id, root.secret, "x", session_token="x"),
        "UnrecognizedClientException",
        "InvalidClientTokenId",
    ),
}


@pytest.mark.parametrize("what", WRONG_KEYS)
def test_wrong_credentials_are_refused_in_each_services_words(house: House, what: str) -> None:
    """An unknown key, a wrong secret and a foreign token have AWS's codes: 403, and 400 where the protocol is JSON."""
    wrong, code, query_code = WRONG_KEYS[what]
    key = wrong(house.root)
    rest = house.ask("GET", "/things", signed("GET", "/things", "iot", key))
    assert (rest.status, error_in(rest)["Code"]) == (403, code)
    logs = signed("POST", "/", "logs", key, b"{}", headers={"x-amz-target": "Logs_20140328.DescribeLogGroups"})
    answer = house.ask("POST", "/", logs, b"{}")
    assert (answer.status, error_in(answer)["Code"]) == (400, code)
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    answer = house.ask("POST", "/", signed("POST", "/", "sts", key, body, headers=FORM), body)
    assert (answer.status, error_in(answer)["Code"]) == (403, query_code)


def test_a_stale_signature_and_another_region_are_refused(house: House) -> None:
    """A stale signature and a scope of another region are SignatureDoesNotMatch (query), InvalidSignature (JSON)."""
    elsewhere = house.ask_signed("GET", "/things", "iot", region="eu-central-1")
    assert (elsewhere.status, error_in(elsewhere)["Code"]) == (403, "InvalidSignatureException")
    house.skew = 16 * 60_000
    stale = ask_query(house, "sns", "Action=ListTopics")
    assert (stale.status, error_in(stale)["Code"]) == (403, "SignatureDoesNotMatch")
    assert "Signature expired" in error_in(stale)["Message"]


@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        ("GET", "/things", {}),
        ("POST", "/", {"x-amz-target": "Logs_20140328.DescribeLogGroups"}),
        ("POST", "/?Action=ConfirmSubscription", {}),
        ("GET", "/?Action=ListTopics", {}),
        ("GET", "/fleetward/anything", {}),
    ],
)
def test_a_request_without_a_signature_is_refused(house: House, method: str, url: str, headers: dict[str, str]) -> None:
    """Nothing but health, metrics and SNS's two links is answered without a signature."""
    answer = house.ask(method, url, headers)
    assert error_in(answer)["Code"] in ("MissingAuthenticationTokenException", "MissingAuthenticationToken")
    assert answer.status in (400, 403)


def test_sns_links_work_without_a_signature(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """ConfirmSubscription and Unsubscribe by GET reach their operation unsigned, as nobody; by POST they do not."""
    callers = []
    monkeypatch.setattr(operations, "find", lambda service, name: lambda call: callers.append((name, call.caller)))
    arn = "arn:aws:sns:us-east-1:123456789012:topic"
    assert house.ask("GET", f"/?Action=ConfirmSubscription&TopicArn={arn}&Token=x").status == 200
    assert house.ask("GET", f"/?Action=Unsubscribe&SubscriptionArn={arn}:id").status == 200
    nobody = Caller(None, "123456789012")
    assert callers == [("ConfirmSubscription", nobody), ("Unsubscribe", nobody)]
    assert house.ask("POST", f"/?Action=Unsubscribe&SubscriptionArn={arn}:id").status == 403
    smuggled = house.ask("GET", f"/?Action=DeleteTopic&Action=Unsubscribe&TopicArn={arn}&SubscriptionArn={arn}")
    assert smuggled.status == 200
    assert callers[-1][0] == "Unsubscribe"


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_health_and_metrics_need_no_signature(house: House, path: str) -> None:
    """Health and metrics are open to whoever reaches the port."""
    assert house.ask("GET", path).status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic dXNlcjpwYXNz",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0",
        "AWS4-HMAC-SHA256 Credential=a/20150830/us-east-1/iot/aws4_request, SignedHeaders=host, Signature=0",
    ],
)
def test_a_malformed_authorization_is_a_client_error(house: House, authorization: str) -> None:
    """A malformed Authorization header is answered with a 4xx and IncompleteSignature, never a 500."""
    answer = house.ask("GET", "/things", {"authorization": authorization})
    assert (answer.status, error_in(answer)["Code"]) == (400, "IncompleteSignatureException")


# --- what is asked for ------------------------------------------------------------------------------------------------


def test_an_operation_we_do_not_have_is_named(house: House) -> None:
    """An operation of AWS that is not served answers 501 with a code and its name, in the form of its protocol."""
    for answer, name in (
        (house.ask_signed("GET", "/jobs", "iot"), "ListJobs"),
        (ask_json(house, "Logs_20140328.StartLiveTail"), "StartLiveTail"),
        (ask_query(house, "iam", "Action=CreateGroup&GroupName=a"), "CreateGroup"),
    ):
        assert answer.status == 501
        assert error_in(answer)["Code"] in ("NotImplementedException", "NotImplemented")
        assert name in error_in(answer)["Message"]


def test_a_service_we_do_not_have_is_named(house: House) -> None:
    """A signature scoped to a service that is not served names it and those that are."""
    answer = house.ask_signed("GET", "/bucket", "s3")
    assert answer.status == 501
    assert "'s3'" in error_in(answer)["Message"]


def test_what_no_operation_answers_to_is_unknown(house: House) -> None:
    """A path, target or action that the service's model does not know is an unknown operation."""
    assert error_in(house.ask_signed("GET", "/no/such/path", "iot"))["Code"] == "UnknownOperationException"
    assert error_in(ask_json(house, "Logs_20140328.NoSuch"))["Code"] == "UnknownOperationException"
    assert error_in(ask_json(house, "Wrong.DescribeLogGroups"))["Code"] == "UnknownOperationException"
    answer = ask_query(house, "sns", "Action=NoSuch")
    assert (answer.status, error_in(answer)["Code"]) == (400, "InvalidAction")


# --- what is wrong with it --------------------------------------------------------------------------------------------


def test_a_breach_of_the_model_names_the_member(house: House) -> None:
    """A value that breaks the model is refused in AWS's words, which name value, member and constraint."""
    answer = house.ask_signed("POST", "/things/a%20b", "iot", b"{}")
    assert (answer.status, error_in(answer)) == (
        400,
        {
            "Code": "InvalidRequestException",
            "Message": "1 validation error detected: Value 'a b' at 'thingName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [a-zA-Z0-9:_-]+",
        },
    )
    answer = ask_query(house, "iam", "Action=CreateRole&RoleName=a&Path=x")
    assert (answer.status, error_in(answer)["Code"]) == (400, "ValidationError")
    assert (
        "Value null at 'assumeRolePolicyDocument' failed to satisfy constraint: Member must not be null"
        in (error_in(answer)["Message"])
    )


BODIES = [b"{", b"[]", b"nul", b"\xff\xfe", b'{"attributePayload": 3}', b'{"attributePayload":{"attributes":{"a":1}}}']


@pytest.mark.parametrize("body", [*BODIES, b"[" * 100_000, b'{"a":' * 100_000, b'{"a":' + b"9" * 10_000 + b"}"])
def test_a_body_that_cannot_be_read_is_a_client_error(house: House, body: bytes) -> None:
    """Broken, mistyped and endlessly nested JSON is InvalidRequestException; numbers without end do no harm."""
    answer = house.ask_signed("POST", "/things/a", "iot", body)
    assert (answer.status, error_in(answer)["Code"]) == (400, "InvalidRequestException")


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    body=st.binary(max_size=200) | st.text(max_size=60).map(str.encode), service=st.sampled_from(["iot", "sts", "logs"])
)
def test_no_body_ever_breaks_us(house: House, body: bytes, service: str) -> None:
    """Whatever the body holds, the answer is never a 500."""
    headers = {"sts": FORM, "logs": {"x-amz-target": "Logs_20140328.PutLogEvents"}}.get(service, {})
    answer = house.ask_signed("POST", "/things/a" if service == "iot" else "/", service, body, headers=headers)
    assert answer.status < 500 or error_in(answer)["Code"].startswith("NotImplemented")


def test_a_body_over_the_limit_is_refused_unread(house: House) -> None:
    """A body announced as too long is refused before any of it is read."""
    headers = signed("POST", "/things/a", "iot", house.root) | {"content-length": str(17 * 1024 * 1024)}
    answer = house.ask("POST", "/things/a", headers)
    assert answer.status == 413
    headers["content-length"] = "-1"
    assert house.ask("POST", "/things/a", headers).status == 413


# --- what goes wrong inside -------------------------------------------------------------------------------------------


def test_a_mistake_of_ours_is_a_500_that_tells_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception is InternalFailure with a request id; its text stays in the log."""

    def broken(call: Call) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(operations, "find", lambda service, name: broken)
    answer = house.ask_signed("GET", "/things", "iot")
    assert (answer.status, error_in(answer)["Code"]) == (500, "InternalFailureException")
    assert b"secret" not in answer.body
    assert answer.headers["x-amzn-requestid"] in error_in(answer)["Message"]
    answer = ask_query(house, "sts", "Action=GetCallerIdentity")
    assert (answer.status, error_in(answer)["Code"]) == (500, "InternalFailure")


def test_every_refusal_has_the_code_and_status_of_the_model() -> None:
    """The model's own code and status win: IoT's limits are 410, SNS says NotFound, JSON services answer 400."""
    request = Request("POST", "/", "", {})
    for service, refusal, status, code in (
        ("iot", errors.LimitExceeded("x"), 410, "LimitExceededException"),
        ("iot", errors.CertificateState("x"), 406, "CertificateStateException"),
        ("sns", errors.NotFound("x"), 404, "NotFound"),
        ("sns", errors.InvalidParameter("x"), 400, "InvalidParameter"),
        ("iam", errors.NoSuchEntity("x"), 404, "NoSuchEntity"),
        ("lambda", errors.ResourceConflict("x"), 409, "ResourceConflictException"),
        ("logs", errors.ResourceNotFound("x"), 400, "ResourceNotFoundException"),
        ("events", errors.ResourceNotFound("x"), 400, "ResourceNotFoundException"),
        ("fleetward", errors.ResourceNotFound("x"), 400, "ResourceNotFoundException"),
    ):
        response = faults.render(refusal, models.service(service), request, "an-id")
        answer = Answer(response.status, {**response.headers, "content-type": response.content_type}, response.body)
        assert (answer.status, error_in(answer)["Code"]) == (status, code)


def test_an_errors_own_members_are_sent() -> None:
    """ResourceAlreadyExists tells which resource it is, under the model's names."""
    refusal = errors.ResourceAlreadyExists("there", resourceId="a", resourceArn="arn:a")
    response = faults.render(refusal, models.service("iot"), Request("POST", "/", "", {}), "an-id")
    assert json.loads(response.body) == {"message": "there", "resourceId": "a", "resourceArn": "arn:a"}


def test_text_that_xml_cannot_hold_is_replaced() -> None:
    """An error message with markup and control characters is still well-formed XML."""
    refusal = errors.NotFound("<b>\0\x1b & \ud800")
    response = faults.render(refusal, models.service("sns"), Request("POST", "/", "", {}), "an-id")
    assert re.search(rb"<Message>&lt;b&gt;\xef\xbf\xbd", response.body)


def test_a_presigned_get_is_answered_in_query_form(house: House) -> None:
    """A presigned query-protocol GET works and carries its parameters in the URL."""
    url = presigned("GET", "/?Action=GetCallerIdentity&Version=2011-06-15", "sts", house.root)
    answer = house.ask("GET", url)
    assert answer.status == 200
    assert b"<Account>123456789012</Account>" in answer.body
