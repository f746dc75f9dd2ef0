"""Every operation of every service, both ways, against botocore's own serialisers and parsers."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore import parsers
from botocore.awsrequest import HeadersDict, create_request_object, prepare_request_dict
from botocore.model import OperationModel
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire_shapes import values

from fleetward.api import models
from fleetward.api.parse import parse
from fleetward.api.request import Request, joined
from fleetward.api.serialise import Response, serialise

SERVICES = sorted(set(models.SIGNING_NAMES.values()))
OPERATIONS = [(name, operation) for name in SERVICES for operation in models.service(name).model.operation_names]
FEW = settings(max_examples=4, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


def sent_by_botocore(operation: OperationModel, params: dict[str, Any]) -> Request:
    """The request that a botocore client puts on the wire."""
    protocol = operation.service_model.metadata["protocol"]
    serialised = create_serializer(protocol, include_validation=False).serialize_to_request(params, operation)
    prepare_request_dict(serialised, "http://localhost:7700")
    prepared = create_request_object(serialised).prepare()
    url = urlsplit(prepared.url)
    headers = joined((name.encode(), _bytes(value)) for name, value in prepared.headers.items())
    return Request(prepared.method, url.path, url.query, headers, _bytes(prepared.body or b""))


def read_by_botocore(operation: OperationModel, response: Response) -> dict[str, Any]:
    """What a botocore client makes of a response, without its metadata."""
    parser = parsers.create_parser(operation.service_model.metadata["protocol"])
    wire = {
        "status_code": response.status,
        "headers": HeadersDict({**response.headers, "content-type": response.content_type}),
        "body": response.body,
    }
    shape: Any = operation.output_shape
    if shape is not None and "payload" in shape.serialization:
        wire["body"] = Stream(response.body)
    parsed = parser.parse(wire, shape)
    assert parsed.pop("ResponseMetadata")["RequestId"] == "an-id"
    return {name: value.body if isinstance(value, Stream) else value for name, value in parsed.items()}


class Stream:
    """A streaming body, which botocore hands on unread."""

    def __init__(self, body: bytes) -> None:
        self.body = body


@pytest.mark.parametrize(("service", "name"), OPERATIONS)
def test_what_botocore_sends_is_what_we_read(service: str, name: str) -> None:
    """Parameters sent by botocore's client reach the operation unchanged, at every operation of every service."""
    operation = models.service(service).model.operation_model(name)

    @FEW
    @given(values(operation.input_shape) if operation.input_shape else st.just({}))
    def check(params: dict[str, Any]) -> None:
        request = sent_by_botocore(operation, params)
        found, labels = models.service(service).operation_of(request)
        assert found.name == name
        assert parse(found, request, labels) == as_sent(operation, params)

    check()


@pytest.mark.parametrize(
    ("service", "name"),
    [(s, n) for s, n in OPERATIONS if not models.service(s).model.operation_model(n).has_event_stream_output],
)
def test_what_we_send_is_what_botocore_reads(service: str, name: str) -> None:
    """Results sent by an operation reach botocore's client unchanged, at every operation of every service."""
    operation = models.service(service).model.operation_model(name)

    @FEW
    @given(values(operation.output_shape) if operation.output_shape else st.just({}))
    def check(result: dict[str, Any]) -> None:
        response = serialise(operation, result, "an-id")
        if 200 <= response.status < 300 and response.status != 204:
            assert read_by_botocore(operation, response) == as_received(operation, result)

    check()


def as_sent(operation: OperationModel, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters as far as the wire can tell them: it has no absent blob payload, and no empty map in a form."""
    shape: Any = operation.input_shape
    if shape is None:
        return {}
    if operation.service_model.metadata["protocol"] == "query":
        return _without_empty(params)
    payload = shape.serialization.get("payload")
    if payload:
        return {payload: b"" if shape.members[payload].type_name == "blob" else {}, **params}
    return params


def as_received(operation: OperationModel, result: dict[str, Any]) -> dict[str, Any]:
    """The result as far as the wire can tell it: a blob payload is always there, and so is the HTTP status."""
    shape: Any = operation.output_shape
    if shape is None:
        return {}
    expected = dict(result)
    payload = shape.serialization.get("payload")
    if payload:
        expected.setdefault(payload, b"" if shape.members[payload].type_name == "blob" else {})
    for name, member in shape.members.items():
        if member.serialization.get("location") == "statusCode":
            expected.setdefault(name, operation.http.get("responseCode", 200))
    return expected


def _without_empty(value: Any) -> Any:
    """Drops empty maps and structures, wherever they are: a form has no way to write them."""
    if isinstance(value, dict):
        return {name: kept for name, item in value.items() if (kept := _without_empty(item)) != {}}
    if isinstance(value, list):
        kept = [item for item in map(_without_empty, value) if item != {}]
        return kept if kept or not value else {}
    return value


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("latin-1")
