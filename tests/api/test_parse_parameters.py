"""Parameters as clients other than botocore send them, and what cannot be read."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fleetward import errors
from fleetward.api import models
from fleetward.api.parse import parse
from fleetward.api.request import Request

FORM = {"content-type": "application/x-www-form-urlencoded"}
MOMENT = datetime(2026, 11, 22, 10, 0, 0, 123000, tzinfo=UTC)


def read(service: str, method: str, url: str, body: bytes = b"", **headers: str) -> dict[str, Any]:
    path, _, query = url.partition("?")
    request = Request(method, path, query, {k.replace("_", "-"): v for k, v in headers.items()}, body)
    return parse(*_operation(service, request))


def _operation(service: str, request: Request) -> tuple[Any, Request, dict[str, str]]:
    operation, labels = models.service(service).operation_of(request)
    return operation, request, labels


def read_form(service: str, body: str) -> dict[str, Any]:
    request = Request("POST", "/", "", dict(FORM), body.encode())
    return parse(*_operation(service, request))


@pytest.mark.parametrize(
    "text",
    ["2026-11-22T10:00:00.123000Z", "2026-11-22T10:00:00.123Z", "2026-11-22T11:00:00.123%2B01:00", "1795341600.123"],
)
def test_a_timestamp_in_the_query_string_may_have_any_format(text: str) -> None:
    """ISO 8601 in UTC or with an offset, and epoch seconds, are the same moment."""
    url = f"/violation-events?startTime={text}&endTime=Sun,%2022%20Nov%202026%2010:00:01%20GMT"
    params = read("iot", "GET", url)
    assert params["startTime"] == MOMENT
    assert params["endTime"] == datetime(2026, 11, 22, 10, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["soon", "", "9" * 40, "2026-13-01T00:00:00Z", "nan", "1e99", "0001-01-01T00:00:00%2B23:00"]
)
def test_what_is_no_timestamp_is_refused(text: str) -> None:
    """A timestamp that cannot be read, or lies outside the calendar, is refused by the member's name."""
    with pytest.raises(errors.Serialization, match="startTime"):
        read("iot", "GET", f"/violation-events?startTime={text}&endTime=0")


@pytest.mark.parametrize("names", ["A=1&A..b=2", ".=1&..=2", "Token.=3", "Token.x=1&Token..y=2"])
def test_a_field_name_with_an_empty_part_is_unknown(names: str) -> None:
    """Nobody's form can collide with how field names are kept: a part without a name leads to no member."""
    action = "Action=ConfirmSubscription&Version=2010-03-31&TopicArn=t&Token=u"
    assert read("sns", "GET", f"/?{action}&{names}") == {"TopicArn": "t", "Token": "u"}


def test_a_payload_is_the_raw_body() -> None:
    """A blob payload is the body as it came; a JSON header is decoded."""
    properties = base64.b64encode(json.dumps([{"a": "b"}]).encode()).decode()
    params = read("iot-data", "POST", "/topics/t?qos=1&retain=true", b"\0\xff", x_amz_mqtt5_user_properties=properties)
    assert params == {"topic": "t", "qos": 1, "retain": True, "payload": b"\0\xff", "userProperties": [{"a": "b"}]}


def test_unknown_members_and_nulls_are_left_out() -> None:
    """A member that the model does not know, and a null, are as good as absent."""
    body = {"thingTypeName": None, "colour": "red", "attributePayload": {"attributes": {"a": "b", "c": None}}}
    params = read("iot", "POST", "/things/x", json.dumps(body).encode())
    assert params == {"thingName": "x", "attributePayload": {"attributes": {"a": "b"}}}


def test_a_located_member_is_not_taken_from_the_body() -> None:
    """What the model puts into the path cannot be overridden in the body."""
    assert read("iot", "POST", "/things/x", b'{"thingName":"y"}') == {"thingName": "x"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Action=CreateTopic&Name=t&Attributes=", {"Name": "t", "Attributes": {}}),
        ("Action=CreateTopic&Name=t&Tags=", {"Name": "t", "Tags": []}),
        (
            "Action=CreateTopic&Name=t&Attributes.entry.2.key=b&Attributes.entry.2.value=2"
            "&Attributes.entry.10.key=c&Attributes.entry.10.value=",
            {"Name": "t", "Attributes": {"b": "2", "c": ""}},
        ),
        (
            "Action=Publish&Message=a+b%2Bc&MessageAttributes.entry.1.Name=n"
            "&MessageAttributes.entry.1.Value.DataType=Binary&MessageAttributes.entry.1.Value.BinaryValue=AP8%3D",
            {"Message": "a b+c", "MessageAttributes": {"n": {"DataType": "Binary", "BinaryValue": b"\0\xff"}}},
        ),
        ("Action=ListTopics&Unknown.member.1=x&a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r=1&Version=2010-03-31", {}),
    ],
)
def test_a_form_becomes_lists_and_maps(body: str, expected: dict[str, Any]) -> None:
    """Numbered fields become lists and maps in the order of their numbers; an empty map is {}, not []."""
    assert read_form("sns", body) == expected


@pytest.mark.parametrize(
    ("service", "body"),
    [
        ("sns", "Action=CreateTopic&Name.x=t"),
        ("sns", "Action=CreateTopic&Name=t&Attributes.entry.x.key=b"),
        ("sns", "Action=CreateTopic&Name=t&Attributes.entry.1.key=b"),
        ("iam", "Action=ListRoles&MaxItems=many"),
        ("iam", "Action=ListRoles&" + "a" * 2000 + "=1"),
        ("iam", "Action=ListRoles&" + "a=1&" * 20_000),
        ("iam", "Action=ListRoles&Marker=\N{BLACK STAR}"),
    ],
)
def test_a_form_that_cannot_be_read_is_refused(service: str, body: str) -> None:
    """A structure where a text is due, unnumbered items, and forms without end are refused."""
    with pytest.raises(errors.Serialization):
        read_form(service, body)


@pytest.mark.parametrize(
    "behavior",
    [{"name": 1}, {"name": "\ud800"}, {"criteria": []}, {"criteria": {"durationSeconds": True}}, None, "x"]
    + [{"criteria": {"durationSeconds": value}} for value in (1.5, "300", [], {}, float("inf"))],
)
def test_a_member_of_the_wrong_type_is_refused(behavior: Any) -> None:
    """A value of another type than the model's is refused by its path, never converted by guess."""
    with pytest.raises(errors.Serialization):
        read("iot", "POST", "/security-profiles/p", json.dumps({"behaviors": [behavior]}).encode())


def test_a_whole_number_may_be_written_with_a_point() -> None:
    """300.0 is the integer 300, as JSON has only one kind of number."""
    body = {"behaviors": [{"name": "b", "criteria": {"durationSeconds": 300.0, "value": {"number": 3}}}]}
    params = read("iot", "POST", "/security-profiles/p", json.dumps(body).encode())
    assert params["behaviors"][0]["criteria"] == {"durationSeconds": 300, "value": {"number": 3.0}}
