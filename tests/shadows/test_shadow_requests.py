"""What a request to a shadow may say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_values import SECTIONS

from fleetward import errors
from fleetward.shadows.document import Update
from fleetward.shadows.request import MAX_STATE_BYTES, known_token, read_token, read_update


def nested(levels: int) -> Any:
    """A section with so many objects inside one another, itself included."""
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def state(value: Any) -> str:
    return json.dumps({"state": {"desired": value}})


REFUSED = {
    "nothing": ("", 400, "Invalid JSON document"),
    "no JSON": ("{'state':{}}", 400, "Invalid JSON document"),
    "no object": ("[]", 400, "Invalid JSON document"),
    "endless nesting": ("[" * 16_000, 400, "Invalid JSON document"),
    "endless digits": ('{"state":{"desired":{"a":' + "1" * 6_000 + "}}}", 400, "Invalid JSON document"),
    "infinite": ('{"state":{"desired":{"a":1e999}}}', 400, "Invalid JSON document"),
    "NaN": ('{"state":{"desired":{"a":NaN}}}', 400, "Invalid JSON document"),
    "half a character": ('{"state":{"desired":{"a":"\\ud800"}}}', 400, "Invalid JSON document"),
    "no state": ("{}", 400, "Missing required node: state"),
    "state null": ('{"state":null}', 400, "State node must be an object"),
    "state a list": ('{"state":[]}', 400, "State node must be an object"),
    "desired a number": ('{"state":{"desired":1}}', 400, "Desired node must be an object"),
    "reported a text": ('{"state":{"reported":"x"}}', 400, "Reported node must be an object"),
    "other section": ('{"state":{"delta":{}}}', 400, "State contains an invalid node"),
    "null in an array": (state({"a": [1, None]}), 400, "State contains an invalid node"),
    "null in an array in an array": (state({"a": [{"b": [[None]]}]}), 400, "State contains an invalid node"),
    "nine levels": (state(nested(9)), 400, "JSON contains too many levels of nesting; maximum is 8"),
    "nine arrays": (state({"a": [[[[[[[[1]]]]]]]]}), 400, "JSON contains too many levels of nesting; maximum is 8"),
    "version a text": ('{"state":{},"version":"1"}', 400, "Invalid version"),
    "version true": ('{"state":{},"version":true}', 400, "Invalid version"),
    "version a fraction": ('{"state":{},"version":1.5}', 400, "Invalid version"),
    "token a number": ('{"state":{},"clientToken":1}', 400, "Invalid clientToken"),
    "token of 65 bytes": (json.dumps({"state": {}, "clientToken": "x" * 65}), 400, "Invalid clientToken"),
    "token of 66 bytes": (json.dumps({"state": {}, "clientToken": "ß" * 33}), 400, "Invalid clientToken"),
    "too much state": (state({"a": "x" * MAX_STATE_BYTES}), 413, "The payload exceeds the maximum size allowed"),
    "too much of it": (" " * 20_000 + state({}), 413, "The payload exceeds the maximum size allowed"),
}  # fmt: skip


@pytest.mark.parametrize(("payload", "code", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(payload: str, code: int, message: str) -> None:
    """Each fault has the code and the words of AWS's page of Device Shadow error messages."""
    with pytest.raises(errors.Refusal) as found:
        read_update(payload.encode())
    assert (found.value.status, found.value.message) == (code, message)


def test_only_utf_8_is_read() -> None:
    """Another encoding is 415."""
    for encoding in ("utf-16", "latin-1"):
        with pytest.raises(errors.UnsupportedDocumentEncoding) as found:
            read_update('{"state":{"desired":{"a":"ß"}}}'.encode(encoding))
        assert found.value.status == 415


@given(SECTIONS, st.none() | st.integers(0, 2**70), st.none() | st.text(st.characters(codec="utf-8"), max_size=16))
def test_valid_requests_are_read_as_they_are(state: dict[str, Any], version: int | None, token: str | None) -> None:
    """State, version and token come out as they went in; other members are ignored."""
    request = {"state": state, "version": version, "clientToken": token, "metadata": {"x": [None]}}
    assert read_update(json.dumps(request).encode()) == Update(state, version, token)


def test_limits_are_inclusive() -> None:
    """8 KB of state, 8 levels and a token of 64 bytes are just allowed."""
    room = MAX_STATE_BYTES - len('{"desired":{"a":""}}')
    assert read_update(state({"a": "x" * room}).encode())
    assert read_update(state(nested(8)).encode())
    assert read_update(json.dumps({"state": {}, "clientToken": "ß" * 32}).encode()).client_token == "ß" * 32


@given(st.binary(max_size=64))
def test_garbage_is_refused_never_worse(payload: bytes) -> None:
    """Whatever arrives, reading it ends in a refusal, and looking for its token in none."""
    with pytest.raises(errors.Refusal):
        read_update(payload)
    assert known_token(payload) is None
    assert read_token(payload) is None


def test_tokens_of_get_and_delete() -> None:
    """Their contents do not matter but for the token, which must be a valid one."""
    assert read_token(b"") is None
    assert read_token(b'{"clientToken":"t","x":1}') == "t"
    with pytest.raises(errors.InvalidRequest, match="Invalid clientToken"):
        read_token(b'{"clientToken":7}')
    assert known_token(b'{"clientToken":7}') is None
    assert known_token(b'{"state":7,"clientToken":"t"}') == "t"
