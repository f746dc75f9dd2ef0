"""Patterns of resources and condition values, compiled once: literal text, wildcards and `${variables}`.

MQTT's `+` and `#` are literals (AWS IoT Core developer guide, "AWS IoT Core policy variables").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from fleetward.policy.keys import canonical, is_multivalued, malformed, shown
from fleetward.policy.request import ContextValue as ContextValue
from fleetward.policy.request import Request
from fleetward.policy.wildcards import Piece, Wildcard, automaton, between_stars, leading_text, matcher


class Test(Protocol):
    """One value of a policy, to be held against one value of a request."""

    def matches(self, value: str, request: Request) -> bool:
        """Whether `value` is what the policy speaks of; False as well when that cannot be told."""

    def decides(self, value: str, request: Request) -> bool:
        """Whether a False of `matches` is knowledge: every variable has a value, and `value` the right type."""


class Pattern(Test, Protocol):
    """One that is held against a resource; it matches nothing that does not begin with the literal text `start`."""

    @property
    def start(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Scope:
    """What the texts of a document are compiled with: the keys they may name (None: any), and whether as variables."""

    keys: frozenset[str] | None
    variables: bool = True


@dataclass(frozen=True, slots=True)
class Variable:
    """`${key}`"""

    key: str


Part: TypeAlias = "Piece | Variable"


@dataclass(frozen=True, slots=True)
class Segment:
    """What stands between two stars: pairs of a text and the key of the variable behind it, then a last text."""

    pairs: tuple[tuple[str, str], ...]
    tail: str

    def resolve(self, request: Request) -> str | None:
        resolved = ""
        for text, key in self.pairs:
            value = request[key]
            if value is None:
                return None
            resolved += text + value
        return resolved + self.tail


@dataclass(frozen=True, slots=True)
class Template:
    """A pattern with variables and without `?`, resolved for each request.

    `start` is the text it begins with, `inner` the longest later one: most values are told apart by these alone.
    """

    start: str
    inner: str
    segments: tuple[Segment, ...]

    def matches(self, value: str, request: Request) -> bool:
        if not (value.startswith(self.start) and self.inner in value):
            return False
        resolved = []
        for segment in self.segments:
            text = segment.resolve(request)
            if text is None:
                return False
            resolved.append(text)
        return between_stars(resolved, value)

    def decides(self, value: str, request: Request) -> bool:
        return all(segment.resolve(request) is not None for segment in self.segments)


@dataclass(frozen=True, slots=True)
class GappedTemplate:
    """A pattern with variables and `?`, resolved for each request."""

    start: str
    parts: tuple[Part, ...]

    def matches(self, value: str, request: Request) -> bool:
        return (
            value.startswith(self.start)
            and self.decides(value, request)
            and automaton([_resolved(part, request) for part in self.parts]).matches(value)
        )

    def decides(self, value: str, request: Request) -> bool:
        return all(request[part.key] is not None for part in self.parts if isinstance(part, Variable))


def _resolved(part: Part, request: Request) -> Piece:
    return request[part.key] or "" if isinstance(part, Variable) else part


@dataclass(frozen=True, slots=True)
class Folded:
    """A pattern in lower case, for values whose case does not matter."""

    pattern: Test

    def matches(self, value: str, request: Request) -> bool:
        return self.pattern.matches(value.lower(), request.folded)

    def decides(self, value: str, request: Request) -> bool:
        return self.pattern.decides(value, request)


@dataclass(frozen=True, slots=True)
class ArnPattern:
    """The six parts of an ARN, each compared on its own (IAM user guide, "ARN condition operators")."""

    parts: tuple[Test, ...]

    def matches(self, value: str, request: Request) -> bool:
        values = value.split(":", 5)
        return len(values) == 6 and all(
            part.matches(value, request) for part, value in zip(self.parts, values, strict=True)
        )

    def decides(self, value: str, request: Request) -> bool:
        return all(part.decides(value, request) for part in self.parts)


def compile_pattern(text: str, scope: Scope) -> Pattern:
    """`text` with its wildcards, `*` and `?`."""
    return _compile(list(_parts(text, scope)))


def compile_text(text: str, scope: Scope) -> Test:
    """`text` whose `*` and `?` stand for themselves."""
    return _compile(list(_parts(text, scope, wildcards=False)))


def compile_folded(text: str, scope: Scope) -> Test:
    """As `compile_text`, without regard to case."""
    return Folded(_compile(list(_parts(text, scope, wildcards=False, fold=True))))


def compile_arn(text: str, scope: Scope) -> Test:
    """`text` as the pattern of an ARN. A `:` that a variable brings along does not shift the parts."""
    fields: list[list[Part]] = [[]]
    for part in _parts(text, scope):
        first, *more = part.split(":", 6 - len(fields)) if isinstance(part, str) else (part,)
        fields[-1].append(first)
        fields.extend([field] for field in more)
    if len(fields) != 6:
        raise malformed(f"{shown(text)} is not an ARN of six parts, arn:partition:service:region:account:resource")
    return ArnPattern(tuple(map(_compile, fields)))


_TOKEN = re.compile(r"\$\{(?P<variable>[^{}]*)\}|(?P<wildcard>[*?])|(?P<text>\$(?!\{)|[^*?$]+)|(?P<broken>\$)")
_ESCAPES = frozenset("*?$")


def _parts(text: str, scope: Scope, *, wildcards: bool = True, fold: bool = False) -> Iterator[Part]:
    for token in _TOKEN.finditer(text):
        match token.lastgroup:
            case "variable":
                yield _variable(token["variable"], scope)
            case "wildcard" if wildcards:
                yield Wildcard(token["wildcard"])
            case "broken":
                raise malformed(f"{shown(text)} has a variable that does not end")
            case _:
                yield token[0].lower() if fold else token[0]


def _variable(name: str, scope: Scope) -> Part:
    if not scope.variables:
        raise malformed(f'variable {shown(name)} needs "Version": "2012-10-17"')
    if name in _ESCAPES:
        return name
    if not name:
        raise malformed("a variable ${} names no context key")
    key = canonical(name, scope.keys)
    if scope.keys is not None and is_multivalued(key):
        raise malformed(f"{key} has several values and cannot be used as a variable")
    return Variable(key)


def _compile(parts: Sequence[Part]) -> Pattern:
    pieces = [part for part in parts if not isinstance(part, Variable)]
    if len(pieces) == len(parts):
        return matcher(pieces)
    if Wildcard.ONE in pieces:
        return GappedTemplate(leading_text(parts), tuple(parts))
    start, segments = leading_text(parts), tuple(_segments(parts))
    texts = [text for segment in segments for text in (*(text for text, _ in segment.pairs), segment.tail)]
    return Template(start, max(texts[1:], key=len), segments)


def _segments(parts: Sequence[Part]) -> Iterator[Segment]:
    pairs: list[tuple[str, str]] = []
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
        elif isinstance(part, Variable):
            pairs.append((text, part.key))
            text = ""
        else:
            yield Segment(tuple(pairs), text)
            pairs, text = [], ""
    yield Segment(tuple(pairs), text)
