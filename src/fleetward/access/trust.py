"""Trust policies: who may assume a role.

A trust policy is a resource-based policy of its role: the same grammar and the same evaluation as any other, with a
Principal in each statement and no Resource (IAM user guide, "AWS JSON policy elements: Principal").
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fleetward import errors
from fleetward.access.documents import size_of
from fleetward.policy.document import Policy, Statement, load, parse
from fleetward.policy.evaluate import Outcome, evaluate
from fleetward.policy.request import Context

MAX_CHARACTERS = 2048
ASSUME = "sts:AssumeRole"

ANYBODY = "*"
_PRINCIPALS: Mapping[str, re.Pattern[str]] = {
    "AWS": re.compile(
        r"\*|\d{12}|(AIDA|AROA)[A-Z0-9]+"
        r"|arn:aws:iam::\d{12}:(root|(user|role)/[\w+=,.@/-]+)"
        r"|arn:aws:sts::\d{12}:assumed-role/[\w+=,.@-]+/[\w+=,.@-]+",
        re.ASCII,
    ),
    "Service": re.compile(r"[a-z0-9.-]+\.amazonaws\.com(\.cn)?"),
    "Federated": re.compile(r"[\x21-\x7e]+"),
}
"""The kinds of principals and what names one. Federated ones can be named, but nobody here is one."""


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """A compiled trust policy; `principals` are those of each statement, by its place in the document."""

    policy: Policy
    principals: tuple[frozenset[str], ...]

    def outcome(self, who: Iterable[str], context: Context) -> Outcome:
        """Whether somebody who answers to the names in `who` may assume the role."""
        names = frozenset((*who, ANYBODY))
        mine = Policy(
            self.policy.name,
            tuple(self._about(self.policy.denies, names)),
            tuple(self._about(self.policy.allows, names)),
            self.policy.folds_keys,
        )
        return evaluate((mine,), ASSUME, ANYBODY, context)

    def _about(self, statements: Iterable[Statement], names: frozenset[str]) -> Iterator[Statement]:
        return (statement for statement in statements if self.principals[statement.index] & names)


def aws(principal: str) -> str:
    """The name of an AWS principal: an account's number stands for its root user's ARN."""
    return f"AWS:arn:aws:iam::{principal}:root" if re.fullmatch(r"\d{12}", principal) else f"AWS:{principal}"


def service(principal: str) -> str:
    """The name of a service: lambda.amazonaws.com."""
    return f"Service:{principal}"


def check(text: str) -> TrustPolicy:
    """The compiled policy. Raises MalformedPolicyDocument, or LimitExceeded for one that is too long."""
    if size_of(text) > MAX_CHARACTERS:
        raise errors.LimitExceeded(f"Cannot exceed quota for ACLSizePerRole: {MAX_CHARACTERS}")
    try:
        return _parse(text)
    except errors.MalformedPolicy as refusal:
        raise errors.MalformedPolicyDocument(refusal.message) from None


@lru_cache(maxsize=1024)
def compiled(text: str) -> TrustPolicy | None:
    """The compiled policy; None for one that cannot be read, which trusts nobody."""
    try:
        return check(text)
    except errors.Refusal:
        return None


def renamed(text: str, old: str, new: str) -> str:
    """The document with the AWS principal `old` replaced; the text as it was when it does not name it."""
    known = compiled(text)
    if known is None or not any(aws(old) in names for names in known.principals):
        return text
    document = json.loads(text)
    for statement in _several(document["Statement"]):
        named = statement["Principal"]
        if isinstance(named, dict) and "AWS" in named:
            named["AWS"] = [new if one == old else one for one in _several(named["AWS"])]
    return json.dumps(document)


def _parse(text: str) -> TrustPolicy:
    document = load(text, MAX_CHARACTERS)
    statements = _several(document.get("Statement", [])) if isinstance(document, dict) else []
    if not statements or not all(isinstance(statement, dict) for statement in statements):
        raise errors.MalformedPolicyDocument("Syntax errors in policy.")
    principals = tuple(_principals(statement) for statement in statements)
    plain = [_without_principal(statement) for statement in statements]
    return TrustPolicy(parse(json.dumps({**document, "Statement": plain}), keys=None), principals)


def _without_principal(statement: dict[str, Any]) -> dict[str, Any]:
    if "Resource" in statement or "NotResource" in statement:
        raise errors.MalformedPolicyDocument("Has prohibited field Resource")
    actions = statement.get("Action")
    if not all(isinstance(name, str) and name.lower().startswith("sts:") for name in _several(actions)):
        raise errors.MalformedPolicyDocument("AssumeRole policy may only specify STS AssumeRole actions.")
    return {**{name: value for name, value in statement.items() if name != "Principal"}, "Resource": "*"}


def _principals(statement: dict[str, Any]) -> frozenset[str]:
    if "NotPrincipal" in statement:
        raise errors.MalformedPolicyDocument("Fleetward does not support NotPrincipal; deny a Principal instead.")
    given = statement.get("Principal")
    if given == ANYBODY:
        return frozenset({ANYBODY})
    if not isinstance(given, dict) or not given:
        raise errors.MalformedPolicyDocument("Missing required field Principal")
    return frozenset(_named(kind, one) for kind, some in given.items() for one in _several(some))


def _named(kind: str, principal: Any) -> str:
    pattern = _PRINCIPALS.get(kind)
    if pattern is None or not isinstance(principal, str) or not pattern.fullmatch(principal):
        raise errors.MalformedPolicyDocument(f'Invalid principal in policy: "{kind}":{json.dumps(principal)[:100]}')
    if kind == "AWS":
        return ANYBODY if principal == ANYBODY else aws(principal)
    return f"{kind}:{principal}"


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
