"""The documents that answer a request or announce a change, as the bytes that go out.

AWS IoT Core developer guide, "Device Shadow service documents". Metadata have a timestamp for every element of every
array, which is many times the state: they are written as text at once, never built.
"""

from __future__ import annotations

from collections.abc import Mapping
from json.encoder import encode_basestring as quoted
from typing import Any, TypeAlias

from fleetward import errors
from fleetward.shadows.document import Json, Shadow, Stamps, State, Update, delta_of
from fleetward.shadows.request import dumps

Members: TypeAlias = Mapping[str, Any]
"""Of a document: JSON values, and Text for what is JSON already."""


class Text(str):
    """JSON, written."""

    __slots__ = ()


def current(shadow: Shadow, seconds: int, token: str | None = None) -> bytes:
    """The answer to a get: both sections, and their delta when they differ."""
    state = dict(shadow.state)
    if difference := delta_of(shadow):
        state["delta"] = difference
    metadata = _metadata(shadow.state, shadow.stamps)
    return _document({"state": state, "metadata": metadata, "version": shadow.version, "timestamp": seconds}, token)


def accepted(shadow: Shadow, update: Update, seconds: int) -> bytes:
    """The answer to an update: what it asked for, nulls included, and the version it made."""
    metadata = Text(_written(update.state, seconds))
    members = {"state": update.state, "metadata": metadata, "version": shadow.version, "timestamp": seconds}
    return _document(members, update.client_token)


def delta(shadow: Shadow, difference: State, seconds: int, token: str | None) -> bytes:
    """The message on /update/delta; its metadata are those of the desired attributes."""
    metadata = _metadata(difference, shadow.stamps["desired"])
    members = {"version": shadow.version, "timestamp": seconds, "state": difference, "metadata": metadata}
    return _document(members, token)


def documents(before: Shadow, after: Shadow, seconds: int, token: str | None) -> bytes:
    """The message on /update/documents: all of the shadow, before and after."""
    return _document({"previous": _whole(before), "current": _whole(after), "timestamp": seconds}, token)


def deleted(shadow: Shadow, seconds: int, token: str | None) -> bytes:
    """The answer to a delete names the version that is gone."""
    return _document({"version": shadow.version, "timestamp": seconds}, token)


def rejected(refusal: errors.Refusal, seconds: int, token: str | None) -> bytes:
    """The error response document."""
    return _document({"code": refusal.status, "message": refusal.message, "timestamp": seconds}, token)


def _document(members: Members, token: str | None) -> bytes:
    return _object(members if token is None else {**members, "clientToken": token}).encode()


def _whole(shadow: Shadow) -> Text:
    metadata = _metadata(shadow.state, shadow.stamps)
    return _object({"state": shadow.state, "metadata": metadata, "version": shadow.version})


def _object(members: Members) -> Text:
    return _braces(
        {name: value if isinstance(value, Text) else dumps(value).decode() for name, value in members.items()}
    )


def _metadata(state: State, stamps: Stamps) -> Text:
    """The stamps of the attributes in `state`, which may be fewer than there are stamps for."""
    found = {}
    for name, value in state.items():
        stamp = stamps[name]
        found[name] = _metadata(value, stamp) if isinstance(stamp, dict) else _written(value, stamp)
    return _braces(found)


def _written(value: Json, seconds: int) -> str:
    """The metadata of a value all of which was written at `seconds`."""
    leaf = f'{{"timestamp":{seconds}}}'
    if isinstance(value, dict):
        return _braces({name: _written(item, seconds) for name, item in value.items()})
    if isinstance(value, list):
        items = [_written(item, seconds) if isinstance(item, (dict, list)) else leaf for item in value]
        return f"[{','.join(items)}]"
    return leaf


def _braces(members: Mapping[str, str]) -> Text:
    """An object of members that are JSON already."""
    return Text(f"{{{','.join(f'{quoted(name)}:{value}' for name, value in members.items())}}}")
