"""The attributes a subscription can have: ATTRIBUTES, one row each with its check at the door. Error texts as AWS's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from fleetward import arn
from fleetward.notify import delivery_policy, filter_policy
from fleetward.notify.channels import CHANNELS
from fleetward.notify.records import Subscription


def check(protocol: str, values: Mapping[str, str]) -> None:
    """Checks a whole set of attributes as it would stand; raises ValueError with AWS's reason."""
    scope = values.get("FilterPolicyScope", filter_policy.ATTRIBUTES)
    for key, value in values.items():
        if key not in ATTRIBUTES:
            raise ValueError(f"Unknown attribute {key}")
        ATTRIBUTES[key](value, protocol, scope)


def without_empty(values: Mapping[str, str]) -> dict[str, str]:
    """An empty policy takes the policy away."""
    return {key: value for key, value in values.items() if not (key in REMOVABLE and value in ("", "{}"))}


def shown(subscription: Subscription) -> dict[str, str]:
    """The attributes as the API shows them; the scope only beside a filter policy."""
    values = {"RawMessageDelivery": "false", **subscription.attributes}
    if "FilterPolicy" in values:
        values.setdefault("FilterPolicyScope", filter_policy.ATTRIBUTES)
    else:
        values.pop("FilterPolicyScope", None)
    return values


def _check_filter_policy(value: str, protocol: str, scope: str) -> None:
    try:
        filter_policy.parse(value, scope)
    except filter_policy.Malformed as error:
        raise ValueError(f"FilterPolicy: {error}") from error


def _check_scope(value: str, protocol: str, scope: str) -> None:
    if value not in (filter_policy.ATTRIBUTES, filter_policy.BODY):
        raise ValueError(
            f"FilterPolicyScope: Invalid value [{value}]. Please use either MessageBody or MessageAttributes"
        )


def _check_raw(value: str, protocol: str, scope: str) -> None:
    if value not in ("true", "false"):
        raise ValueError(f"RawMessageDelivery: Invalid value [{value}]. Must be true or false.")
    if value == "true" and not CHANNELS[protocol].supports_raw:
        raise ValueError(f"RawMessageDelivery: Delivery protocol [{protocol}] does not support raw message delivery.")


def _check_delivery_policy(value: str, protocol: str, scope: str) -> None:
    if protocol not in ("http", "https"):
        raise ValueError(f"DeliveryPolicy: Delivery protocol [{protocol}] does not support a delivery policy.")
    try:
        delivery_policy.check_subscription_policy(value)
    except delivery_policy.Malformed as error:
        raise ValueError(f"DeliveryPolicy: {error}") from error


def _check_redrive_policy(value: str, protocol: str, scope: str) -> None:
    try:
        policy = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError("RedrivePolicy: failed to parse JSON.") from error
    target = arn.parse(str(policy.get("deadLetterTargetArn"))) if isinstance(policy, dict) else None
    if target is None or target.service != "sqs":
        raise ValueError("RedrivePolicy: deadLetterTargetArn is an invalid arn")


ATTRIBUTES: Mapping[str, Callable[[str, str, str], None]] = {
    "FilterPolicy": _check_filter_policy,
    "FilterPolicyScope": _check_scope,
    "RawMessageDelivery": _check_raw,
    "DeliveryPolicy": _check_delivery_policy,
    "RedrivePolicy": _check_redrive_policy,
}
"""The attributes that can be set: (value, protocol, filter scope) → raises ValueError."""

REMOVABLE = frozenset({"FilterPolicy", "DeliveryPolicy", "RedrivePolicy"})
