"""Lists in pages: how many are asked for, where the page before ended, and the token for the next.

The names differ between operations (maxResults/nextToken, pageSize/marker, Limit/NextToken); whichever the parameters
hold is meant. A token says where to go on, so it stays valid when the list changes in between; it is bound to its
operation by a checksum, so that one of another list is refused instead of misread.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.api.call import Call
from fleetward.store.database import Reader

T = TypeVar("T")

SIZE_NAMES = ("maxResults", "MaxResults", "pageSize", "MaxItems", "limit", "Limit")
TOKEN_NAMES = ("nextToken", "NextToken", "marker", "Marker")

MOST = 250
"""Items of a page, whatever is asked for; AWS's own maximum for most lists."""

DEFAULT = 100

CHECKSUM_BYTES = 6


def page(
    call: Call, look: Reader, statement: sa.Select[Any], key: sa.ColumnElement[Any], ascending: bool = True
) -> tuple[Sequence[RowMapping], str | None]:
    """One page of `statement`'s rows in the order of `key`, and the next page's token.

    `key` is one of the statement's columns, and unique.
    """

    def fetch(limit: int, after: Any) -> Sequence[RowMapping]:
        wanted = statement
        if after is not None:
            wanted = wanted.where(key > after if ascending else key < after)
        return look.all(wanted.order_by(key if ascending else key.desc()).limit(limit))

    return page_after(call, fetch, lambda row: row[key])


def page_after(
    call: Call, fetch: Callable[[int, Any], Sequence[T]], position: Callable[[T], Any]
) -> tuple[Sequence[T], str | None]:
    """One page of what `fetch(limit, after)` finds behind a position (None: from the start), and the next page's token.

    `position` gives an item's place in the order: a string, an integer, or a tuple of them.
    """
    return _cut(call, fetch(size_of(call) + 1, _place(call)), position)


async def page_awaited(
    call: Call, fetch: Callable[[int, Any], Awaitable[Sequence[T]]], position: Callable[[T], Any]
) -> tuple[Sequence[T], str | None]:
    """`page_after` for a list that somebody else has to be asked for."""
    return _cut(call, await fetch(size_of(call) + 1, _place(call)), position)


def _cut(call: Call, items: Sequence[T], position: Callable[[T], Any]) -> tuple[Sequence[T], str | None]:
    """The page, and the next page's token if there is one more item."""
    size = size_of(call)
    if len(items) <= size:
        return items, None
    return items[:size], _token(call, position(items[size - 1]))


def page_of(call: Call, items: Sequence[T]) -> tuple[Sequence[T], str | None]:
    """One page of a list that is in memory anyway, and the next page's token (a place in the list)."""
    start = _place(call) or 0
    end = start + size_of(call)
    return items[start:end], _token(call, end) if end < len(items) else None


def size_of(call: Call) -> int:
    """How many items the caller wants on a page."""
    return min(next((call.params[name] for name in SIZE_NAMES if name in call.params), DEFAULT), MOST)


def _place(call: Call) -> Any:
    """Where the page before ended, or None on the first page."""
    name = next((name for name in TOKEN_NAMES if name in call.params), None)
    if name is None:
        return None
    try:
        raw = base64.b64decode(call.params[name], validate=True)
    except ValueError:
        raw = b""
    checksum, text = raw[:CHECKSUM_BYTES], raw[CHECKSUM_BYTES:]
    if checksum != _checksum(call, text):
        raise errors.Validation(f"Invalid {name}: it is not one that {call.operation.name} gave out.")
    place = json.loads(text)
    return tuple(place) if isinstance(place, list) else place


def _token(call: Call, place: Any) -> str:
    text = json.dumps(place).encode()
    return base64.b64encode(_checksum(call, text) + text).decode()


def _checksum(call: Call, text: bytes) -> bytes:
    return hashlib.sha256(f"{call.service}.{call.operation.name}\n".encode() + text).digest()[:CHECKSUM_BYTES]
