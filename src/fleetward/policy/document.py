"""Policy documents: from their JSON text to a `Policy` that is ready to be evaluated.

Grammar: IAM user guide, "Grammar of the IAM JSON policy language", without principals (a device policy is attached to
its principal). What is not supported is refused here with its name, never ignored: an ignored condition would allow,
an ignored Deny would not deny. Every refusal is MalformedPolicy, whatever the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from fleetward.policy.candidates import Candidates
from fleetward.policy.conditions import Condition, compile_condition
from fleetward.policy.keys import DEVICE_KEYS as DEVICE_KEYS
from fleetward.policy.keys import malformed, shown
from fleetward.policy.patterns import Pattern, Scope, compile_pattern
from fleetward.policy.request import Request
from fleetward.policy.wildcards import Matcher, compile_wildcards

MAX_CHARACTERS = 2048
"""Characters of a device policy, white space not counted (AWS IoT Core quotas)."""

MAX_TEXT = 404_600
"""Characters of the text as a whole (`PolicyDocument` in the service model)."""

REMEMBERED_ACTIONS = 64
"""For each policy: a device policy is asked about five, and whoever asks about others makes us remember no more."""


@dataclass(frozen=True, slots=True)
class Actions:
    """Action, or NotAction when `negated`. Names are in lower case, as their case does not matter."""

    names: frozenset[str]
    patterns: tuple[Matcher, ...]
    negated: bool

    def cover(self, action: str) -> bool:
        found = action in self.names or any(pattern.matches(action) for pattern in self.patterns)
        return found is not self.negated


@dataclass(frozen=True, slots=True)
class Resources:
    """Resource, or NotResource when `negated`.

    A pattern with a variable that has no value matches nothing. That must not widen an Allow with NotResource, so such
    a statement does not apply; a Deny with NotResource does, as its exception is not established.
    """

    patterns: tuple[Pattern, ...]
    negated: bool

    @property
    def starts(self) -> frozenset[str]:
        """What is covered begins with one of these texts."""
        return frozenset(("",)) if self.negated else frozenset(pattern.start for pattern in self.patterns)

    def cover(self, resource: str, request: Request) -> bool:
        for pattern in self.patterns:
            if pattern.matches(resource, request):
                return not self.negated
        return self.negated and (request.deny or all(pattern.decides(resource, request) for pattern in self.patterns))


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement; `index` is its place in the document, from 0."""

    index: int
    sid: str | None
    deny: bool
    actions: Actions
    resources: Resources
    conditions: tuple[Condition, ...]

    @property
    def starts(self) -> frozenset[str]:
        return self.resources.starts

    def applies(self, resource: str, request: Request) -> bool:
        """To an action that is covered; `request` made for this statement's effect."""
        return self.resources.cover(resource, request) and all(
            condition.holds(request) for condition in self.conditions
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """A compiled document. With `folds_keys` its context keys are in lower case, as any key was accepted."""

    name: str
    denies: tuple[Statement, ...]
    allows: tuple[Statement, ...]
    folds_keys: bool
    _covering: dict[str, tuple[Candidates[Statement], Candidates[Statement]]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def covering(self, action: str) -> tuple[Candidates[Statement], Candidates[Statement]]:
        """The Denies and the Allows whose actions cover `action`, which is in lower case."""
        found = self._covering.get(action)
        if found is None:
            if len(self._covering) >= REMEMBERED_ACTIONS:
                self._covering.clear()
            denies = Candidates(statement for statement in self.denies if statement.actions.cover(action))
            allows = Candidates(statement for statement in self.allows if statement.actions.cover(action))
            found = self._covering[action] = denies, allows
        return found

    @property
    def statements(self) -> tuple[Statement, ...]:
        return tuple(sorted((*self.denies, *self.allows), key=lambda statement: statement.index))


def parse(
    text: str, name: str = "", keys: frozenset[str] | None = DEVICE_KEYS, max_characters: int = MAX_CHARACTERS
) -> Policy:
    """The policy that `text` describes; `keys` are the context keys it may name (None: any).

    Raises MalformedPolicy, and nothing else, for a text that is not a policy or asks for something unsupported.
    """
    document = _object(load(text, max_characters), "the document")
    _only(document, ("Version", "Id", "Statement"), "the document")
    version = document.get("Version", "2008-10-17")
    if version not in ("2012-10-17", "2008-10-17"):
        raise malformed(f"Version {shown(version)} is not supported; use 2012-10-17")
    _text(document.get("Id", ""), "Id")
    blocks = _several(document.get("Statement", []))
    if not blocks:
        raise malformed("it has no Statement")
    scope = Scope(keys, variables=version == "2012-10-17")
    statements = [_statement(index, block, scope) for index, block in enumerate(blocks)]
    denies = tuple(statement for statement in statements if statement.deny)
    allows = tuple(statement for statement in statements if not statement.deny)
    return Policy(name, denies, allows, folds_keys=keys is None)


def action_names(text: str, max_characters: int = MAX_CHARACTERS) -> list[str]:
    """The actions that the statements of a valid policy name, as they are written."""
    statements = _several(load(text, max_characters)["Statement"])
    return [name for block in statements for name in _either(block, "Action", "")[1]]


def load(text: str, max_characters: int) -> Any:
    if len(text) > MAX_TEXT or len("".join(text.split())) > max_characters:
        raise malformed(f"it is longer than {max_characters} characters, white space not counted")
    try:
        text.encode()
        # Numbers stay as they are written: a condition compares texts.
        return json.loads(
            text, object_pairs_hook=_unique, parse_int=str, parse_float=str, parse_constant=_refuse_constant
        )
    except UnicodeEncodeError:
        raise malformed("it is not valid Unicode") from None
    except json.JSONDecodeError as error:
        raise malformed(f"it is not JSON: {error}") from None
    except RecursionError:
        raise malformed("it is nested too deeply") from None


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        raise malformed(f"{shown(next(name for name in names if names.count(name) > 1))} appears twice in one object")
    return members


def _refuse_constant(constant: str) -> NoReturn:
    raise malformed(f"{constant} is not JSON")


# --- one statement ----------------------------------------------------------------------------------------------------

_ACTION = re.compile(r"\*|[A-Za-z0-9*?-]+:[A-Za-z0-9*?]+")
_ELEMENTS = ("Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition")


def _statement(index: int, block: Any, scope: Scope) -> Statement:
    here = f"statement {index}"
    block = _object(block, here)
    _only(block, _ELEMENTS, here)
    effect = block.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise malformed(f"Effect of {here} is {shown(effect)}; it must be Allow or Deny")
    return Statement(
        index,
        _text(block["Sid"], "Sid") if "Sid" in block else None,
        effect == "Deny",
        _actions(block, here),
        _resources(block, scope, here),
        tuple(_conditions(block.get("Condition", {}), scope, here)),
    )


def _actions(block: dict[str, Any], here: str) -> Actions:
    element, names = _either(block, "Action", here)
    for name in names:
        if not _ACTION.fullmatch(name):
            raise malformed(f"the following action is invalid: {shown(name)}; expected * or service:name")
    exact = frozenset(name.lower() for name in names if not {"*", "?"} & set(name))
    patterns = tuple(compile_wildcards(name.lower()) for name in names if name.lower() not in exact)
    return Actions(exact, patterns, negated=element == "NotAction")


def _resources(block: dict[str, Any], scope: Scope, here: str) -> Resources:
    element, names = _either(block, "Resource", here)
    for name in names:
        if not name.startswith(("*", "arn:")):
            raise malformed(f"the following resource is invalid: {shown(name)}; expected * or an ARN")
    patterns = tuple(compile_pattern(name, scope) for name in names)
    return Resources(patterns, negated=element == "NotResource")


def _conditions(block: Any, scope: Scope, here: str) -> Iterator[Condition]:
    where = f"Condition of {here}"
    for operator, entries in _object(block, where).items():
        for key, values in _object(entries, f"{shown(operator)} in {where}").items():
            yield compile_condition(operator, key, _values(values, f"{shown(key)} in {where}"), scope)
        if not entries:
            raise malformed(f"{shown(operator)} in {where} names no context key")


def _either(block: dict[str, Any], element: str, here: str) -> tuple[str, list[str]]:
    """The one of `element` and `Not<element>` that is there, and the texts it lists."""
    present = [name for name in (element, f"Not{element}") if name in block]
    if len(present) != 1:
        raise malformed(f"{here} needs either {element} or Not{element}")
    texts = [_text(text, present[0]) for text in _several(block[present[0]])]
    if not texts or "" in texts:
        raise malformed(f"{present[0]} of {here} is empty")
    return present[0], texts


# --- shapes -----------------------------------------------------------------------------------------------------------


def _values(value: Any, what: str) -> list[str]:
    texts = [str(one).lower() if isinstance(one, bool) else _text(one, what) for one in _several(value)]
    if not texts:
        raise malformed(f"{what} lists no value")
    return texts


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise malformed(f"{what} must be a string, not {shown(value)}")
    return value


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise malformed(f"{what} must be an object")
    return value


def _only(members: Collection[str], supported: Sequence[str], here: str) -> None:
    for name in members:
        if name not in supported:
            raise malformed(f"element {shown(name)} of {here} is not supported; supported are {', '.join(supported)}")
