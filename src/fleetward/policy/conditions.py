"""OPERATORS: the condition operators, one row each, and how a condition is decided.

Source: IAM user guide, "Condition operators" and "Set operators for multivalued context keys". A missing key makes an
operator false, a negated one true; `…IfExists` makes it true, ForAnyValue: false, ForAllValues: true.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from fleetward.policy.keys import canonical, is_multivalued, malformed, shown
from fleetward.policy.patterns import Scope, Test, compile_arn, compile_folded, compile_pattern, compile_text
from fleetward.policy.request import Request
from fleetward.policy.values import Address, Network, read_address, read_boolean, read_date, read_network, read_number


@dataclass(frozen=True, slots=True)
class Condition:
    """One context key against the values one operator lists for it; it holds when any of them matches.

    `missing` is the answer when the request has no such key; with `every`, all values of the request must pass, else
    one of them.
    """

    key: str
    tests: tuple[Test, ...]
    negated: bool
    every: bool
    missing: bool

    def holds(self, request: Request) -> bool:
        value = request.context.get(self.key)
        if not value and value != "":
            return self.missing
        if isinstance(value, str):
            return self._passes(value, request)
        return (all if self.every else any)(self._passes(one, request) for one in value or ())

    def _passes(self, value: str, request: Request) -> bool:
        """A negated operator in an Allow needs certainty: what cannot be compared might be equal."""
        for test in self.tests:
            if test.matches(value, request):
                return not self.negated
        return self.negated and (request.deny or all(test.decides(value, request) for test in self.tests))


# --- the tests of typed values ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Comparison:
    """A typed value against `bound`; `read` gives None for a text that is not of the type."""

    read: Callable[[str], Any]
    compare: Callable[[Any, Any], bool]
    bound: Any

    def matches(self, value: str, request: Request) -> bool:
        actual = self.read(value)
        return actual is not None and self.compare(actual, self.bound)

    def decides(self, value: str, request: Request) -> bool:
        return self.read(value) is not None


Compiler: TypeAlias = Callable[[str, Scope], Test]


def _typed(
    kind: str, compare: Callable[[Any, Any], bool], read: Callable[[str], Any], read_bound: Callable[[str], Any]
) -> Compiler:
    """A compiler for values of one type. They cannot contain variables ("Where you can use policy variables")."""

    def compile_value(text: str, scope: Scope) -> Test:
        bound = read_bound(text)
        if bound is None:
            raise malformed(f"{shown(text)} is not {kind}")
        return Comparison(read, compare, bound)

    return compile_value


def _number(compare: Callable[[Any, Any], bool]) -> Compiler:
    return _typed("a number", compare, read_number, read_number)


def _date(compare: Callable[[Any, Any], bool]) -> Compiler:
    kind = "a date (2026-11-24, 2026-11-24T09:00:00Z or seconds since the epoch)"
    return _typed(kind, compare, read_date, read_date)


def _inside(address: Address, network: Network) -> bool:
    return address in network


def _unchanged(text: str) -> str:
    return text


def _expected(_: str, absent: bool) -> bool:
    return not absent


_boolean = _typed("true or false", operator.eq, read_boolean, read_boolean)
_address = _typed("an IP address or a network such as 10.0.0.0/8", _inside, read_address, read_network)
_presence = _typed("true or false", _expected, _unchanged, read_boolean)


# --- the table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Operator:
    compile: Compiler
    negated: bool = False
    about_presence: bool = False


OPERATORS: Mapping[str, Operator] = {
    "StringEquals": Operator(compile_text),
    "StringNotEquals": Operator(compile_text, negated=True),
    "StringEqualsIgnoreCase": Operator(compile_folded),
    "StringNotEqualsIgnoreCase": Operator(compile_folded, negated=True),
    "StringLike": Operator(compile_pattern),
    "StringNotLike": Operator(compile_pattern, negated=True),
    "NumericEquals": Operator(_number(operator.eq)),
    "NumericNotEquals": Operator(_number(operator.eq), negated=True),
    "NumericLessThan": Operator(_number(operator.lt)),
    "NumericLessThanEquals": Operator(_number(operator.le)),
    "NumericGreaterThan": Operator(_number(operator.gt)),
    "NumericGreaterThanEquals": Operator(_number(operator.ge)),
    "DateEquals": Operator(_date(operator.eq)),
    "DateNotEquals": Operator(_date(operator.eq), negated=True),
    "DateLessThan": Operator(_date(operator.lt)),
    "DateLessThanEquals": Operator(_date(operator.le)),
    "DateGreaterThan": Operator(_date(operator.gt)),
    "DateGreaterThanEquals": Operator(_date(operator.ge)),
    "Bool": Operator(_boolean),
    "IpAddress": Operator(_address),
    "NotIpAddress": Operator(_address, negated=True),
    "ArnEquals": Operator(compile_arn),
    "ArnNotEquals": Operator(compile_arn, negated=True),
    "ArnLike": Operator(compile_arn),
    "ArnNotLike": Operator(compile_arn, negated=True),
    "Null": Operator(_presence, about_presence=True),
}

_NAME = re.compile(r"(?:(?P<quantifier>ForAnyValue|ForAllValues):)?(?P<base>[A-Za-z]+?)(?P<if_exists>IfExists)?")


def compile_condition(name: str, key: str, values: Sequence[str], scope: Scope) -> Condition:
    """One key of one operator of a Condition block. Raises MalformedPolicy for what is not supported."""
    found = _NAME.fullmatch(name)
    row = OPERATORS.get(found["base"]) if found else None
    if found is None or row is None or (row.about_presence and found[0] != "Null"):
        raise malformed(f"condition operator {shown(name)} is not supported; {_SUPPORTED}")
    key = canonical(key, scope.keys)
    quantifier = found["quantifier"]
    if scope.keys is not None and is_multivalued(key) and not quantifier and not row.about_presence:
        raise malformed(f"{key} has several values and needs ForAnyValue:{name} or ForAllValues:{name}")
    tests = tuple(row.compile(value, scope) for value in values)
    return Condition(
        key,
        tests,
        negated=row.negated,
        every=quantifier == "ForAllValues" or (row.negated and not quantifier),
        missing=_when_missing(row, values, quantifier, if_exists=bool(found["if_exists"])),
    )


def _when_missing(row: Operator, values: Sequence[str], quantifier: str | None, if_exists: bool) -> bool:
    if row.about_presence:
        return any(map(read_boolean, values))
    return if_exists or quantifier == "ForAllValues" or (row.negated and quantifier is None)


_SUPPORTED = (
    f"supported are {', '.join(OPERATORS)}, and all but Null also with ForAnyValue: or ForAllValues: before "
    "and IfExists after"
)
