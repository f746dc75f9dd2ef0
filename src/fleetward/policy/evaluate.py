"""The one decision: may this action be done to this resource?

An explicit Deny in any policy wins, else any Allow, else it is denied (IAM user guide, "Policy evaluation logic").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from fleetward.policy.document import Policy
from fleetward.policy.request import Context, Request


class Effect(StrEnum):
    """The decisions, spelled as TestAuthorization's `authDecision`."""

    ALLOWED = "ALLOWED"
    EXPLICIT_DENY = "EXPLICIT_DENY"
    IMPLICIT_DENY = "IMPLICIT_DENY"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The decision, and what made it: a policy's name and a statement's place in it (from 0), or nothing."""

    effect: Effect
    policy: str | None = None
    statement: int | None = None

    @property
    def allowed(self) -> bool:
        return self.effect is Effect.ALLOWED


IMPLICIT_DENY = Outcome(Effect.IMPLICIT_DENY)


def evaluate(policies: Iterable[Policy], action: str, resource: str, context: Context) -> Outcome:
    """Decides on `action` (`iot:Publish`) on the ARN `resource`, for a request that carries the keys in `context`.

    The keys of `context` are spelled as in DEVICE_KEYS; a value is a string, or a tuple for a key that is multivalued.
    """
    action = action.lower()
    policies = tuple(policies)
    if any(policy.folds_keys for policy in policies):
        context = {**{key.lower(): value for key, value in context.items()}, **context}
    request = Request(context, deny=True)
    for policy in policies:
        for statement in policy.covering(action)[0].about(resource):
            if statement.applies(resource, request):
                return Outcome(Effect.EXPLICIT_DENY, policy.name, statement.index)
    request = Request(context, deny=False)
    for policy in policies:
        for statement in policy.covering(action)[1].about(resource):
            if statement.applies(resource, request):
                return Outcome(Effect.ALLOWED, policy.name, statement.index)
    return IMPLICIT_DENY
