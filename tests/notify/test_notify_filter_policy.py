"""Filter policies: matching, and what is refused at the door."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward.notify.filter_policy import ATTRIBUTES, BODY, Malformed, parse


def string(value: str) -> dict[str, str]:
    return {"Type": "String", "Value": value}


def number(value: str) -> dict[str, str]:
    return {"Type": "Number", "Value": value}


def array(*values: Any) -> dict[str, str]:
    return {"Type": "String.Array", "Value": json.dumps(values)}


BY_ATTRIBUTES: list[tuple[str, dict[str, Any], dict[str, dict[str, str]], bool]] = [
    ("equal text", {"k": ["a", "b"]}, {"k": string("b")}, True),
    ("other text", {"k": ["a", "b"]}, {"k": string("c")}, False),
    ("missing key", {"k": ["a"]}, {}, False),
    ("every key must match", {"k": ["a"], "l": ["b"]}, {"k": string("a")}, False),
    ("equal number", {"k": [100]}, {"k": number("100.0")}, True),
    ("a text is no number", {"k": [100]}, {"k": string("100")}, False),
    ("a number is no text", {"k": ["100"]}, {"k": number("100")}, False),
    ("true is not 1", {"k": [1]}, {"k": array(True)}, False),
    ("true in an array", {"k": [True]}, {"k": array(True)}, True),
    ("null in an array", {"k": [None]}, {"k": array(None)}, True),
    ("one element is enough", {"k": ["b"]}, {"k": array("a", "b")}, True),
    ("broken array is a text", {"k": ["[x"]}, {"k": {"Type": "String.Array", "Value": "[x"}}, True),
    ("prefix", {"k": [{"prefix": "ab"}]}, {"k": string("abc")}, True),
    ("no prefix", {"k": [{"prefix": "bc"}]}, {"k": string("abc")}, False),
    ("suffix", {"k": [{"suffix": "bc"}]}, {"k": string("abc")}, True),
    ("case", {"k": [{"equals-ignore-case": "ABC"}]}, {"k": string("abC")}, True),
    ("anything but one", {"k": [{"anything-but": "a"}]}, {"k": string("b")}, True),
    ("anything but several", {"k": [{"anything-but": ["a", 1]}]}, {"k": number("1")}, False),
    ("anything but needs a value", {"k": [{"anything-but": "a"}]}, {}, False),
    ("anything but a prefix", {"k": [{"anything-but": {"prefix": "a"}}]}, {"k": string("abc")}, False),
    ("not like another prefix", {"k": [{"anything-but": {"prefix": "b"}}]}, {"k": string("abc")}, True),
    ("exists", {"k": [{"exists": True}]}, {"k": {"Type": "Binary", "Value": "AA=="}}, True),
    ("does not exist", {"k": [{"exists": False}]}, {}, True),
    ("exists though", {"k": [{"exists": False}]}, {"k": string("a")}, False),
    ("missing or equal", {"k": [{"exists": False}, "a"]}, {"k": string("a")}, True),
    ("range", {"k": [{"numeric": [">", 0, "<=", 100]}]}, {"k": number("100")}, True),
    ("out of range", {"k": [{"numeric": [">", 0, "<=", 100]}]}, {"k": number("0")}, False),
    ("numeric equality", {"k": [{"numeric": ["=", 5]}]}, {"k": number("5")}, True),
    ("numeric wants numbers", {"k": [{"numeric": [">", 0]}]}, {"k": string("5")}, False),
    ("inside a network", {"k": [{"cidr": "10.0.0.0/24"}]}, {"k": string("10.0.0.255")}, True),
    ("outside a network", {"k": [{"cidr": "10.0.0.0/24"}]}, {"k": string("10.0.1.1")}, False),
    ("one alternative", {"$or": [{"k": ["a"]}, {"l": ["b"]}]}, {"l": string("b")}, True),
    ("no alternative", {"$or": [{"k": ["a"]}, {"l": ["b"]}]}, {"l": string("c")}, False),
    ("alternative and key", {"m": ["x"], "$or": [{"k": ["a"]}, {"l": ["b"]}]}, {"l": string("b")}, False),
    ("a key named $or", {"$or": ["a"]}, {"$or": string("a")}, True),
    ("no condition", {}, {}, True),
]


@pytest.mark.parametrize(
    ("name", "policy", "attributes", "wanted"), BY_ATTRIBUTES, ids=[row[0] for row in BY_ATTRIBUTES]
)
def test_by_attributes(name: str, policy: dict[str, Any], attributes: dict[str, dict[str, str]], wanted: bool) -> None:
    """A policy in scope MessageAttributes wants a message exactly when every key has one condition that holds."""
    assert parse(json.dumps(policy)).wants("text", attributes) is wanted


ALARMS = {"violationEventType": ["in-alarm"]}
RECORDS = {"Records": {"kind": [{"prefix": "Created"}], "object": {"key": [{"prefix": "auto-"}]}}}

BY_BODY: list[tuple[str, dict[str, Any], str, bool]] = [
    ("the story's filter", ALARMS, '{"violationEventType":"in-alarm","thingName":"x"}', True),
    ("a cleared alarm", ALARMS, '{"violationEventType":"alarm-cleared","thingName":"x"}', False),
    ("an audit message", ALARMS, '{"accountId":"1","taskId":"2"}', False),
    ("no JSON", ALARMS, "disk full", False),
    ("no object", ALARMS, '["in-alarm"]', False),
    ("too deep", ALARMS, "[" * 100_000, False),
    ("nested", {"a": {"b": [1]}}, '{"a":{"b":1}}', True),
    ("nested number", {"a": {"b": [{"numeric": ["<", 0]}]}}, '{"a":{"b":-0.5}}', True),
    ("true is true", {"a": [True]}, '{"a":true}', True),
    ("true is not 1", {"a": [True]}, '{"a":1}', False),
    ("null", {"a": [None]}, '{"a":null}', True),
    ("dotted policy", {"a.b": [1]}, '{"a":{"b":1}}', True),
    ("dotted body", {"a": {"b": [1]}}, '{"a.b":1}', True),
    ("missing parent", {"a": {"b": [{"exists": False}]}}, "{}", True),
    ("an object is no leaf", {"a": [{"exists": True}]}, '{"a":{"b":1}}', False),
    ("one of an array", {"a": ["x"]}, '{"a":["y",["x"]]}', True),
    ("same object of an array", RECORDS, '{"Records":[{"kind":"CreatedPut","object":{"key":"auto-1"}}]}', True),
    (
        "two objects of an array",
        RECORDS,
        '{"Records":[{"kind":"CreatedPut","object":{"key":"home-1"}},{"kind":"Removed","object":{"key":"auto-1"}}]}',
        False,
    ),
    ("nested alternatives", {"a": {"$or": [{"b": [1]}, {"c": [2]}]}}, '{"a":{"c":2}}', True),
]


@pytest.mark.parametrize(("name", "policy", "text", "wanted"), BY_BODY, ids=[row[0] for row in BY_BODY])
def test_by_body(name: str, policy: dict[str, Any], text: str, wanted: bool) -> None:
    """A policy in scope MessageBody looks into the message's JSON; what is not JSON is not wanted."""
    assert parse(json.dumps(policy), BODY).wants(text, {}) is wanted


MALFORMED: list[tuple[Any, str]] = [
    ({"key": [["value"]]}, "Match value must be String, number, true, false, or null"),
    ({"key": [{"wrong-operator": True}]}, "Unrecognized match type wrong-operator"),
    ({"key": [{"suffix": "value", "prefix": "value2"}]}, "Only one key allowed in match expression"),
    ({"key": [{"suffix": 100}]}, "suffix match pattern must be a string"),
    ({"key": [{"suffix": []}]}, "suffix match pattern must be a string"),
    ({"key": "value"}, '"key" must be an object or an array'),
    ({"key": []}, "Empty arrays are not allowed"),
    ({"key": [{"numeric": []}]}, "Invalid member in numeric match: ]"),
    ({"key": [{"numeric": ["operator"]}]}, "Unrecognized numeric range operator: operator"),
    ({"key": [{"numeric": [1, "<="]}]}, "Invalid member in numeric match: 1"),
    ({"key": [{"numeric": ["=", "000"]}]}, "Value of equals must be numeric"),
    ({"key": [{"numeric": [">="]}]}, "Value of >= must be numeric"),
    ({"key": [{"numeric": ["<", 100, ">", 10]}]}, "Too many elements in numeric expression"),
    ({"key": [{"numeric": [">=", 1, ">", 2]}]}, "Bad numeric range operator: >"),
    ({"key": [{"numeric": [">", 3, "<", 1]}]}, "Bottom must be less than top"),
    ({"key": [{"numeric": [">", 20, "<="]}]}, "Value of <= must be numeric"),
    ({"key": [{"numeric": [">", 20, 30]}]}, "Bad value in numeric range: 30"),
    ({"key": [{"numeric": [">", 20, "test"]}]}, "Bad numeric range operator: test"),
    ({"key": [{"numeric": [">", "20", "<", "30"]}]}, "Value of > must be numeric"),
    ({"key": [{"numeric": [">", 20, "<", "30"]}]}, "Value of < must be numeric"),
    ({"key": [{"numeric": [">", 20, "<", 30, "<", 50]}]}, "Too many terms in numeric range expression"),
    ({"key": [{"exists": None}]}, "exists match pattern must be either true or false."),
    ({"key": [{"anything-but": {"wrong-operator": None}}]}, "Unsupported anything-but pattern: wrong-operator"),
    ({"key": [{"anything-but": {"exists": False}}]}, "Unsupported anything-but pattern: exists"),
    ({"key": [{"anything-but": {"prefix": False}}]}, "prefix match pattern must be a string"),
    ({f"key{i}": ["a"] for i in range(6)}, "Filter policy can not have more than 5 keys"),
    ({"a": list(range(13)), "b": list(range(12))}, "Filter policy is too complex"),
    ([1], "Filter policy is not an object"),
]


@pytest.mark.parametrize(("policy", "text"), MALFORMED)
def test_malformed_policies_are_refused(policy: Any, text: str) -> None:
    """A malformed policy is refused with AWS's own words."""
    with pytest.raises(Malformed) as refusal:
        parse(json.dumps(policy), BODY if isinstance(policy, dict) and len(policy) == 2 else ATTRIBUTES)
    assert str(refusal.value) == text


@pytest.mark.parametrize("text", ["", "{", '{"a":[NaN]}', "[" * 100_000, '{"a":' * 100 + "1" + "}" * 100])
def test_broken_policies_are_refused(text: str) -> None:
    """A policy that is no JSON, or nested beyond reason, is refused and nothing worse."""
    with pytest.raises(Malformed):
        parse(text, BODY)


def test_nesting_needs_the_body_scope() -> None:
    """Attributes do not nest, so a nested policy in their scope is refused."""
    with pytest.raises(Malformed, match="does not support nested filter policy"):
        parse('{"a":{"b":["c"]}}', ATTRIBUTES)


VALUES = st.sampled_from(["a", "b", "ab", 1, 2, 1.0])
CONDITIONS = st.one_of(
    VALUES,
    st.builds(lambda text: {"prefix": text}, st.sampled_from(["a", "b"])),
    st.builds(lambda flag: {"exists": flag}, st.booleans()),
    st.builds(lambda values: {"anything-but": values}, st.lists(VALUES, min_size=1, max_size=2)),
    st.builds(lambda low: {"numeric": [">", low]}, st.integers(0, 2)),
)
POLICIES = st.dictionaries(st.sampled_from("kl"), st.lists(CONDITIONS, min_size=1, max_size=3), max_size=2)
BODIES = st.dictionaries(st.sampled_from("kl"), st.one_of(VALUES, st.lists(VALUES, max_size=2)), max_size=2)


def naive(policy: dict[str, list[Any]], body: dict[str, Any]) -> bool:
    """The meaning of a flat policy, spelled out."""

    def same(a: Any, b: Any) -> bool:
        return isinstance(a, str) is isinstance(b, str) and a == b

    def holds(condition: Any, value: Any) -> bool:
        if not isinstance(condition, dict):
            return same(condition, value)
        ((name, operand),) = condition.items()
        if name == "prefix":
            return isinstance(value, str) and value.startswith(operand)
        if name == "exists":
            return bool(operand)
        if name == "anything-but":
            return not any(same(one, value) for one in operand)
        return not isinstance(value, str) and value > operand[1]

    for key, conditions in policy.items():
        found = body.get(key, [])
        values = found if isinstance(found, list) else [found]
        if not values and {"exists": False} not in conditions:
            return False
        if values and not any(holds(condition, value) for condition in conditions for value in values):
            return False
    return True


@settings(max_examples=300)
@given(POLICIES, BODIES)
def test_matches_like_the_definition(policy: dict[str, list[Any]], body: dict[str, Any]) -> None:
    """The compiled policy agrees with the definition spelled out, on every flat policy and body."""
    assert parse(json.dumps(policy), BODY).wants(json.dumps(body), {}) is naive(policy, body)


@settings(max_examples=150)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
)
def test_any_document_is_taken_or_refused(document: Any) -> None:
    """Whatever JSON comes as a policy is either compiled or refused as malformed."""
    for scope in (ATTRIBUTES, BODY):
        try:
            parse(json.dumps(document), scope).wants(json.dumps(document), {})
        except Malformed:
            pass
