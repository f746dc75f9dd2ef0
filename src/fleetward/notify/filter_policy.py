"""Filter policies: which messages a subscription wants. Compiled once, refused at the door when malformed.

SNS developer guide, "Amazon SNS subscription filter policies". A policy is an object of keys, all of which must match;
a key's list of conditions matches when one of them does; `$or` holds alternatives. Scope MessageAttributes looks at
the message's attributes, scope MessageBody at its JSON text, where objects nest and one array element is enough.
Error texts as AWS sends them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

from fleetward.notify.conditions import Condition, Malformed, condition

ATTRIBUTES, BODY = "MessageAttributes", "MessageBody"
MAX_KEYS = 5
MAX_COMBINATIONS = 150
MAX_DEPTH = 64

__all__ = ["ATTRIBUTES", "BODY", "FilterPolicy", "Malformed", "parse"]


@dataclass(frozen=True, slots=True)
class _Conditions:
    """The conditions of one key: one of them must hold for one of the values."""

    conditions: tuple[Condition, ...]

    def match(self, value: Any) -> bool:
        values = _leaves(value)
        if not values:
            return any(one.holds_when_missing for one in self.conditions)
        return any(one.holds(each) for one in self.conditions for each in values)


@dataclass(frozen=True, slots=True)
class _Keys:
    """An object of the policy: every key must match, and one alternative of each `$or`."""

    keys: Mapping[str, _Keys | _Conditions]
    alternatives: tuple[tuple[_Keys, ...], ...] = ()
    nesting: bool = False

    def match(self, value: Any) -> bool:
        if isinstance(value, list):
            return any(self.match(each) for each in value)
        found = value if isinstance(value, dict) else {}
        if self.nesting and "." in "".join(found):
            found = _unfolded(found)
        return all(rule.match(found.get(key, _MISSING)) for key, rule in self.keys.items()) and all(
            any(one.match(found) for one in group) for group in self.alternatives
        )


_MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class FilterPolicy:
    rules: _Keys
    scope: str

    def wants(self, text: str, attributes: Mapping[str, Mapping[str, str]]) -> bool:
        """Whether a message with this text and these attributes ({name: {"Type", "Value"}}) is to be delivered."""
        try:
            values = _of_attributes(attributes) if self.scope == ATTRIBUTES else json.loads(text)
            return isinstance(values, dict) and self.rules.match(values)
        except (ValueError, RecursionError):
            return False


@lru_cache(maxsize=1024)
def parse(text: str, scope: str = ATTRIBUTES) -> FilterPolicy:
    """The compiled policy; raises Malformed with AWS's text."""
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed("failed to parse JSON.") from error
    if not isinstance(document, dict):
        raise Malformed("Filter policy is not an object")
    if _depth(document) > MAX_DEPTH:
        raise Malformed("Filter policy is too complex")
    if scope == BODY:
        document = _nested(document)
    rules = _keys(document, nesting=scope == BODY)
    _check_size(document, scope)
    return FilterPolicy(rules, scope)


def _keys(document: Mapping[str, Any], nesting: bool) -> _Keys:
    keys: dict[str, _Keys | _Conditions] = {}
    alternatives: list[tuple[_Keys, ...]] = []
    for key, value in document.items():
        if _is_or(key, value):
            alternatives.append(tuple(_keys(one, nesting) for one in value))
        elif isinstance(value, list):
            keys[key] = _conditions(value)
        elif not isinstance(value, dict):
            raise Malformed(f'"{key}" must be an object or an array')
        elif not nesting:
            raise Malformed("Filter policy scope MessageAttributes does not support nested filter policy")
        elif not value:
            raise Malformed("Empty objects are not allowed")
        else:
            keys[key] = _keys(value, nesting)
    return _Keys(keys, tuple(alternatives), nesting)


def _is_or(key: str, value: Any) -> bool:
    """`$or` is an operator only as a list of at least two objects; else it is a key as any other."""
    return key == "$or" and isinstance(value, list) and len(value) > 1 and all(isinstance(one, dict) for one in value)


def _conditions(values: Sequence[Any]) -> _Conditions:
    if not values:
        raise Malformed("Empty arrays are not allowed")
    return _Conditions(tuple(condition(value) for value in values))


# --- size ------------------------------------------------------------------------------------------------------------


def _check_size(document: Mapping[str, Any], scope: str) -> None:
    if _count_keys(document) > MAX_KEYS:
        raise Malformed(f"Filter policy can not have more than {MAX_KEYS} keys")
    if _combinations(document, 1, scope) > MAX_COMBINATIONS:
        raise Malformed("Filter policy is too complex")


def _count_keys(document: Mapping[str, Any]) -> int:
    """Keys that hold conditions; of alternatives, those of the largest."""

    def of(key: str, value: Any) -> int:
        if _is_or(key, value):
            return max(_count_keys(one) for one in value)
        return _count_keys(value) if isinstance(value, dict) else 1

    return sum(of(key, value) for key, value in document.items())


def _combinations(document: Mapping[str, Any], level: int, scope: str) -> int:
    """Values of each key, times its level of nesting in a body policy, multiplied; alternatives add up."""

    def of(key: str, value: Any) -> int:
        if _is_or(key, value):
            return sum(_combinations(one, level, scope) for one in value)
        if isinstance(value, dict):
            return _combinations(value, level + 1, scope)
        return len(value) * (level if scope == BODY else 1)

    return prod(of(key, value) for key, value in document.items())


def _depth(value: Any) -> int:
    children: Sequence[Any] = (
        list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
    )
    return 1 + max(map(_depth, children), default=0)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


# --- what is matched --------------------------------------------------------------------------------------------------

_FROM_ATTRIBUTE: Mapping[str, Callable[[str], Any]] = {
    "String.Array": lambda value: json.loads(value),
    "Number": float,
    "Binary": lambda value: b"",
}


def _of_attributes(attributes: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """The attributes as plain values: a number, a text, a list for String.Array; a binary one only exists."""
    values: dict[str, Any] = {}
    for name, attribute in attributes.items():
        kind = attribute["Type"]
        convert = _FROM_ATTRIBUTE.get(kind) or _FROM_ATTRIBUTE.get(kind.split(".")[0], str)
        try:
            values[name] = convert(attribute["Value"])
        except ValueError:
            values[name] = attribute["Value"]
    return values


def _leaves(value: Any) -> list[Any]:
    """The plain values under a key; none for a missing key, an object (conditions are for leaves) or an empty array."""
    if isinstance(value, list):
        return [leaf for each in value for leaf in _leaves(each)]
    return [] if value is _MISSING or isinstance(value, dict) else [value]


def _nested(value: Any) -> Any:
    """`{"a.b": v}` means the same as `{"a": {"b": v}}`, in policies and (unfolded as far as one looks) in bodies."""
    if isinstance(value, list):
        return [_nested(each) for each in value]
    if not isinstance(value, dict):
        return value
    inside = {key: _nested(inner) if isinstance(inner, dict | list) else inner for key, inner in value.items()}
    return _unfolded(inside) if any("." in key for key in inside) else inside


def _unfolded(value: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, inner in value.items():
        place, path = result, key.split(".")
        for step in path[:-1]:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise Malformed(f'"{key}" is given twice')
        _merge(place, path[-1], inner)
    return result


def _merge(place: dict[str, Any], key: str, value: Any) -> None:
    present = place.get(key)
    if isinstance(present, dict) and isinstance(value, dict):
        for inner, each in value.items():
            _merge(present, inner, each)
    else:
        place[key] = value
