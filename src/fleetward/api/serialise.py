"""From what an operation returns to the response, as the service model's output shape describes it.

Results are dicts by the model's member names. Members that are None are left out; a member the model does not have is
a mistake of ours and raises TypeError. Timestamps are datetimes or epoch milliseconds (int), blobs are bytes.
One function a protocol, in SERIALISERS.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from typing import Any, NamedTuple, NoReturn
from xml.sax.saxutils import escape

from botocore.model import OperationModel, Shape

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Response:
    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def serialise(operation: OperationModel, result: Mapping[str, Any] | None, request_id: str) -> Response:
    """The response of `operation` with the parameters `result`."""
    return SERIALISERS[operation.service_model.metadata["protocol"]](operation, result or {}, request_id)


# --- structures -------------------------------------------------------------------------------------------------------


class _Member(NamedTuple):
    name: str
    wire_name: str
    location: str | None
    type_name: str
    shape: Shape


class _Members(dict[str, _Member]):
    """The members of a structure by name."""

    def __init__(self, shape: Any) -> None:
        self._of = shape.name
        for name, member in shape.members.items():
            how = member.serialization
            self[name] = _Member(name, how.get("name", name), how.get("location"), member.type_name, member)

    def __missing__(self, name: str) -> NoReturn:
        raise TypeError(f"{self._of} has no member {name}")


_members = cache(_Members)
"""The model's own look-ups take as long as writing the value."""


def _present(shape: Any, value: Mapping[str, Any]) -> list[tuple[_Member, Any]]:
    members = _members(shape)
    return [(members[name], item) for name, item in value.items() if item is not None]


# --- rest-json: headers, status and body ------------------------------------------------------------------------------


def _rest(operation: OperationModel, result: Mapping[str, Any], request_id: str) -> Response:
    response = Response(operation.http.get("responseCode", 200), headers={"x-amzn-requestid": request_id})
    shape: Any = operation.output_shape
    if shape is None:
        return response
    payload = shape.serialization.get("payload")
    body = {}
    for member, value in _present(shape, result):
        if member.location == "statusCode":
            response.status = value
        elif member.location == "header":
            response.headers[member.wire_name.lower()] = _header(member.shape, value)
        elif member.name != payload:
            body[member.wire_name] = _json(member.shape, value)
    if payload is not None:
        _write_payload(response, shape.members[payload], result.get(payload))
    elif response.status != 204:
        response.body = dumps(body)
    return response


def _write_payload(response: Response, member: Shape, value: Any) -> None:
    if member.type_name != "blob":
        response.body = dumps(_json(member, value or {}))
        return
    response.body = value or b""
    response.content_type = response.headers.pop("content-type", "application/octet-stream")


def _header(member: Shape, value: Any) -> str:
    if member.serialization.get("jsonvalue"):
        return base64.b64encode(dumps(value)).decode()
    if isinstance(value, bool):
        return str(value).lower()
    if member.type_name == "timestamp":
        return format_datetime(_moment(value), usegmt=True)
    # A line break would end the header; anything beyond latin-1 cannot be sent in one.
    return re.sub(r"[\r\n\0]", " ", str(value)).encode("latin-1", "replace").decode("latin-1")


# --- json -------------------------------------------------------------------------------------------------------------


def _rpc_json(operation: OperationModel, result: Mapping[str, Any], request_id: str) -> Response:
    shape = operation.output_shape
    body = dumps(_structure(shape, result)) if shape is not None else b""
    content_type = f"application/x-amz-json-{operation.metadata['jsonVersion']}"
    return Response(200, body, content_type, {"x-amzn-requestid": request_id})


_ENCODER = json.JSONEncoder(separators=(",", ":"))


def dumps(value: Any) -> bytes:
    return _ENCODER.encode(value).encode()


def _json(shape: Shape, value: Any) -> Any:
    return JSON[shape.type_name](shape, value)


def _structure(shape: Any, value: Mapping[str, Any]) -> dict[str, Any]:
    return {member.wire_name: JSON[member.type_name](member.shape, item) for member, item in _present(shape, value)}


def _list(shape: Any, value: Any) -> list[Any]:
    return [_json(shape.member, item) for item in value]


def _map(shape: Any, value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _json(shape.value, item) for key, item in value.items() if item is not None}


def _plain(_shape: Shape, value: Any) -> Any:
    return value


def _number(_shape: Shape, value: float) -> float | str:
    return float(value) if math.isfinite(value) else _special(value)


def _epoch_seconds(_shape: Shape, value: Any) -> int | float:
    micros = (_moment(value) - EPOCH) // timedelta(microseconds=1)
    return micros / 1_000_000 if micros % 1_000_000 else micros // 1_000_000


def _base64(_shape: Shape, value: bytes) -> str:
    return base64.b64encode(value).decode()


# --- query: XML -------------------------------------------------------------------------------------------------------

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _query(operation: OperationModel, result: Mapping[str, Any], request_id: str) -> Response:
    name, shape = operation.name, operation.output_shape
    namespace = operation.metadata.get("xmlNamespace", "")
    content = ""
    if shape is not None:
        wrapper = shape.serialization.get("resultWrapper", f"{name}Result")
        content = element(wrapper, _xml_structure(shape, result))
    metadata = element("ResponseMetadata", element("RequestId", request_id))
    body = f'<{name}Response xmlns="{namespace}">{content}{metadata}</{name}Response>'
    return Response(200, body.encode(), "text/xml", {"x-amzn-requestid": request_id})


def element(name: str, content: str) -> str:
    return f"<{name}>{content}</{name}>"


def xml_text(text: str) -> str:
    """Text for XML: what XML cannot hold becomes U+FFFD; a carriage return is kept, which needs a reference."""
    return escape(_NOT_XML.sub("\ufffd", text), {"\r": "&#13;"})


def _xml(shape: Shape, value: Any) -> str:
    return XML[shape.type_name](shape, value)


def _xml_structure(shape: Any, value: Mapping[str, Any]) -> str:
    return "".join(element(member.wire_name, _xml(member.shape, item)) for member, item in _present(shape, value))


def _xml_list(shape: Any, value: Any) -> str:
    name = shape.member.serialization.get("name", "member")
    return "".join(element(name, _xml(shape.member, item)) for item in value)


def _xml_map(shape: Any, value: Mapping[str, Any]) -> str:
    key_name = shape.key.serialization.get("name", "key")
    value_name = shape.value.serialization.get("name", "value")
    return "".join(
        element("entry", element(key_name, xml_text(key)) + element(value_name, _xml(shape.value, item)))
        for key, item in value.items()
        if item is not None
    )


def _xml_scalar(_shape: Shape, value: Any) -> str:
    return xml_text(str(value))


def _xml_boolean(_shape: Shape, value: bool) -> str:
    return "true" if value else "false"


def _xml_number(_shape: Shape, value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else _special(value)


def _iso(_shape: Shape, value: Any) -> str:
    return _moment(value).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- scalars ----------------------------------------------------------------------------------------------------------


def _moment(value: Any) -> datetime:
    """A datetime, or epoch milliseconds, in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return EPOCH + timedelta(milliseconds=value)


def _special(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


Writer = Callable[[Any, Any], Any]

JSON: dict[str, Writer] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _plain,
    "boolean": _plain,
    "integer": _plain,
    "long": _plain,
    "float": _number,
    "double": _number,
    "timestamp": _epoch_seconds,
    "blob": _base64,
}
XML: dict[str, Writer] = {
    "structure": _xml_structure,
    "list": _xml_list,
    "map": _xml_map,
    "string": _xml_scalar,
    "boolean": _xml_boolean,
    "integer": _xml_scalar,
    "long": _xml_scalar,
    "float": _xml_number,
    "double": _xml_number,
    "timestamp": _iso,
    "blob": _base64,
}
SERIALISERS: dict[str, Callable[[OperationModel, Mapping[str, Any], str], Response]] = {
    "rest-json": _rest,
    "json": _rpc_json,
    "query": _query,
}
