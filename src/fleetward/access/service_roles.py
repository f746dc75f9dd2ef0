"""Roles that services assume for the account: a function's, and the one that alerts are published with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from fleetward import errors
from fleetward.access import keys
from fleetward.access.authorizer import Authorizer
from fleetward.access.holders import Holder
from fleetward.access.keys import AccessKey
from fleetward.model import Millis
from fleetward.notify.records import Draft
from fleetward.store.database import Reader, Transaction

LAMBDA = "lambda.amazonaws.com"
IOT = "iot.amazonaws.com"

CANNOT_BE_ASSUMED = "The role defined for the function cannot be assumed by Lambda."


# --- functions --------------------------------------------------------------------------------------------------------


def check_function_role(authorizer: Authorizer, look: Reader, role_arn: str, now: Millis) -> None:
    """Refuses a role that a function could not run with."""
    if _assumed(authorizer, look, role_arn, LAMBDA, now) is None:
        raise errors.InvalidParameterValue(CANNOT_BE_ASSUMED)


def function_session(authorizer: Authorizer, tx: Transaction, role_arn: str, function: str, seconds: int) -> AccessKey:
    """Keys with which a function acts as its role. Raises AccessDenied when Lambda may not assume that role."""
    role = _assumed(authorizer, tx, role_arn, LAMBDA, tx.now)
    if role is None:
        raise errors.AccessDenied(CANNOT_BE_ASSUMED)
    return keys.issue_session(tx, role_arn, function, seconds, role.id)


# --- alerts -----------------------------------------------------------------------------------------------------------


Publish: TypeAlias = Callable[[Transaction, str, Sequence[Draft]], Sequence[str | errors.Refusal]]
"""(transaction, topic ARN, drafts) → the id of each, or why the topic cannot take it; raises a Refusal of them all."""


class AlertPublisher:
    """Publishes alerts with the role of their target, as AWS IoT does: the role must trust it and may publish there."""

    def __init__(self, authorizer: Authorizer, publish: Publish) -> None:
        self._authorizer = authorizer
        self._publish = publish

    def __call__(
        self, tx: Transaction, topic_arn: str, alerts: Sequence[Draft], *, role_arn: str
    ) -> Sequence[str | errors.Refusal]:
        self._check(tx, role_arn, topic_arn)
        return self._publish(tx, topic_arn, alerts)

    def _check(self, tx: Transaction, role_arn: str, topic_arn: str) -> None:
        role = self._authorizer.role(tx, role_arn)
        if role is None:
            raise errors.AccessDenied(f"the role {role_arn} does not exist")
        if not self._authorizer.trusts(role, IOT, tx.now):
            raise errors.AccessDenied(f"the role {role_arn} does not trust {IOT}")
        if not self._authorizer.role_may(role, "SNS:Publish", topic_arn, tx.now):
            raise errors.AccessDenied(f"the role {role_arn} is not allowed to publish there: it lacks sns:Publish")


# --- what IoT does with a role ----------------------------------------------------------------------------------------


Permits: TypeAlias = Callable[[Reader, str, str, str], bool]
"""Whether a role (its ARN) may do an action on a resource (its ARN)."""


def check_iot_role(authorizer: Authorizer, look: Reader, role_arn: str, now: Millis) -> None:
    """Refuses a role that IoT could not act with, as AWS does where one is named."""
    if _assumed(authorizer, look, role_arn, IOT, now) is None:
        raise errors.InvalidRequest(
            f"AWS IoT ({IOT}) is unable to assume role (sts:AssumeRole) on resource: {role_arn}. "
            "It must exist, and its trust policy allow that."
        )


class IotRoles:
    """Roles that IoT acts with: they must trust it."""

    def __init__(self, authorizer: Authorizer, clock: Callable[[], Millis]) -> None:
        self._authorizer = authorizer
        self._clock = clock

    def permit(self, look: Reader, role_arn: str, action: str, resource: str) -> bool:
        now = self._clock()
        role = _assumed(self._authorizer, look, role_arn, IOT, now)
        return role is not None and self._authorizer.role_may(role, action, resource, now)


def _assumed(authorizer: Authorizer, look: Reader, role_arn: str, service: str, now: Millis) -> Holder | None:
    role = authorizer.role(look, role_arn)
    return role if role is not None and authorizer.trusts(role, service, now) else None
