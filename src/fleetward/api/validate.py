"""Whether parameters keep the constraints of the service model: required, length, range, pattern, enum.

botocore's client checks almost none of this, so the server must. The words are AWS's, e.g. "Value 'a b' at 'thingName'
failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9:_-]+" (recorded).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import regex
from botocore.model import OperationModel

from fleetward import errors

OPEN_ENUMS = frozenset({("lambda", "Runtime")})
"""(service, shape) whose enum the model's next release extends: any value is let through to the operation."""

MAX_BREACHES = 10
"""Breaches told at once."""

LONGEST_VALUE = 256
"""Characters of a value that a message repeats."""

PATTERN_TIMEOUT = 0.1
"""Seconds a pattern may take over one value; a value that takes longer does not match."""

INTEGER_RANGES = {"integer": 2**31, "long": 2**63}


def validate(operation: OperationModel, params: dict[str, Any]) -> None:
    """Raises errors.Validation naming each member of `params` that breaks its constraint."""
    _refuse(breaches(operation, params))


def require(operation: OperationModel, params: dict[str, Any]) -> None:
    """Raises errors.Validation when a required parameter is missing; looks at nothing else."""
    if operation.input_shape is not None:
        _refuse(list(_missing(operation.input_shape, params, "")))


def breaches(operation: OperationModel, params: dict[str, Any]) -> list[str]:
    """The first MAX_BREACHES broken constraints, each as a sentence."""
    if operation.input_shape is None:
        return []
    service = operation.service_model.service_name
    found = []
    for breach in _structure(service, operation.input_shape, params, ""):
        found.append(breach)
        if len(found) == MAX_BREACHES:
            break
    return found


def _structure(service: str, shape: Any, value: dict[str, Any], path: str) -> Iterator[str]:
    yield from _missing(shape, value, path)
    members = shape.members
    for name, item in value.items():
        yield from _check(service, members[name], item, _member(path, name))


def _missing(shape: Any, value: dict[str, Any], path: str) -> Iterator[str]:
    for name in shape.required_members:
        if name not in value:
            yield _breach("null", _member(path, name), "Member must not be null")


def _check(service: str, shape: Any, value: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    if kind == "structure":
        yield from _structure(service, shape, value, path)
    elif kind == "string":
        yield from _string(service, shape, value, path)
    elif kind in ("list", "map", "blob"):
        wrong = list(_length(shape, value, path))
        yield from wrong
        for step, member, item in () if wrong else _items(shape, value):
            yield from _check(service, member, item, f"{path}.{step}")
    elif kind not in ("boolean", "timestamp"):
        yield from _range(shape, value, path)


def _items(shape: Any, value: Any) -> Iterator[tuple[str, Any, Any]]:
    """The parts of a list or a map, each with its step in a path as AWS writes it (`2.member`, `colour.member`)."""
    if shape.type_name == "list":
        for i, item in enumerate(value, 1):
            yield f"{i}.member", shape.member, item
    elif shape.type_name == "map":
        for key, item in value.items():
            yield "key", shape.key, key
            yield f"{key[:LONGEST_VALUE]}.member", shape.value, item


def _string(service: str, shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, str):  # the JSON value of a header has no constraints of its own
        return
    wrong = list(_length(shape, value, path))
    yield from wrong
    constraints = shape.metadata
    pattern = constraints.get("pattern")
    if pattern and not wrong and not _matches(pattern, value):
        told = f"Member must satisfy regular expression pattern: {pattern}"
        yield _breach(_shown(shape, value), path, told)
    enum = constraints.get("enum")
    if enum and value not in enum and (service, shape.name) not in OPEN_ENUMS:
        yield _breach(_shown(shape, value), path, f"Member must satisfy enum value set: [{', '.join(enum)}]")


def _length(shape: Any, value: Any, path: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and len(value) < least:
        yield _breach(_shown(shape, value), path, f"Member must have length greater than or equal to {least}")
    if most is not None and len(value) > most:
        yield _breach(_shown(shape, value), path, f"Member must have length less than or equal to {most}")


def _range(shape: Any, value: Any, path: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    size = INTEGER_RANGES.get(shape.type_name)
    if size is not None:
        least = -size if least is None else least
        most = size - 1 if most is None else most
    # Written so that NaN, which compares with nothing, is outside every range.
    if least is not None and not value >= least:
        yield _breach(_shown(shape, value), path, f"Member must have value greater than or equal to {least}")
    if most is not None and not value <= most:
        yield _breach(_shown(shape, value), path, f"Member must have value less than or equal to {most}")


def _matches(pattern: str, value: str) -> bool:
    try:
        return _compiled(pattern).fullmatch(value, timeout=PATTERN_TIMEOUT) is not None
    except TimeoutError:
        return False


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> regex.Pattern[str]:
    return regex.compile(pattern)


def _refuse(found: list[str]) -> None:
    if found:
        count = f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected: "
        raise errors.Validation(count + "; ".join(found))


def _breach(value: str, path: str, constraint: str) -> str:
    quoted = value if value == "null" else f"'{value}'"
    return f"Value {quoted} at '{path}' failed to satisfy constraint: {constraint}"


def _shown(shape: Any, value: Any) -> str:
    if shape.metadata.get("sensitive"):
        return "***"
    if isinstance(value, (bytes, list, dict)):
        return f"({len(value)} {'bytes' if isinstance(value, bytes) else 'elements'})"
    return str(value)[:LONGEST_VALUE]


def _member(path: str, name: str) -> str:
    name = name[:1].lower() + name[1:]
    return f"{path}.{name}" if path else name
