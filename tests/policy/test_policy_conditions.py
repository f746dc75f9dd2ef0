"""Condition operators: one table of cases for each, then the rules they share."""

import json
from typing import Any

import pytest

from fleetward.policy.conditions import OPERATORS
from fleetward.policy.document import DEVICE_KEYS, parse
from fleetward.policy.evaluate import Effect, evaluate

KEYS = DEVICE_KEYS | {"t:value", "t:list.List"}
NAME = "arn:aws:iot:us-east-1:123456789012:thing/x"


def effect(condition: dict[str, Any], context: dict[str, Any], effect: str = "Allow") -> Effect:
    statement = {"Effect": effect, "Action": "*", "Resource": "*", "Condition": condition}
    rules = parse(json.dumps({"Version": "2012-10-17", "Statement": statement}), keys=KEYS)
    return evaluate([rules], "iot:Publish", NAME, context).effect


def holds(operator: str, expected: Any, actual: Any, **more: Any) -> bool:
    """Whether `operator` holds for a value; an absent key when `actual` is None."""
    key = "t:list.List" if isinstance(actual, tuple) else "t:value"
    context = {**more, **({} if actual is None else {key: actual})}
    return effect({operator: {key: expected}}, context) is Effect.ALLOWED


CASES: list[tuple[str, Any, str, bool]] = [
    ("StringEquals", "a", "a", True),
    ("StringEquals", "a", "A", False),
    ("StringEquals", "a*", "ab", False),
    ("StringEquals", "a*", "a*", True),
    ("StringEquals", ["b", "a"], "a", True),
    ("StringEquals", "${iot:ClientId}", "me", True),
    ("StringEquals", "${iot:ClientId}!", "me", False),
    ("StringEqualsIgnoreCase", "aB", "Ab", True),
    ("StringEqualsIgnoreCase", "x${iot:ClientId}", "XME", True),
    ("StringEqualsIgnoreCase", "aB", "ab*", False),
    ("StringLike", "a*c?", "abbcd", True),
    ("StringLike", "a*c?", "abbc", False),
    ("StringLike", "${iot:ClientId}*", "me too", True),
    ("StringLike", "a${*}", "ab", False),
    ("NumericEquals", "1", "1.0", True),
    ("NumericEquals", 10, "1e1", True),
    ("NumericEquals", "1", "one", False),
    ("NumericLessThan", "9", "10", False),
    ("NumericLessThan", "10", "9", True),
    ("NumericLessThan", "10", "10", False),
    ("NumericLessThanEquals", "10", "10", True),
    ("NumericLessThanEquals", "0.1", "0.10000000000000000001", False),
    ("NumericGreaterThan", "-1", "0", True),
    ("NumericGreaterThan", "0", "0", False),
    ("NumericGreaterThanEquals", "0", "0", True),
    ("DateEquals", "2026-11-24T00:00:00Z", "2026-11-24", True),
    ("DateEquals", "2026-11-24T01:00:00+01:00", "1795478400", True),
    ("DateEquals", "2026-11-24", "yesterday", False),
    ("DateLessThan", "2026-11-24T09:00:00Z", "2026-11-24T08:59:59Z", True),
    ("DateLessThan", "2026-11-24T09:00:00Z", "2026-11-24T09:00:00Z", False),
    ("DateLessThanEquals", "2026-11-24T09:00:00Z", "2026-11-24T09:00:00Z", True),
    ("DateGreaterThan", "2026-11-24T09:00:00Z", "2026-11-24T09:00:00.001Z", True),
    ("DateGreaterThan", 1795478400, "2026-11-24", False),
    ("DateGreaterThanEquals", 1795478400, "2026-11-24", True),
    ("Bool", "true", "true", True),
    ("Bool", True, "TRUE", True),
    ("Bool", False, "true", False),
    ("Bool", "false", "maybe", False),
    ("IpAddress", "10.0.0.0/8", "10.1.2.3", True),
    ("IpAddress", "10.0.0.0/8", "11.1.2.3", False),
    ("IpAddress", "10.1.2.3", "10.1.2.3", True),
    ("IpAddress", ["192.168.0.0/16", "::1"], "::1", True),
    ("IpAddress", "2001:db8::/32", "2001:db8::1", True),
    ("IpAddress", "2001:db8::/32", "10.0.0.1", False),
    ("IpAddress", "10.0.0.0/8", "::ffff:10.1.2.3", True),
    ("IpAddress", "::ffff:10.0.0.0/104", "10.1.2.3", True),
    ("IpAddress", "fe80::/10", "fe80::1%eth0", True),
    ("IpAddress", "10.0.0.0/8", "not an address", False),
    ("ArnEquals", "arn:aws:sns:*:*:a", "arn:aws:sns:us-east-1:1:a", True),
    ("ArnLike", "arn:aws:sns:us-east-1:1:a?c*", "arn:aws:sns:us-east-1:1:abc:d", True),
    ("ArnLike", "arn:*:sns:us-east-1:1:a", "arn:aws:x:sns:us-east-1:1:a", False),
    ("ArnLike", "arn:aws:iot:r:1:thing/${iot:ClientId}", "arn:aws:iot:r:1:thing/me", True),
    ("ArnLike", "arn:aws:sns:us-east-1:1:*", "no arn", False),
]
NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}
UNREADABLE = {"one", "yesterday", "not an address"}


@pytest.mark.parametrize(("operator", "expected", "actual", "answer"), CASES)
def test_each_operator_compares_as_documented(operator: str, expected: Any, actual: str, answer: bool) -> None:
    """Each operator holds for the values AWS documents, and no others."""
    assert holds(operator, expected, actual, **{"iot:ClientId": "me"}) is answer


@pytest.mark.parametrize(("negated", "plain"), NEGATED.items())
def test_a_negated_operator_is_the_opposite(negated: str, plain: str) -> None:
    """A negated operator holds exactly where the plain one does not, for values that can be compared."""
    for operator, expected, actual, answer in CASES:
        if operator == plain and actual not in UNREADABLE:
            assert holds(negated, expected, actual, **{"iot:ClientId": "me"}) is not answer


def test_every_operator_has_a_case() -> None:
    """No operator in the table is without a case here."""
    assert {case[0] for case in CASES} | set(NEGATED) | {"Null"} == set(OPERATORS)


def test_null_asks_whether_the_key_is_there() -> None:
    """Null true holds for an absent key, Null false for a present one; no value at all is absent."""
    answers = {
        (wanted, actual): holds("Null", wanted, actual) for wanted in ("true", "false") for actual in (None, "x", ())
    }
    assert answers == {
        ("true", None): True,
        ("true", "x"): False,
        ("true", ()): True,
        ("false", None): False,
        ("false", "x"): True,
        ("false", ()): False,
    }


@pytest.mark.parametrize("operator", [name for name in OPERATORS if name != "Null"])
def test_a_missing_key(operator: str) -> None:
    """Without the key, negated operators, …IfExists and ForAllValues: hold; plain operators and ForAnyValue: do not."""
    expected = {"N": 1, "D": "2026-11-24", "B": True, "I": "::1", "A": NAME, "S": "x"}[
        operator.replace("NotIp", "Ip")[0]
    ]
    assert holds(operator, expected, None) is (operator in NEGATED)
    assert holds(f"{operator}IfExists", expected, None) is True
    assert holds(f"ForAnyValue:{operator}", expected, None) is False
    assert holds(f"ForAnyValue:{operator}IfExists", expected, None) is True
    assert holds(f"ForAllValues:{operator}", expected, None) is True


@pytest.mark.parametrize(
    ("operator", "actual", "answer"),
    [
        ("ForAnyValue:StringEquals", ("a", "z"), True),
        ("ForAnyValue:StringEquals", ("y", "z"), False),
        ("ForAnyValue:StringEquals", (), False),
        ("ForAllValues:StringEquals", ("a", "b"), True),
        ("ForAllValues:StringEquals", ("a", "z"), False),
        ("ForAllValues:StringEquals", (), True),
        ("ForAnyValue:StringNotEquals", ("a", "z"), True),
        ("ForAnyValue:StringNotEquals", ("a", "b"), False),
        ("ForAllValues:StringNotEquals", ("a", "z"), False),
        ("ForAllValues:StringNotEquals", ("y", "z"), True),
    ],
)
def test_sets(operator: str, actual: tuple[str, ...], answer: bool) -> None:
    """ForAnyValue needs one value that passes, ForAllValues that none fails; the empty set has neither."""
    assert holds(operator, ["a", "b"], actual) is answer


def test_sets_take_a_single_value_too() -> None:
    """A set operator on a key with one value judges that value."""
    assert holds("ForAnyValue:IpAddress", ["10.0.0.0/8"], "10.1.1.1")
    assert not holds("ForAllValues:IpAddress", ["10.0.0.0/8"], "11.1.1.1")


def test_a_negated_operator_without_a_set_operator_wants_all_values_to_differ() -> None:
    """Where any key goes, one may turn out to have several values: plain asks for one that is, negated that none is."""
    for operator, values, answer in (
        ("StringEquals", ("a", "b"), True),
        ("StringNotEquals", ("a", "b"), False),
        ("StringNotEquals", ("b", "c"), True),
    ):
        statement = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {operator: {"x:y": "a"}}}
        rules = parse(json.dumps({"Statement": statement}), keys=None)
        assert evaluate([rules], "iot:Publish", NAME, {"x:y": values}).allowed is answer


def test_all_operators_and_all_keys_must_hold() -> None:
    """Values of one key are alternatives; keys and operators are not."""
    condition = {"StringEquals": {"t:value": ["a", "b"], "iot:ClientId": "me"}, "Bool": {"aws:SecureTransport": "true"}}
    context = {"t:value": "b", "iot:ClientId": "me", "aws:SecureTransport": "true"}
    assert effect(condition, context) is Effect.ALLOWED
    for key in context:
        assert effect(condition, {**context, key: "x"}) is Effect.IMPLICIT_DENY


@pytest.mark.parametrize("client_id", [None, "*", "a+b"])
@pytest.mark.parametrize("operator", ["StringNotEquals", "StringNotLike", "StringNotEqualsIgnoreCase"])
def test_what_cannot_be_compared_is_not_different(operator: str, client_id: str | None) -> None:
    """A negated operator whose variable has no usable value makes no Allow apply, and holds back no Deny."""
    context = {"t:value": "x", **({} if client_id is None else {"iot:ClientId": client_id})}
    condition = {operator: {"t:value": "${iot:ClientId}"}}
    assert effect(condition, context) is Effect.IMPLICIT_DENY
    assert effect(condition, context, "Deny") is Effect.EXPLICIT_DENY


@pytest.mark.parametrize(
    ("operator", "expected"), [("NumericNotEquals", 1), ("DateNotEquals", "2026-11-24"), ("NotIpAddress", "10.0.0.0/8")]
)
def test_what_is_of_another_type_is_not_different(operator: str, expected: Any) -> None:
    """A negated typed operator on a text of another type does not let an Allow apply, but does not hold back a Deny."""
    condition = {operator: {"t:value": expected}}
    assert effect(condition, {"t:value": "?"}) is Effect.IMPLICIT_DENY
    assert effect(condition, {"t:value": "?"}, "Deny") is Effect.EXPLICIT_DENY


def test_a_deny_compares_wildcards_literally() -> None:
    """In the conditions of a Deny, a value with wildcards is put in and stands for itself."""
    condition = {"StringLike": {"t:value": "${iot:ClientId}"}}
    assert effect(condition, {"t:value": "*", "iot:ClientId": "*"}, "Deny") is Effect.EXPLICIT_DENY
    assert effect(condition, {"t:value": "a", "iot:ClientId": "*"}, "Deny") is Effect.IMPLICIT_DENY


def test_the_connect_attributes_of_the_field() -> None:
    """AWS's own example lets a client connect with PersistentConnect or with no attribute, but not with a will."""
    condition = {"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}}
    for attributes, answer in ((), True), (("PersistentConnect",), True), (("PersistentConnect", "LastWill"), False):
        assert (effect(condition, {"iot:ConnectAttributes": attributes}) is Effect.ALLOWED) is answer


def test_the_variable_of_an_arn_does_not_shift_its_parts() -> None:
    """A colon in a value that is put into an ARN pattern stays in its part."""
    condition = {"ArnLike": {"t:value": "arn:aws:iot:${iot:ClientId}:1:x"}}
    context = {"iot:ClientId": "r:1:x", "t:value": "arn:aws:iot:r:1:x"}
    assert effect(condition, context) is Effect.IMPLICIT_DENY
