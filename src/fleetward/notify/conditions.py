"""CONDITIONS: the match expressions of filter policies, one row an operator; adding one = one function and one row."""

from __future__ import annotations

import ipaddress
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Predicate = Callable[[Any], bool]
"""Whether one plain value (text, number, bool, None) satisfies the condition."""


class Malformed(ValueError):
    """A filter policy that says nothing or too much; the text is AWS's."""


@dataclass(frozen=True, slots=True)
class Condition:
    holds: Predicate
    holds_when_missing: bool = False


def condition(value: Any) -> Condition:
    """One element of a key's list: a plain value means equality, an object of one key an operator."""
    if isinstance(value, dict):
        return _operation(value)
    if isinstance(value, list):
        raise Malformed("Match value must be String, number, true, false, or null")
    return Condition(_equal_to(value))


def _operation(value: Mapping[str, Any]) -> Condition:
    if len(value) != 1:
        raise Malformed("Only one key allowed in match expression")
    ((name, operand),) = value.items()
    if name not in CONDITIONS:
        raise Malformed(f"Unrecognized match type {name}")
    return CONDITIONS[name](operand)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal_to(wanted: Any) -> Predicate:
    """Equality that keeps apart what JSON keeps apart: 1 is neither true nor "1"."""
    if _is_number(wanted):
        return lambda value: _is_number(value) and value == wanted
    return lambda value: type(value) is type(wanted) and value == wanted


def _text_condition(name: str, operand: Any, test: Callable[[str, str], bool]) -> Condition:
    if not isinstance(operand, str):
        raise Malformed(f"{name} match pattern must be a string")
    return Condition(lambda value: isinstance(value, str) and test(value, operand))


def _prefix(operand: Any) -> Condition:
    return _text_condition("prefix", operand, str.startswith)


def _suffix(operand: Any) -> Condition:
    return _text_condition("suffix", operand, str.endswith)


def _equals_ignore_case(operand: Any) -> Condition:
    return _text_condition("equals-ignore-case", operand, lambda value, wanted: value.casefold() == wanted.casefold())


def _exists(operand: Any) -> Condition:
    if not isinstance(operand, bool):
        raise Malformed("exists match pattern must be either true or false.")
    return Condition(lambda value: operand, holds_when_missing=not operand)


def _anything_but(operand: Any) -> Condition:
    if isinstance(operand, dict):
        return _not_like(operand)
    refused = operand if isinstance(operand, list) else [operand]
    if not refused or not all(isinstance(one, str) or _is_number(one) for one in refused):
        raise Malformed("Value of anything-but must be an array or single string/number value.")
    equal = [_equal_to(one) for one in refused]
    return Condition(lambda value: not any(same(value) for same in equal))


def _not_like(operand: Mapping[str, Any]) -> Condition:
    if len(operand) != 1:
        raise Malformed("Only one key allowed in match expression")
    ((name, pattern),) = operand.items()
    if name not in ("prefix", "suffix", "equals-ignore-case"):
        raise Malformed(f"Unsupported anything-but pattern: {name}")
    inner = CONDITIONS[name](pattern)
    return Condition(lambda value: not inner.holds(value))


def _cidr(operand: Any) -> Condition:
    if not isinstance(operand, str):
        raise Malformed("prefix match pattern must be a string")
    try:
        network = ipaddress.ip_network(operand, strict=False)
    except ValueError as error:
        raise Malformed("Malformed CIDR, one '/' required") from error

    def inside(value: Any) -> bool:
        try:
            return isinstance(value, str) and ipaddress.ip_address(value) in network
        except ValueError:
            return False

    return Condition(inside)


# --- numeric ----------------------------------------------------------------------------------------------------------

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _numeric(operand: Any) -> Condition:
    """`["=", 5]`, `[">", 0]`, or a range `[">", 0, "<=", 100]`."""
    if not isinstance(operand, list):
        raise Malformed("Value of numeric must be an array.")
    if not operand or not isinstance(operand[0], str):
        raise Malformed(f"Invalid member in numeric match: {operand[0] if operand else ']'}")
    bounds = [_bound(operand, 0)]
    if len(operand) > 2:
        bounds.append(_upper_bound(operand))
    return Condition(lambda value: _is_number(value) and all(compare(value, limit) for compare, limit in bounds))


def _upper_bound(operand: Sequence[Any]) -> tuple[Callable[[Any, Any], bool], float]:
    first, low, second = operand[:3]
    if first not in (">", ">="):
        raise Malformed("Too many elements in numeric expression")
    if not isinstance(second, str):
        raise Malformed(f"Bad value in numeric range: {second}")
    if second not in ("<", "<="):
        raise Malformed(f"Bad numeric range operator: {second}")
    bound = _bound(operand, 2)
    if len(operand) > 4:
        raise Malformed("Too many terms in numeric range expression")
    if not low < bound[1]:
        raise Malformed("Bottom must be less than top")
    return bound


def _bound(operand: Sequence[Any], at: int) -> tuple[Callable[[Any, Any], bool], float]:
    name = operand[at]
    if name not in _COMPARISONS:
        raise Malformed(f"Unrecognized numeric range operator: {name}")
    limit = operand[at + 1] if len(operand) > at + 1 else None
    if not _is_number(limit):
        raise Malformed(f"Value of {'equals' if name == '=' else name} must be numeric")
    return _COMPARISONS[name], limit  # type: ignore[return-value]


CONDITIONS: Mapping[str, Callable[[Any], Condition]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _equals_ignore_case,
    "exists": _exists,
    "anything-but": _anything_but,
    "cidr": _cidr,
    "numeric": _numeric,
}
