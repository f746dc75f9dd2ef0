"""What a device may do, told before it connects: the gateway's own rules, asked by TestAuthorization."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fleetward.model import Millis
from fleetward.policy.document import Policy
from fleetward.policy.evaluate import Effect, evaluate
from fleetward.policy.request import ContextValue

ACTIONS = {
    "CONNECT": "iot:Connect",
    "PUBLISH": "iot:Publish",
    "SUBSCRIBE": "iot:Subscribe",
    "RECEIVE": "iot:Receive",
}
"""TestAuthorization's `actionType` → the action in a policy."""

STRONGEST = (Effect.EXPLICIT_DENY, Effect.IMPLICIT_DENY, Effect.ALLOWED)
"""Of several resources that are asked for at once, the first of these decides."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The decision, the policies by what each says on its own, and the context keys that were asked for in vain."""

    decision: Effect
    by_effect: Mapping[Effect, tuple[str, ...]]
    missing: tuple[str, ...]


class Circumstances(dict[str, ContextValue]):
    """The context of a request; remembers which of its keys policies ask for in vain."""

    def __init__(self, known: Mapping[str, ContextValue]) -> None:
        super().__init__(known)
        self.missing: dict[str, None] = {}

    def get(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self.missing[key] = None
        return super().get(key, default)


def judge(
    policies: Sequence[Policy], action: str, resources: Iterable[str], context: Mapping[str, ContextValue], now: Millis
) -> Judgement:
    """Decides on an `actionType` on ARNs, as the gateway would for a request with this context."""
    circumstances = Circumstances({**context, **moment(now)})
    wanted = [(ACTIONS[action], resource) for resource in resources]

    def decide(those: Sequence[Policy]) -> Effect:
        effects = {evaluate(those, name, resource, circumstances).effect for name, resource in wanted}
        return next((effect for effect in STRONGEST if effect in effects), Effect.IMPLICIT_DENY)

    decision = decide(policies)
    alone = {policy.name: decide([policy]) for policy in policies}
    by_effect = {effect: tuple(name for name, says in alone.items() if says is effect) for effect in Effect}
    return Judgement(decision, by_effect, tuple(circumstances.missing))


def moment(now: Millis) -> dict[str, ContextValue]:
    """The context keys of a request that is made now."""
    time = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"aws:CurrentTime": time, "aws:EpochTime": str(now // 1000), "aws:SecureTransport": "true"}
