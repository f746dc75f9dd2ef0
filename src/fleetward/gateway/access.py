"""What one connection may do: its policies and circumstances, and the decisions already made with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain

from fleetward.arn import Arns
from fleetward.model import Millis
from fleetward.policy.document import Policy
from fleetward.policy.evaluate import evaluate
from fleetward.policy.request import ContextValue

CONNECT = "iot:Connect"
PUBLISH = "iot:Publish"
RETAIN_PUBLISH = "iot:RetainPublish"
SUBSCRIBE = "iot:Subscribe"
RECEIVE = "iot:Receive"

RESOURCE_KINDS = {
    CONNECT: "client",
    PUBLISH: "topic",
    RETAIN_PUBLISH: "topic",
    SUBSCRIBE: "topicfilter",
    RECEIVE: "topic",
}
"""The kind of resource each action is about (AWS IoT Core developer guide, "AWS IoT Core action resources")."""

TIME_KEYS: Mapping[str, Callable[[int], str]] = {
    "aws:CurrentTime": lambda seconds: datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "aws:EpochTime": str,
}
"""What they say at a time in seconds."""

REMEMBERED_NAME_LENGTH = 256


class DecisionPool:
    """How many decisions all connections together may remember beyond the `floor` that each one may."""

    floor = 64

    def __init__(self, spare: int = 200_000) -> None:
        self.spare = spare


class Circumstances(Mapping[str, ContextValue]):
    """The context of one request. It notices when a policy asks for the time: such a decision cannot be remembered."""

    __slots__ = ("_now", "_standing", "asked_for_time")

    def __init__(self, standing: Mapping[str, ContextValue], now: Millis) -> None:
        self._standing = standing
        self._now = now
        self.asked_for_time = False

    def __getitem__(self, key: str) -> ContextValue:
        if key not in TIME_KEYS:
            return self._standing[key]
        self.asked_for_time = True
        return TIME_KEYS[key](self._now // 1000)

    def __iter__(self) -> Iterator[str]:
        return chain(self._standing, TIME_KEYS)

    def __len__(self) -> int:
        return len(self._standing) + len(TIME_KEYS)


class Access:
    """The policies that bind one connection. A change to any of them makes a new one; nothing is ever un-remembered."""

    __slots__ = ("_arns", "_borrowed", "_context", "_known", "_policies", "_pool")

    def __init__(
        self, policies: tuple[Policy, ...], context: Mapping[str, ContextValue], arns: Arns, pool: DecisionPool
    ) -> None:
        self._policies = policies
        self._context = context
        self._arns = arns
        self._pool = pool
        self._known: dict[tuple[str, str], bool] = {}
        self._borrowed = 0

    def may_connect(self, client_id: str, attributes: tuple[str, ...], now: Millis) -> bool:
        """`attributes` are those of `iot:ConnectAttributes`."""
        allowed, _ = self._decide(CONNECT, client_id, {**self._context, "iot:ConnectAttributes": attributes}, now)
        return allowed

    def known(self, action: str, name: str) -> bool | None:
        """The decision on an action (`PUBLISH`…) and a topic or filter, if it was made and remembered."""
        return self._known.get((action, name))

    def may(self, action: str, name: str, now: Millis) -> bool:
        known = self._known.get((action, name))
        if known is None:
            known, lasting = self._decide(action, name, self._context, now)
            if lasting and len(name) <= REMEMBERED_NAME_LENGTH:
                self._remember((action, name), known)
        return known

    def why_not(self, action: str, name: str, now: Millis) -> str:
        """Which policy denies it, in words; empty when none does."""
        outcome = evaluate(
            self._policies, action, self._arns.iot(RESOURCE_KINDS[action], name), Circumstances(self._context, now)
        )
        if outcome.allowed:
            return ""
        return f"denied by policy {outcome.policy}" if outcome.policy else f"no policy allows {action}"

    def release(self) -> None:
        """Gives back what was remembered; the connection ended or its policies changed."""
        self._known.clear()
        self._pool.spare += self._borrowed
        self._borrowed = 0

    def _decide(self, action: str, name: str, context: Mapping[str, ContextValue], now: Millis) -> tuple[bool, bool]:
        """Whether it is allowed, and whether that holds beyond this moment."""
        circumstances = Circumstances(context, now)
        resource = self._arns.iot(RESOURCE_KINDS[action], name)
        allowed = evaluate(self._policies, action, resource, circumstances).allowed
        return allowed, not circumstances.asked_for_time

    def _remember(self, key: tuple[str, str], allowed: bool) -> None:
        if len(self._known) >= self._pool.floor:
            if not self._pool.spare:
                self.release()
            else:
                self._pool.spare -= 1
                self._borrowed += 1
        self._known[key] = allowed
