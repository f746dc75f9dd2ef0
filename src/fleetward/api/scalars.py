"""Scalar values off the wire: from JSON, and from the text of a path, query string, header or form.

Each reader takes the shape, the value and its path, and raises errors.Serialization, naming the path, for a value of
another type. Nothing is converted by guess.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

from botocore.model import Shape

from fleetward import errors

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LONGEST_NUMBER = 64
"""Characters of a number or timestamp in text; keeps `int()` and `float()` from being made to work."""


def refuse(path: str, expected: str) -> NoReturn:
    raise errors.Serialization(f"The value at {path[:256] or 'the top'!r} must be {expected}.")


def string(_shape: Shape, value: Any, path: str) -> str:
    if not isinstance(value, str):
        refuse(path, "a string")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:  # half of a surrogate pair
            refuse(path, "valid Unicode")
    return value


def _boolean(_shape: Shape, value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        refuse(path, "true or false")
    return value


def _integer(_shape: Shape, value: Any, path: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(path, "an integer")
    return value


def _number(_shape: Shape, value: Any, path: str) -> float:
    if value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        refuse(path, "a number")
    try:
        return float(value)
    except OverflowError:
        refuse(path, "a number")


def blob(_shape: Shape, value: Any, path: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        refuse(path, "base64")


def _timestamp(_shape: Shape, value: Any, path: str) -> datetime:
    """Epoch seconds as a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return _timestamp_text(_shape, value, path)
    try:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError
        return EPOCH + timedelta(seconds=value)
    except (ValueError, OverflowError):
        refuse(path, "a timestamp")


def _boolean_text(_shape: Shape, text: str, path: str) -> bool:
    if text.lower() not in ("true", "false"):
        refuse(path, "true or false")
    return text.lower() == "true"


def _integer_text(_shape: Shape, text: str, path: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
        refuse(path, "an integer")
    return int(text)


def _number_text(shape: Shape, text: str, path: str) -> float:
    try:
        return _number(shape, float(text[:LONGEST_NUMBER]), path)
    except ValueError:
        refuse(path, "a number")


def _timestamp_text(_shape: Shape, text: Any, path: str) -> datetime:
    """ISO 8601, epoch seconds or an HTTP date, whichever it is; a time without a zone is UTC."""
    if not isinstance(text, str) or len(text) > LONGEST_NUMBER:
        refuse(path, "a timestamp")
    try:
        if re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]+)?", text):
            return EPOCH + timedelta(seconds=float(text))
        moment = datetime.fromisoformat(text) if text[:1].isdigit() else parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        refuse(path, "a timestamp")


Reader = Callable[[Any, Any, str], Any]

FROM_TEXT: dict[str, Reader] = {
    "string": string,
    "boolean": _boolean_text,
    "integer": _integer_text,
    "long": _integer_text,
    "float": _number_text,
    "double": _number_text,
    "timestamp": _timestamp_text,
    "blob": blob,
}
FROM_JSON: dict[str, Reader] = {
    "string": string,
    "boolean": _boolean,
    "integer": _integer,
    "long": _integer,
    "float": _number,
    "double": _number,
    "timestamp": _timestamp,
    "blob": blob,
}
