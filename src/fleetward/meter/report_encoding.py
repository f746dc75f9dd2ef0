"""The two encodings of device reports and of the answers to them, JSON and CBOR: strictly read, for devices can lie."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NoReturn

import cbor2

MAX_PAYLOAD = 131_072
"""Bytes of a report (AWS general reference, "AWS IoT Device Defender endpoints and quotas")."""

MAX_LEVELS = 16


class Encoding(StrEnum):
    """The last level of the topic that a report is published to."""

    JSON = "json"
    CBOR = "cbor"


class Malformed(Exception):
    """A report that breaks a rule; `report_id` where it can be made out."""

    report_id: int | None = None


def encode(document: Mapping[str, Any], encoding: Encoding) -> bytes:
    """An answer in the encoding of the report it answers."""
    if encoding is Encoding.CBOR:
        encoded: bytes = cbor2.dumps(dict(document))
        return encoded
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def decode(payload: bytes, encoding: Encoding) -> object:
    """What a report says; raises Malformed when it is too long or cannot be read."""
    if len(payload) > MAX_PAYLOAD:
        raise Malformed
    try:
        if encoding is Encoding.CBOR:
            return _decode_cbor(payload)
        return json.loads(payload.decode(), parse_constant=_refuse, object_pairs_hook=_unique)
    except (ValueError, RecursionError, cbor2.CBORError):  # not UTF-8, no JSON, endless digits; endless nesting
        raise Malformed from None


def _decode_cbor(payload: bytes) -> object:
    return cbor2.loads(
        payload,
        tag_hook=_refuse,
        semantic_decoders=_NO_TAGS,
        max_depth=MAX_LEVELS,
        strict_hashable_types=True,
        allow_duplicate_keys=False,
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, if every member is there once: of two, readers differ in which one counts."""
    members = dict(pairs)
    return members if len(members) == len(pairs) else _refuse()


def _refuse(*_: object) -> NoReturn:
    raise ValueError("not part of a report")


# Dates, big numbers, regular expressions, shared references…: nothing a report needs, and much to be tricked with.
_NO_TAGS: dict[int, Callable[..., Any]] = dict.fromkeys(
    (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000), _refuse
)
