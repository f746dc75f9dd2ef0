"""Reading requests to shadows: which are refused, and in which words.

AWS IoT Core developer guide, "Device Shadow error messages" and "Diagnosing problems with shadows"; quotas from the AWS
general reference, "AWS IoT Device Shadow service".
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from fleetward import errors
from fleetward.shadows.document import SECTIONS, Json, State, Update

MAX_STATE_BYTES = 8 * 1024
"""The state in a request, and that of the shadow it makes, as JSON without spaces; metadata do not count."""

MAX_REQUEST_BYTES = 2 * MAX_STATE_BYTES
"""Looked at at all: room for spaces, version and client token."""

MAX_LEVELS = 8
"""Objects and arrays inside one another, the section itself included."""

MAX_TOKEN_BYTES = 64


def read_update(payload: bytes) -> Update:
    """The request state document in `payload`. What stands beside state, version and clientToken is ignored."""
    request = _parse(payload)
    if "state" not in request:
        raise errors.InvalidRequest("Missing required node: state")
    update = Update(request["state"], request.get("version"), request.get("clientToken"))
    _check_state(update.state)
    if update.version is not None and (isinstance(update.version, bool) or not isinstance(update.version, int)):
        raise errors.InvalidRequest("Invalid version")
    if update.client_token is not None:
        _check_token(update.client_token)
    check_size(update.state)
    return update


def read_token(payload: bytes) -> str | None:
    """The client token of a get or delete, the contents of which are ignored otherwise: most are empty."""
    try:
        token = _parse(payload).get("clientToken")
    except errors.Refusal:
        return None
    if token is not None:
        _check_token(token)
    return token


def known_token(payload: bytes) -> str | None:
    """The client token of a request that is refused, if it can be made out."""
    try:
        return read_token(payload)
    except errors.Refusal:
        return None


def check_size(state: State) -> None:
    """Raises errors.RequestEntityTooLarge for more state than a shadow may hold."""
    if len(dumps(state)) > MAX_STATE_BYTES:
        raise _too_large()


def dumps(document: Json) -> bytes:
    """JSON as it is measured. Raises errors.InvalidRequest for half a surrogate pair."""
    try:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise _invalid_json() from None


def _parse(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_REQUEST_BYTES:
        raise _too_large()
    try:
        request = json.loads(payload.decode(), parse_constant=_no_number, parse_float=_number)
    except UnicodeDecodeError:
        raise errors.UnsupportedDocumentEncoding(
            "Unsupported documented encoding; supported encoding is UTF-8"
        ) from None
    except (ValueError, RecursionError):  # no JSON, endless digits; endless nesting
        raise _invalid_json() from None
    if not isinstance(request, dict):
        raise _invalid_json()
    return request


def _number(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        _no_number(text)
    return number


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:32]} is not a number that JSON can carry")


def _check_state(state: Json) -> None:
    if not isinstance(state, dict):
        raise errors.InvalidRequest("State node must be an object")
    if not state.keys() <= set(SECTIONS):
        raise errors.InvalidRequest("State contains an invalid node")
    for section, value in state.items():
        if value is None:
            continue
        if not isinstance(value, dict):
            raise errors.InvalidRequest(f"{section.capitalize()} node must be an object")
        _check_levels(value, 1)


def _check_levels(value: Json, level: int) -> None:
    if level > MAX_LEVELS:
        raise errors.InvalidRequest(f"JSON contains too many levels of nesting; maximum is {MAX_LEVELS}")
    if isinstance(value, list) and None in value:
        raise errors.InvalidRequest("State contains an invalid node")
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, (dict, list)):
            _check_levels(item, level + 1)


def _check_token(token: Json) -> None:
    try:
        if isinstance(token, str) and len(token.encode()) <= MAX_TOKEN_BYTES:
            return
    except UnicodeEncodeError:  # half a surrogate pair
        pass
    raise errors.InvalidRequest("Invalid clientToken")


def _invalid_json() -> errors.InvalidRequest:
    return errors.InvalidRequest("Invalid JSON document")


def _too_large() -> errors.RequestEntityTooLarge:
    return errors.RequestEntityTooLarge("The payload exceeds the maximum size allowed")
