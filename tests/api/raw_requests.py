"""Raw HTTP requests built from the service models and then damaged, by a seed.

A request starts as botocore would send it, with values that are partly valid and partly nasty; then its path, query,
headers, body, method and framing are mutated. What is really sent is signed last (raw_wire.py).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from botocore.model import OperationModel
from botocore.serialize import create_serializer
from model_inputs import valid
from raw_wire import Raw

from fleetward.api import models, operations

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "get", "BREW")
TEXTS = (
    *(
        "",
        " ",
        "a1",
        "a1",
        "a1",
        "A1",
        "../a1",
        "a/b",
        "%",
        "%00",
        "%zz",
        "%2F",
        "\x00",
        "\n",
        "\ud800",
        "é",
        "𝔘",
        "\u202e",
    ),
    *(
        "*",
        "?",
        "{}",
        "[]",
        "null",
        "NaN",
        "-0",
        "1e999",
        "9" * 400,
        "a" * 5000,
        "${iot:ClientId}",
        "$aws/things/a1",
        "#",
        "+",
    ),
    *("';--", "<a>&amp;]]>", "(" * 300, "(a+)+$", "\\u0000", "0x10", "1_0", "١", "2026-13-45T99:99:99Z", "-1", "true"),
    *("arn:", "arn:aws:iot:us-east-1:123456789012:thing/a1", "arn:aws:iot:us-east-1:123456789012:thinggroup/a1"),
    *("arn:aws:iot:us-east-1:123456789012:cert/" + "0" * 64, "arn:aws:iot:us-east-1:123456789012:all/things"),
    *(
        "arn:aws:sns:us-east-1:123456789012:a1",
        "arn:aws:sns:us-east-1:123456789012:a1:b",
        "arn:aws:iam::123456789012:role/a1",
    ),
    *(
        "arn:aws:lambda:us-east-1:123456789012:function:a1",
        "arn:aws:iam::aws:policy/a1",
        "arn:aws:logs:::log-group:a1:*",
    ),
    *(
        "rate(1 day)",
        "cron(0 0 * * ? *)",
        "rate(0 days)",
        "cron(" + "9," * 200 + ")",
        "Zm9v",
        "e30=",
        "f/1",
        "aws:message-byte-size",
    ),
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}',
    '{"Version":"2012-10-17","Statement":{"Effect":"Deny","NotAction":["iot:*",3],"Resource":[[]]}}',
    '{"Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*","Condition":{"StringLike":{"iot:ClientId":{}}}}]}',
    '{"a":[{"prefix":null},{"numeric":["=",1e400]},{"anything-but":[[]]}]}',
)
NUMBERS = (0, 1, -1, 2, 250, 251, 2**31 - 1, 2**31, 2**63, -(2**63) - 1, 10**30, 0.5, -0.0, 1e308)
CONTENT_TYPES = (
    *("application/json", "application/x-amz-json-1.1", "application/x-www-form-urlencoded", "text/xml", "", "x" * 300),
    *("multipart/form-data; boundary=", "application/x-www-form-urlencoded; charset=utf-16", "application/cbor"),
)
HEADERS = (
    *("content-type", "content-encoding", "accept", "if-match", "x-amz-target", "x-amz-content-sha256"),
    *("x-amzn-principal", "x-amz-client-context", "x-amz-mqtt5-user-properties", "x-amz-mqtt5-correlation-data"),
    *("x-amz-invocation-type", "x-amz-log-type"),
)
JUNK = (
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    b"\x1f\x8b\x08",
    b"%",
    b"&=&",
    b"a=b" * 999,
    b"[" * 50_000,
)


# --- from the model ---------------------------------------------------------------------------------------------------


def operations_of(service: str) -> list[OperationModel]:
    model = models.service(service).model
    return [model.operation_model(name) for name in model.operation_names]


def built(operation: OperationModel, params: dict[str, Any]) -> Raw:
    """The request as botocore sends it."""
    protocol = operation.service_model.metadata["protocol"]
    made = create_serializer(protocol, include_validation=False).serialize_to_request(params, operation)
    body = made["body"]
    if isinstance(body, dict):
        body = urlencode(body)
    query = made["query_string"]
    path, _, constants = made["url_path"].partition("?")
    query = "&".join(filter(None, (constants, urlencode(query, doseq=True) if isinstance(query, dict) else query)))
    headers = {name.lower(): str(value) for name, value in made["headers"].items()}
    raw = body.encode() if isinstance(body, str) else bytes(body)
    name = operation.service_model.service_name
    return Raw(name, operation.name, made["method"], path, query, headers, raw)


def plain(operation: OperationModel) -> Raw:
    """A request of the operation with valid parameters."""
    return built(operation, valid(operation.input_shape) if operation.input_shape is not None else {})


class Fuzzer:
    """An endless supply of damaged requests; the same seed gives the same ones. `known` names things that exist."""

    def __init__(self, seed: int, known: Sequence[str] = ()) -> None:
        self._random = random.Random(seed)
        self._known = known
        every = [operation for service in operations.REGISTRY for operation in operations_of(service)]
        self._served = [one for one in every if operations.find(one.service_model.service_name, one.name)]
        self._every = every

    def next(self) -> Raw:
        chance = self._random
        operation = chance.choice(self._served if chance.random() < 0.9 else self._every)
        shape = operation.input_shape
        try:
            raw = built(operation, self._structure(shape, 0) if shape is not None else {})
        except Exception:  # what botocore cannot send
            raw = plain(operation)
        for _ in range(chance.choice((0, 0, 1, 1, 2, 3))):
            name, mutate = chance.choice(MUTATIONS)
            mutate(raw, chance)
            raw.mutations.append(name)
        return raw

    def _structure(self, shape: Any, depth: int) -> dict[str, Any]:
        chance, required = self._random, set(shape.required_members)
        return {
            name: self._value(member, depth + 1)
            for name, member in shape.members.items()
            if chance.random() < (0.97 if name in required else 0.25)
        }

    def _value(self, shape: Any, depth: int) -> Any:
        chance, kind = self._random, shape.type_name
        nasty = chance.random() < 0.25
        if kind == "string" and self._known and chance.random() < 0.08:
            return chance.choice(self._known)
        if depth > 5 or (not nasty and kind not in ("structure", "list", "map")):
            return valid(shape)
        if kind == "structure":
            return self._structure(shape, depth)
        if kind == "list":
            return [self._value(shape.member, depth + 1) for _ in range(chance.choice((0, 1, 1, 2, 30)))]
        if kind == "map":
            keys = [self._value(shape.key, depth + 1) for _ in range(chance.choice((0, 1, 1, 3)))]
            return {key: self._value(shape.value, depth + 1) for key in keys}
        if kind == "string":
            return chance.choice(shape.metadata.get("enum") or TEXTS) if chance.random() < 0.3 else chance.choice(TEXTS)
        if kind == "blob":
            return chance.choice((*JUNK, chance.choice(TEXTS).encode(errors="replace")))
        if kind == "timestamp":
            return datetime.fromtimestamp(chance.choice((0, 1, 2**31, 253402300799)), UTC)
        return chance.choice((True, False)) if kind == "boolean" else chance.choice(NUMBERS)


# --- mutations --------------------------------------------------------------------------------------------------------


def _damage_path(raw: Raw, chance: random.Random) -> None:
    pieces = raw.path.split("/")
    place = chance.randrange(len(pieces))
    encoded = quote(chance.choice(TEXTS).encode(errors="surrogatepass"), safe=chance.choice(("", "/%", "~")))
    raw_text = chance.choice(("%", "%zz", "%ff", "..", ".", "", "%2e%2e", "%00", "a1;b", "%252F", "\x80", '"', "|"))
    pieces[place] = chance.choice((encoded, encoded, raw_text, pieces[place] + raw_text, pieces[place].upper()))
    raw.path = (
        "/" + "/".join(pieces).lstrip("/") if chance.random() < 0.9 else "/".join(pieces) + "/" * chance.randrange(3)
    )
    raw.path = (raw.path or "/") if raw.path.startswith("/") else "/" + raw.path


def _damage_query(raw: Raw, chance: random.Random) -> None:
    names = [pair.partition("=")[0] for pair in raw.query.split("&")] + [
        "maxResults",
        "nextToken",
        "Action",
        "",
        "X-Amz-Date",
    ]
    value = quote(chance.choice(TEXTS).encode(errors="surrogatepass"))
    added = chance.choice(
        (f"{chance.choice(names)}={value}", "&&&", "=", "%", "+", "a" * 2000 + "=1", "&".join(["a=1"] * 300))
    )
    raw.query = chance.choice((f"{raw.query}&{added}", added, raw.query[: chance.randrange(len(raw.query) + 1)]))


def _damage_header(raw: Raw, chance: random.Random) -> None:
    name = chance.choice([*raw.headers, *HEADERS])
    if name in raw.headers and chance.random() < 0.3:
        del raw.headers[name]
        return
    texts = [text for text in TEXTS if text.isprintable() and text.isascii()]
    raw.headers[name] = (
        chance.choice(CONTENT_TYPES) if name == "content-type" else chance.choice([*texts, "\xe9\xff", "a1"])
    )


def _damage_body(raw: Raw, chance: random.Random) -> None:
    body = bytearray(raw.body)
    how = chance.randrange(4)
    if how == 0:
        raw.body = chance.choice(JUNK)
    elif how == 1 and body:
        raw.body = bytes(body[: chance.randrange(len(body))])
    elif how == 2 and body:
        for _ in range(chance.randrange(1, 4)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        raw.body = bytes(body)
    else:
        raw.body += chance.choice(
            (b"\x00", b"}", b"&x.1.2.3=4", b"&Attributes.entry.99999999.key=a", b"&A.member.-1=x", b"," * 99)
        )


def _confuse_types(raw: Raw, chance: random.Random) -> None:
    """Puts a value of another type into the JSON."""
    try:
        tree = json.loads(raw.body)
    except (ValueError, RecursionError):
        return
    places: list[tuple[Any, Any]] = []

    def collect(node: Any) -> None:
        for key, item in list(
            node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        ):
            places.append((node, key))
            collect(item)

    collect(tree)
    if places:
        node, key = chance.choice(places)
        deep: Any = []
        for _ in range(chance.choice((1, 500))):
            deep = [deep]
        node[key] = chance.choice(
            (None, True, [], {}, [None], {"a": {}}, deep, *NUMBERS, *TEXTS, float("nan"), float("inf"))
        )
    raw.body = json.dumps(tree).encode()


def _damage_method(raw: Raw, chance: random.Random) -> None:
    raw.method = chance.choice(METHODS)


def _chunk(raw: Raw, chance: random.Random) -> None:
    raw.chunks = [chance.choice((1, 2, 7, 100, 5000)) for _ in range(20)]


MUTATIONS: tuple[tuple[str, Callable[[Raw, random.Random], None]], ...] = (
    ("path", _damage_path),
    ("query", _damage_query),
    ("header", _damage_header),
    ("body", _damage_body),
    ("types", _confuse_types),
    ("types", _confuse_types),
    ("method", _damage_method),
    ("chunks", _chunk),
)
