"""Inputs of an operation, derived from its service's model: valid ones, and ones that break one constraint each."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import regex
from botocore.model import OperationModel, Shape
from hypothesis import Phase, find, settings
from hypothesis.strategies import from_regex

Params = dict[str, Any]

TEXTS = ("a1", "1", "a", "/a/", "a=b", "{}", "true", "0123456789abcdef" * 4)
"""What is tried, in this order, for a string with a pattern, before one is searched for."""

QUICKLY = settings(database=None, derandomize=True, phases=[Phase.generate])

MISFITS = ("no good!", "é ü", "a\u00a0b", "-", "{", "x" * 40, "0", " ")
"""What is tried, in this order, for a string that breaks a pattern."""

DEEPEST = 5
LONGEST = 300_000
"""Characters (bytes, elements) up to which too long a value is really made …"""
LONGEST_OUTSIDE_BODY = 4_000
"""… and those in a path, query string or header."""

TOKENS = ("nextToken", "NextToken", "marker", "Marker")


@dataclass(frozen=True, slots=True)
class Breach:
    """Parameters with one thing wrong: what, and the member that the answer has to name."""

    what: str
    member: str
    params: Params

    def __str__(self) -> str:
        return f"{self.member}: {self.what}"


# --- valid ------------------------------------------------------------------------------------------------------------


def valid(shape: Any) -> Any:
    """A small value that keeps every constraint of `shape`; of a structure only the required members."""
    kind, limits = shape.type_name, shape.metadata
    if kind == "structure":
        return {name: valid(shape.members[name]) for name in shape.required_members}
    if kind == "list":
        return [valid(shape.member) for _ in range(max(limits.get("min", 0), 1))]
    if kind == "map":
        return {valid(shape.key): valid(shape.value)}
    if kind == "string":
        return _string(shape)
    if kind == "blob":
        return b"x" * max(limits.get("min", 0), 1)
    if kind == "boolean":
        return True
    if kind == "timestamp":
        return datetime(2026, 11, 24, tzinfo=UTC)
    return max(limits.get("min", 1), min(1, limits.get("max", 1)))


def _string(shape: Shape) -> str:
    limits = shape.metadata
    if limits.get("enum"):
        return str(limits["enum"][0])
    return _text(limits.get("pattern"), limits.get("min", 0), limits.get("max", LONGEST))


@cache
def _text(pattern: str | None, least: int, most: int) -> str:
    def fits(text: str) -> bool:
        return least <= len(text) <= most and (pattern is None or regex.fullmatch(pattern, text) is not None)

    for text in TEXTS:
        stretched = text * max(1, -(-least // len(text)))
        for candidate in (text, stretched[: max(least, len(text))]):
            if fits(candidate):
                return candidate
    return str(find(from_regex(pattern or "", fullmatch=True), fits, settings=QUICKLY))


# --- with one thing wrong ---------------------------------------------------------------------------------------------


def breaches(operation: OperationModel, base: Params) -> Iterator[Breach]:
    """Every way to break one constraint of the model, each in parameters that are otherwise `base`, which is valid."""
    if operation.input_shape is None:
        return
    payload = operation.input_shape.serialization.get("payload")
    typed = operation.service_model.metadata["protocol"] != "query"
    for path, shape, required in _members(operation.input_shape, ()):
        top = operation.input_shape.members[path[0]]
        outside = top.serialization.get("location")
        name = next(step for step in reversed(path) if step not in ("[]", "{}"))
        made_by_client = path[-1] in operation.idempotent_members
        if required and outside != "uri" and path[0] != payload and not made_by_client:
            yield Breach("missing", name, _without(operation.input_shape, base, path))
        for what, value in _wrong(shape, outside, typed):
            yield Breach(what, name, _with(operation.input_shape, base, path, value))


def _members(shape: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, bool]]:
    """Every member below `shape`: its path ("[]" an item, "{}" a value of a map), its shape, and whether it must be."""
    if len(path) >= DEEPEST:
        return
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            yield (*path, name), member, name in shape.required_members
            yield from _members(member, (*path, name))
    elif shape.type_name in ("list", "map"):
        member = shape.member if shape.type_name == "list" else shape.value
        step = (*path, "[]" if shape.type_name == "list" else "{}")
        yield step, member, False
        yield from _members(member, step)


def _wrong(shape: Any, outside: str | None, typed: bool) -> Iterator[tuple[str, Any]]:
    """Values that break a constraint of `shape`, as far as a client can send them from where the member is.

    `typed`: whether the protocol's bodies tell a string from a boolean; botocore sends any string as "true" otherwise.
    """
    kind, limits = shape.type_name, shape.metadata
    longest = LONGEST if outside is None else LONGEST_OUTSIDE_BODY
    if kind == "string" and not shape.serialization.get("jsonvalue"):
        yield from _wrong_strings(shape, outside, longest)
    elif kind in ("list", "map", "blob"):
        yield from _wrong_sizes(shape, longest)
    elif kind in ("integer", "long", "float", "double"):
        if "min" in limits:
            yield "too small", limits["min"] - 1
        if "max" in limits:
            yield "too large", limits["max"] + 1
        if kind in ("integer", "long"):
            yield "beyond its type", 2 ** (31 if kind == "integer" else 63)
            yield "not a number", "many"
    elif kind == "boolean" and outside is None and typed:
        yield "not a boolean", "perhaps"


def _wrong_strings(shape: Shape, outside: str | None, longest: int) -> Iterator[tuple[str, Any]]:
    limits, good = shape.metadata, _string(shape)
    least, most, pattern = limits.get("min", 0), limits.get("max", longest), limits.get("pattern")
    if limits.get("enum"):
        yield "not in the enumeration", "SOMETHING_ELSE"
    if least > 1 or (least == 1 and outside is None):
        yield "too short", good[: least - 1]
    if most < longest:
        yield "too long", ((good or "a") * (most + 1))[: most + 1]
    if pattern is not None:
        for misfit in MISFITS:
            stretched = (misfit * max(1, -(-least // len(misfit))))[:most]
            if outside == "header" and not stretched.strip().isascii():
                continue
            if least <= len(stretched) and stretched.strip() and not regex.fullmatch(pattern, stretched):
                yield "against its pattern", stretched
                break


def _wrong_sizes(shape: Any, longest: int) -> Iterator[tuple[str, Any]]:
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max", longest)
    if shape.type_name == "blob":
        fill: Any = lambda count: b"x" * count  # noqa: E731
    elif shape.type_name == "list":
        fill = lambda count: [_something(shape.member)] * count  # noqa: E731
    else:
        fill = lambda count: {f"a{i}": valid(shape.value) for i in range(count)}  # noqa: E731
    if least > 1:
        yield "too few", fill(least - 1)
    if most < min(longest, 2_000 if shape.type_name != "blob" else longest):
        yield "too many", fill(most + 1)


def _something(shape: Any) -> Any:
    """A valid value that is not empty: the query protocol sends nothing for an empty structure."""
    value = valid(shape)
    if shape.type_name == "structure" and not value:
        name = next(iter(shape.members))
        value = {name: valid(shape.members[name])}
    return value


# --- changing one member ----------------------------------------------------------------------------------------------


def _with(shape: Any, base: Params, path: tuple[str, ...], value: Any) -> Params:
    changed = copy.deepcopy(base)
    _parent(shape, changed, path)[_key(path)] = value
    return changed


def _without(shape: Any, base: Params, path: tuple[str, ...]) -> Params:
    changed = copy.deepcopy(base)
    _parent(shape, changed, path).pop(_key(path), None)
    return changed


def _key(path: tuple[str, ...]) -> Any:
    return {"[]": 0, "{}": "a1"}.get(path[-1], path[-1])


def _parent(shape: Any, params: Any, path: tuple[str, ...]) -> Any:
    """What holds the last step of `path`, made from valid values where `params` lack it."""
    for i, step in enumerate(path[:-1], 1):
        shape = _below(shape, step)
        key = _key(path[:i])
        if isinstance(params, list) and not params:
            params.append(valid(shape))
        elif isinstance(params, dict) and key not in params:
            params[key] = valid(shape)
        params = params[key]
    return params


def _below(shape: Any, step: str) -> Any:
    if step == "[]":
        return shape.member
    return shape.value if step == "{}" else shape.members[step]
