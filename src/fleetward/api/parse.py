"""From a request to the parameters of its operation, as the service model's input shape describes them.

Blobs become bytes, timestamps aware datetimes in UTC; members the model does not know, and nulls, are left out, as AWS
does. One function a protocol, in PARSERS. Raises errors.Serialization for what cannot be read; whether a value is
*allowed* is validate.py's question.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from botocore.model import OperationModel, Shape

from fleetward import errors
from fleetward.api.request import Request
from fleetward.api.scalars import FROM_JSON, FROM_TEXT, Reader, blob, refuse, string

Params = dict[str, Any]

DEEPEST_FIELD = 16
"""Parts of a dotted field name; SNS's deepest has eight."""


def parse(operation: OperationModel, request: Request, labels: Mapping[str, str]) -> Params:
    """The parameters of `operation` in `request`; `labels` are those of its path (rest-json only)."""
    if operation.input_shape is None:
        return {}
    return PARSERS[operation.service_model.metadata["protocol"]](operation.input_shape, request, labels)


# --- rest-json: path, query string, headers and body ------------------------------------------------------------------


def _rest(shape: Any, request: Request, labels: Mapping[str, str]) -> Params:
    payload = shape.serialization.get("payload")
    params: Params = {}
    in_body = False
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        if location is not None:
            value = _located(member, member.serialization.get("name", name), location, request, labels)
            if value is not None:
                params[name] = _from_text(member, value, name)
        elif name != payload:
            in_body = True
    if payload is not None:
        _read_payload(params, payload, shape.members[payload], request)
    elif in_body:
        params.update(_structure(shape, _json(request.body), ""))
    return params


def _located(member: Shape, wire_name: str, location: str, request: Request, labels: Mapping[str, str]) -> Any:
    """The text of a member outside the body (a list of texts for a list in the query string), or None."""
    if location == "uri":
        return labels.get(wire_name)
    if location == "header":
        return request.headers.get(wire_name.lower())
    values = request.query_values.get(wire_name)
    return values if values is None or member.type_name == "list" else values[-1]


def _read_payload(params: Params, name: str, member: Shape, request: Request) -> None:
    """A payload is the whole body: raw for a blob, else JSON."""
    if member.type_name == "blob":
        params[name] = request.body
    elif request.body:
        params[name] = _from_json(member, _json(request.body), name)


def _from_text(shape: Any, text: Any, path: str) -> Any:
    if shape.type_name == "list":
        return [_from_text(shape.member, item, path) for item in text]
    if shape.serialization.get("jsonvalue"):
        value = _json(blob(shape, text, path))
        string(shape, json.dumps(value, ensure_ascii=False), path)
        return value
    return FROM_TEXT[shape.type_name](shape, text, path)


# --- json -------------------------------------------------------------------------------------------------------------


def _rpc_json(shape: Any, request: Request, _labels: Mapping[str, str]) -> Params:
    return _structure(shape, _json(request.body), "")


def _json(body: bytes) -> Any:
    """The JSON of a body; an empty body is an empty object."""
    if not body:
        return {}
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):  # bad JSON, bad UTF-8, endless digits; endless nesting
        raise errors.Serialization("The request body is not valid JSON.") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _from_json(shape: Shape, value: Any, path: str) -> Any:
    return JSON[shape.type_name](shape, value, path)


def _structure(shape: Any, value: Any, path: str) -> Params:
    if not isinstance(value, dict):
        refuse(path, "an object")
    params = {}
    for name, member in shape.members.items():
        serialization = member.serialization
        found = value.get(serialization.get("name", name))
        if found is not None and "location" not in serialization:
            params[name] = JSON[member.type_name](member, found, f"{path}.{name}" if path else name)
    return params


def _list(shape: Any, value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        refuse(path, "a list")
    return [_from_json(shape.member, item, f"{path}.{i}.member") for i, item in enumerate(value, 1)]


def _map(shape: Any, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        refuse(path, "an object")
    return {
        string(shape.key, key, path): _from_json(shape.value, item, f"{path}.{key}")
        for key, item in value.items()
        if item is not None
    }


# --- query: fields with dotted names ----------------------------------------------------------------------------------

Fields = dict[str, Any]
"""A tree of field names: `A.member.1=x` is {"A": {"member": {"1": {"": "x"}}}}."""


def _query(shape: Any, request: Request, _labels: Mapping[str, str]) -> Params:
    tree: Fields = {}
    for name, value in request.form.items():
        pieces = name.split(".")
        if len(pieces) > DEEPEST_FIELD or not all(pieces):  # no model goes there, so it is an unknown member
            continue
        node = tree
        for piece in pieces:
            node = node.setdefault(piece, {})
        node[""] = value
    return _query_structure(shape, tree, "")


def _from_fields(shape: Any, fields: Fields, path: str) -> Any:
    if shape.type_name in QUERY:
        return QUERY[shape.type_name](shape, fields, path)
    if "" not in fields:
        refuse(path, f"a {shape.type_name}")
    return _from_text(shape, fields[""], path)


def _query_structure(shape: Any, fields: Fields, path: str) -> Params:
    params = {}
    for name, member in shape.members.items():
        found = fields.get(member.serialization.get("name", name))
        if found is not None:
            params[name] = _from_fields(member, found, f"{path}.{name}" if path else name)
    return params


def _query_list(shape: Any, fields: Fields, path: str) -> list[Any]:
    items = fields.get(shape.member.serialization.get("name", "member"), {})
    return [_from_fields(shape.member, items[i], f"{path}.{i}.member") for i in _numbered(items, path)]


def _query_map(shape: Any, fields: Fields, path: str) -> dict[str, Any]:
    key_name = shape.key.serialization.get("name", "key")
    value_name = shape.value.serialization.get("name", "value")
    entries = fields.get("entry", {})
    found = {}
    for i in _numbered(entries, path):
        key = _from_fields(shape.key, entries[i].get(key_name, {}), f"{path}.entry.{i}.key")
        found[key] = _from_fields(shape.value, entries[i].get(value_name, {}), f"{path}.{key}")
    return found


def _numbered(items: Fields, path: str) -> list[str]:
    """The numbers under a list or map, in order; gaps do no harm."""
    numbers = [i for i in items if i]
    if not all(i.isascii() and i.isdigit() and len(i) < 9 for i in numbers):
        refuse(path, "numbered from 1")
    return sorted(numbers, key=int)


JSON: dict[str, Reader] = {**FROM_JSON, "structure": _structure, "list": _list, "map": _map}
QUERY: dict[str, Reader] = {"structure": _query_structure, "list": _query_list, "map": _query_map}

PARSERS: dict[str, Callable[[Any, Request, Mapping[str, str]], Params]] = {
    "rest-json": _rest,
    "json": _rpc_json,
    "query": _query,
}
