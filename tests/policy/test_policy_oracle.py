"""Evaluation against an oracle written from the rules alone: raw documents, naive recursion, one rule after the other.

A seed makes the case: drawing it piece by piece would make a tenth as many cases in the same time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from ipaddress import ip_address, ip_network
from random import Random
from typing import Any

from hypothesis import given, note, settings
from hypothesis import strategies as st

from fleetward.policy.document import DEVICE_KEYS, parse
from fleetward.policy.evaluate import Effect, evaluate
from fleetward.policy.wildcards import compile_wildcards

# --- the oracle -------------------------------------------------------------------------------------------------------

Token = tuple[str, str]
"""("is", letter), ("any", "") or ("one", "")."""


def fits(pattern: list[Token], text: str) -> bool:
    if not pattern:
        return text == ""
    kind, letter = pattern[0]
    if kind == "any":
        return any(fits(pattern[1:], text[skipped:]) for skipped in range(len(text) + 1))
    return text != "" and (kind == "one" or text[0] == letter) and fits(pattern[1:], text[1:])


def tokens(pattern: str, context: dict[str, Any], deny: bool, wildcards: bool = True) -> list[Token] | None:
    """The pattern with its variables put in, or None when one of them has no value that may be put in."""
    made: list[Token] = []
    rest = pattern
    while rest:
        if rest[:2] == "${":
            name, _, rest = rest[2:].partition("}")
            value = name if name in ("*", "?", "$") else context.get(name)
            unsafe = name not in ("*", "?", "$") and any(letter in str(value) for letter in "*?+#$")
            if not isinstance(value, str) or (unsafe and not deny):
                return None
            made += [("is", letter) for letter in value]
        else:
            special = wildcards and rest[0] in "*?"
            made.append(({"*": "any", "?": "one"}[rest[0]], "") if special else ("is", rest[0]))
            rest = rest[1:]
    return made


def lower(pattern: list[Token] | None) -> list[Token] | None:
    return None if pattern is None else [(kind, letter.lower()) for kind, letter in pattern]


def moment(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def number(text: str) -> Fraction | None:
    try:
        return Fraction(text)
    except ValueError:
        return None


def agrees(base: str, value: str, wanted: str, context: dict[str, Any], deny: bool) -> bool | None:
    """Whether the un-negated operator holds between two values; None when they cannot be compared."""
    if base in ("StringEquals", "StringLike"):
        pattern = tokens(wanted, context, deny, wildcards=base == "StringLike")
        return None if pattern is None else fits(pattern, value)
    if base == "StringEqualsIgnoreCase":
        pattern = lower(tokens(wanted, context, deny, wildcards=False))
        return None if pattern is None else fits(pattern, value.lower())
    if base == "IpAddress":
        try:
            return ip_address(value) in ip_network(wanted)
        except ValueError:
            return None
    if base == "Bool":
        return value == wanted if value in ("true", "false") else None
    kind = number if base.startswith("Numeric") else moment
    actual, bound = kind(value), kind(wanted)
    if actual is None or bound is None:
        return None
    comparison = base.removeprefix("Numeric").removeprefix("Date")
    return {
        "Equals": actual == bound,
        "LessThan": actual < bound,
        "LessThanEquals": actual <= bound,
        "GreaterThan": actual > bound,
        "GreaterThanEquals": actual >= bound,
    }[comparison]


POSITIVE = {
    "StringNotEquals": "StringEquals",
    "StringNotLike": "StringLike",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
}


def condition_holds(operator: str, key: str, wanted: list[str], context: dict[str, Any], deny: bool) -> bool:
    present = context.get(key, ())
    values = [present] if isinstance(present, str) else list(present)
    if operator == "Null":
        return any((want == "true") == (not values) for want in wanted)
    quantifier, _, name = operator.rpartition(":")
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    base = POSITIVE.get(name, name)
    negated = base != name

    def passes(value: str) -> bool:
        verdicts = [agrees(base, value, want, context, deny) for want in wanted]
        if not negated:
            return True in verdicts
        return True not in verdicts if deny else all(verdict is False for verdict in verdicts)

    if not values:
        return if_exists or quantifier == "ForAllValues" or (negated and not quantifier)
    if quantifier == "ForAllValues" or (negated and not quantifier):
        return all(passes(value) for value in values)
    return any(passes(value) for value in values)


def covers(statement: dict[str, Any], action: str, resource: str, context: dict[str, Any]) -> bool:
    deny = statement["Effect"] == "Deny"
    listed = statement.get("Action", statement.get("NotAction"))
    named = any(fits(tokens(name.lower(), {}, deny) or [], action.lower()) for name in listed)
    if named is ("NotAction" in statement):
        return False
    patterns = [tokens(name, context, deny) for name in statement.get("Resource", statement.get("NotResource"))]
    hit = any(pattern is not None and fits(pattern, resource) for pattern in patterns)
    if "NotResource" in statement:
        if hit or (None in patterns and not deny):
            return False
    elif not hit:
        return False
    return all(
        condition_holds(operator, key, wanted, context, deny)
        for operator, block in statement.get("Condition", {}).items()
        for key, wanted in block.items()
    )


def oracle(documents: list[dict[str, Any]], action: str, resource: str, context: dict[str, Any]) -> Effect:
    applying = {
        statement["Effect"]
        for document in documents
        for statement in document["Statement"]
        if covers(statement, action, resource, context)
    }
    if "Deny" in applying:
        return Effect.EXPLICIT_DENY
    return Effect.ALLOWED if "Allow" in applying else Effect.IMPLICIT_DENY


# --- random documents and requests that often meet --------------------------------------------------------------------

KEYS = DEVICE_KEYS | {"t:text", "t:number", "t:date", "t:flag", "t:address", "t:set.List"}

PIECES = ["a", "b", "/", "+", "#", "*", "*", "?", "${iot:ClientId}", "${aws:username}", "${*}", "${?}", "${$}", "$a"]
ACTIONS = ["*", "iot:*", "iot:Conn*", "IOT:publish", "iot:?ublish"]
TEXTS = (
    "StringEquals",
    "StringNotEquals",
    "StringLike",
    "StringNotLike",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
)
COMPARISONS = ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
NUMBERS = ["0", "1", "1.0", "-2", "10"]
DATES = ["2026-11-24", "2026-11-25T00:00:00", "1795478400", "1795564800"]
FLAGS = ["true", "false"]
NETWORKS = ["10.0.0.0/8", "10.1.1.1", "::/0", "2001:db8::/32"]
ADDRESSES = ["10.1.1.1", "192.168.0.1", "2001:db8::1"]

TYPED = [
    ([f"Numeric{name}" for name in COMPARISONS], "t:number", NUMBERS),
    ([f"Date{name}" for name in COMPARISONS], "t:date", DATES),
    (["Bool"], "t:flag", FLAGS),
    (["IpAddress", "NotIpAddress"], "t:address", NETWORKS),
]


class Cases(Random):
    """Random documents, and requests that often meet them."""

    def some(self, make: Callable[[], Any], low: int, high: int) -> list[Any]:
        return [make() for _ in range(self.randint(low, high))]

    def name(self) -> str:
        return "".join(self.some(lambda: self.choice("ab/+#*?$A"), 0, 4))

    def pattern(self) -> str:
        return "".join(self.some(lambda: self.choice(PIECES), 0, 5))

    def resource(self) -> str:
        return "*" if self.random() < 0.2 else f"arn:{self.pattern()}"

    def condition(self) -> tuple[str, str, list[str]]:
        quantifier = self.choice(["", "", "ForAnyValue:", "ForAllValues:"])
        suffix = self.choice(["", "", "IfExists"])
        kind = self.random()
        if kind < 0.1:
            return "Null", self.choice(["t:text", "t:set.List"]), self.some(lambda: self.choice(FLAGS), 1, 2)
        if kind < 0.5:
            names, key, values = self.choice(TYPED)
            operator, wanted = self.choice(names), self.some(lambda: self.choice(values), 1, 2)
        else:
            operator, wanted = self.choice(TEXTS), self.some(self.pattern, 1, 2)
            key = self.choice(["t:text", "iot:ClientId", "t:set.List"])
            quantifier = quantifier or ("ForAnyValue:" if key == "t:set.List" else "")
        return f"{quantifier}{operator}{suffix}", key, wanted

    def statement(self, effect: str = "") -> dict[str, Any]:
        made: dict[str, Any] = {
            "Effect": effect or self.choice(["Allow", "Allow", "Deny"]),
            self.choice(["Action", "Action", "NotAction"]): self.some(lambda: self.choice(ACTIONS), 1, 2),
            self.choice(["Resource", "Resource", "NotResource"]): self.some(self.resource, 1, 2),
        }
        for operator, key, wanted in self.some(self.condition, 0, 2):
            made.setdefault("Condition", {}).setdefault(operator, {})[key] = wanted
        return made

    def document(self, low: int = 1, high: int = 3, effect: str = "") -> dict[str, Any]:
        return {"Version": "2012-10-17", "Statement": self.some(lambda: self.statement(effect), low, high)}

    def context(self) -> dict[str, Any]:
        full = {
            "iot:ClientId": self.name(),
            "aws:username": self.name(),
            "t:text": self.name(),
            "t:set.List": tuple(self.some(self.name, 0, 3)),
            "t:number": self.choice([*NUMBERS, "x"]),
            "t:date": self.choice([*DATES, "x"]),
            "t:flag": self.choice([*FLAGS, "x"]),
            "t:address": self.choice([*ADDRESSES, "x"]),
        }
        return {key: value for key, value in full.items() if self.random() < 0.75}

    def request(self, rules: list[dict[str, Any]]) -> tuple[str, str, dict[str, Any]]:
        """A request; often for a resource that a pattern of the rules names."""
        context = self.context()
        statement = self.choice(self.choice(rules)["Statement"])
        pattern = self.choice(statement.get("Resource", statement.get("NotResource")))
        made = tokens(pattern, context, deny=True) or []
        named = "".join(letter if kind == "is" else self.choice(["", "a", "/b"]) for kind, letter in made)
        return self.choice(["iot:Connect", "iot:Publish"]), self.choice([named, f"arn:{self.name()}"]), context


seeds = st.integers(0, 2**64).map(Cases)


def decide(rules: list[dict[str, Any]], action: str, resource: str, context: dict[str, Any]) -> Effect:
    policies = [parse(json.dumps(document), keys=KEYS, max_characters=10**6) for document in rules]
    return evaluate(policies, action, resource, context).effect


# --- the properties ---------------------------------------------------------------------------------------------------


@settings(max_examples=3000)
@given(seeds)
def test_evaluation_agrees_with_the_oracle(cases: Cases) -> None:
    """On random documents and requests, evaluate says what a direct reading of the rules says."""
    rules = cases.some(cases.document, 1, 2)
    action, resource, context = cases.request(rules)
    note(f"{json.dumps(rules, indent=1)}\n{action} {resource} {context}")
    assert decide(rules, action, resource, context) == oracle(rules, action, resource, context)


@settings(max_examples=500)
@given(seeds)
def test_adding_a_deny_never_allows_more(cases: Cases) -> None:
    """A further Deny leaves nothing allowed that was not allowed before, and never turns a deny into less."""
    rules = cases.some(cases.document, 1, 2)
    request = cases.request(rules)
    before = decide(rules, *request)
    after = decide([*rules, cases.document(effect="Deny")], *request)
    assert after is before or after is Effect.EXPLICIT_DENY


@settings(max_examples=500)
@given(seeds)
def test_an_explicit_deny_dominates(cases: Cases) -> None:
    """What one policy denies explicitly stays denied, whatever policies come before or after it."""
    denying = cases.document(effect="Deny")
    request = cases.request([denying])
    if decide([denying], *request) is Effect.EXPLICIT_DENY:
        others = cases.some(cases.document, 1, 2)
        assert decide([*others, denying], *request) is Effect.EXPLICIT_DENY
        assert decide([denying, *others], *request) is Effect.EXPLICIT_DENY


@settings(max_examples=1000)
@given(st.text("ab*?", max_size=8), st.text("ab*?", max_size=10))
def test_wildcards_agree_with_naive_recursion(pattern: str, text: str) -> None:
    """The linear-time matcher accepts what recursive matching accepts."""
    assert compile_wildcards(pattern).matches(text) is fits(tokens(pattern, {}, deny=False) or [], text)
