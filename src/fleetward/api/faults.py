"""From a refusal to the response: the right code, status and body for the service's protocol.

rest-json   header `x-amzn-errortype` and {"message": …}; status from the model
json        {"__type": …, "message": …}; 400 for whatever the caller did wrong
query       <ErrorResponse>; the code is the model's `error.code`, not the shape's name
"""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import quoteattr

from fleetward.api.models import Service
from fleetward.api.request import Request
from fleetward.api.serialise import JSON, Response, dumps, element, xml_text
from fleetward.errors import Refusal

OWN_WORDS: dict[str, dict[str, str]] = {
    "iot": {"SerializationException": "InvalidRequestException", "ValidationException": "InvalidRequestException"},
    "iot-data": {
        "SerializationException": "InvalidRequestException",
        "ValidationException": "InvalidRequestException",
        "AccessDeniedException": "ForbiddenException",
    },
    "lambda": {"SerializationException": "InvalidRequestContentException"},
    "logs": {"ValidationException": "InvalidParameterException"},
    "sns": {"AccessDeniedException": "AuthorizationErrorException"},
}
"""What a service calls a request that it cannot read, that breaks its model, or that the caller may not make."""

QUERY_CODES = {
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "UnrecognizedClientException": "InvalidClientTokenId",
    "ExpiredTokenException": "ExpiredToken",
    "UnknownOperationException": "InvalidAction",
    "SerializationException": "MalformedInput",
    "ValidationException": "ValidationError",
}
"""What the query protocol calls a refusal of the door, whatever shapes of that name a model has (STS, of web identity
tokens). Other codes are the model's; where it has none either, `Exception` is dropped.
"""


def render(refusal: Refusal, service: Service | None, request: Request, request_id: str) -> Response:
    """The response that tells `refusal` as `service` would; None when the request did not get as far as a service."""
    protocol = service.protocol if service else _guess_protocol(request)
    code = OWN_WORDS.get(service.name, {}).get(refusal.code, refusal.code) if service else refusal.code
    shape: Any = _shape(service, code)
    if protocol == "query":
        return _query(refusal, code, shape, service, request_id)
    body = _members(refusal, code, shape)
    if protocol == "json":
        headers = {"x-amzn-requestid": request_id}
        version = service.model.metadata["jsonVersion"] if service else "1.1"
        content_type = f"application/x-amz-json-{version}"
        return Response(_json_status(refusal), dumps({"__type": code, **body}), content_type, headers)
    headers = {"x-amzn-requestid": request_id, "x-amzn-errortype": code}
    return Response(_modelled(shape).get("httpStatusCode", refusal.status), dumps(body), headers=headers)


def _query(refusal: Refusal, code: str, shape: Any, service: Service | None, request_id: str) -> Response:
    error: dict[str, Any] = {"code": QUERY_CODES[code]} if code in QUERY_CODES else _modelled(shape)
    wire_code = error.get("code") or code.removesuffix("Exception")
    status = error.get("httpStatusCode", 400 if wire_code == "InvalidAction" else refusal.status)
    content = element("Type", "Sender" if status < 500 else "Receiver") + element("Code", xml_text(wire_code))
    for name, value in _members(refusal, code, shape).items():
        content += element("Message" if name.lower() == "message" else name, xml_text(str(value)))
    namespace = service.model.metadata.get("xmlNamespace", "") if service else ""
    body = element("Error", content) + element("RequestId", request_id)
    return Response(
        status,
        f"<ErrorResponse xmlns={quoteattr(namespace)}>{body}</ErrorResponse>".encode(),
        "text/xml",
        {"x-amzn-requestid": request_id},
    )


def _members(refusal: Refusal, code: str, shape: Any) -> dict[str, Any]:
    """The error's members as its shape names them; the message under the name the shape gives it."""
    members = shape.members if shape is not None else {}
    message = next((name for name in members if name.lower() == "message"), "message")
    body: dict[str, Any] = {message: refusal.message}
    if "Type" in members:
        body["Type"] = "User" if refusal.status < 500 else "Service"
    for name, value in refusal.members.items():
        if name in members and value is not None:
            body[name] = JSON[members[name].type_name](members[name], value)
    return body


def _shape(service: Service | None, code: str) -> Any:
    """The model's shape of that error, if it has one."""
    return next((shape for shape in service.model.error_shapes if shape.name == code), None) if service else None


def _modelled(shape: Any) -> dict[str, Any]:
    return shape.metadata.get("error") or {} if shape is not None else {}


def _json_status(refusal: Refusal) -> int:
    return 400 if refusal.status < 500 and refusal.status not in (408, 413) else refusal.status


def _guess_protocol(request: Request) -> str:
    if "x-amz-target" in request.headers:
        return "json"
    is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    return "query" if is_form or "Action" in request.query_values else "rest-json"
