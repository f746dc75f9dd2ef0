"""DeliveryPolicy: the JSON with which a topic or a subscription changes how HTTP deliveries are retried.

SNS developer guide, "Creating an HTTP/S delivery policy"; limits: at most 100 retries, 3,600 s a delay, 3,600 s in all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fleetward.notify import retry
from fleetward.notify.retry import RetryPolicy

MAX_SECONDS = 3600
DEFAULT_CONTENT_TYPE = "text/plain; charset=UTF-8"
CONTENT_TYPES = frozenset(f"text/{kind}" for kind in ("css", "csv", "html", "plain", "xml")) | frozenset(
    f"application/{kind}" for kind in ("atom+xml", "json", "octet-stream", "soap+xml", "x-www-form-urlencoded", "xml")
)
_CHARSET = re.compile(r"(?:; ?charset=[A-Za-z0-9_-]{1,40})?", re.IGNORECASE)

DEFAULT_RETRY: Mapping[str, Any] = {
    "minDelayTarget": 20,
    "maxDelayTarget": 20,
    "numRetries": 3,
    "numMaxDelayRetries": 0,
    "numNoDelayRetries": 0,
    "numMinDelayRetries": 0,
    "backoffFunction": "linear",
}
_MAXIMA = {"minDelayTarget": MAX_SECONDS, "maxDelayTarget": MAX_SECONDS}


@dataclass(frozen=True, slots=True)
class HttpDelivery:
    """What is in force for one HTTP subscription. (`maxReceivesPerSecond` is checked and shown, not yet enforced.)"""

    retries: RetryPolicy = retry.HTTP
    content_type: str = DEFAULT_CONTENT_TYPE


DEFAULT = HttpDelivery()


class Malformed(ValueError):
    """A delivery policy that cannot be carried out; the text says why."""


def check_topic_policy(text: str) -> None:
    _effective(*_parts(text, None))
    if not isinstance(_http(text).get("disableSubscriptionOverrides", False), bool):
        raise Malformed("disableSubscriptionOverrides must be true or false")


def check_subscription_policy(text: str) -> None:
    _effective(*_parts(None, text))


def in_force(topic_policy: str | None, subscription_policy: str | None) -> HttpDelivery:
    """What counts for a subscription: each part of its own policy, else of the topic's, else the default.

    A topic may forbid the subscription's own.
    """
    return _effective(*_parts(topic_policy, subscription_policy))


def effective_topic_policy(text: str | None) -> str:
    """`EffectiveDeliveryPolicy` of a topic, in the form AWS shows it."""
    retries, request, throttle = _parts(text, None)
    shown = {
        "defaultHealthyRetryPolicy": {**DEFAULT_RETRY, **retries},
        "disableSubscriptionOverrides": bool(_http(text).get("disableSubscriptionOverrides")),
        "defaultRequestPolicy": {"headerContentType": DEFAULT_CONTENT_TYPE, **request},
        **({"defaultThrottlePolicy": throttle} if throttle else {}),
    }
    return json.dumps({"http": shown}, separators=(",", ":"))


def effective_subscription_policy(topic_policy: str | None, subscription_policy: str | None) -> str:
    """`EffectiveDeliveryPolicy` of an HTTP subscription."""
    retries, request, throttle = _parts(topic_policy, subscription_policy)
    shown = {
        "healthyRetryPolicy": {**DEFAULT_RETRY, **retries},
        "sicklyRetryPolicy": None,
        "throttlePolicy": throttle or None,
        "requestPolicy": {"headerContentType": DEFAULT_CONTENT_TYPE, **request},
        "guaranteed": False,
    }
    return json.dumps(shown, separators=(",", ":"))


def _http(topic_policy: str | None) -> dict[str, Any]:
    return _member(_object(topic_policy or "{}"), "http")


def _parts(topic_policy: str | None, subscription_policy: str | None) -> tuple[dict[str, Any], ...]:
    """The retry, request and throttle policies that count, as they were given."""
    http = _http(topic_policy)
    own = {} if http.get("disableSubscriptionOverrides") else _object(subscription_policy or "{}")
    return tuple(
        _member(own, f"{name[0].lower()}{name[1:]}") or _member(http, f"default{name}")
        for name in ("HealthyRetryPolicy", "RequestPolicy", "ThrottlePolicy")
    )


def _effective(retries: Mapping[str, Any], request: Mapping[str, Any], throttle: Mapping[str, Any]) -> HttpDelivery:
    _check_throttle(throttle)
    return HttpDelivery(_retry_policy(retries), _content_type(request))


def _retry_policy(given: Mapping[str, Any]) -> RetryPolicy:
    values = {**DEFAULT_RETRY, **given}
    numbers = {name: _whole(values[name], name) for name in DEFAULT_RETRY if name != "backoffFunction"}
    function = values["backoffFunction"] or "linear"
    if not isinstance(function, str) or function not in retry.BACKOFFS:
        raise Malformed(f"backoffFunction must be one of {', '.join(retry.BACKOFFS)}")
    if not 1 <= numbers["minDelayTarget"] <= numbers["maxDelayTarget"]:
        raise Malformed("minDelayTarget must be at least 1 and at most maxDelayTarget")
    policy = RetryPolicy(
        retries=numbers["numRetries"],
        minimum=numbers["minDelayTarget"],
        maximum=numbers["maxDelayTarget"],
        no_delay=numbers["numNoDelayRetries"],
        at_minimum=numbers["numMinDelayRetries"],
        at_maximum=numbers["numMaxDelayRetries"],
        backoff=function,
    )
    if policy.no_delay + policy.at_minimum + policy.at_maximum > policy.retries:
        raise Malformed(
            "numRetries must be at least the sum of numNoDelayRetries, numMinDelayRetries, numMaxDelayRetries"
        )
    if policy.total_delay > MAX_SECONDS:
        raise Malformed(f"the delays must not sum up to more than {MAX_SECONDS} seconds")
    return policy


def _whole(value: Any, name: str) -> int:
    value = 0 if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAXIMA.get(name, 100):
        raise Malformed(f"{name} must be a whole number from 0 to {_MAXIMA.get(name, 100)}")
    return value


def _content_type(request: Mapping[str, Any]) -> str:
    given = request.get("headerContentType") or DEFAULT_CONTENT_TYPE
    name = given.split(";")[0] if isinstance(given, str) else ""
    if name not in CONTENT_TYPES or not _CHARSET.fullmatch(given[len(name) :]):
        raise Malformed("headerContentType is not one of the supported content types")
    return str(given)


def _check_throttle(throttle: Mapping[str, Any]) -> None:
    limit = throttle.get("maxReceivesPerSecond", 1)
    if isinstance(limit, bool) or not isinstance(limit, int | None) or (limit is not None and limit < 1):
        raise Malformed("maxReceivesPerSecond must be a whole number of at least 1")


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise Malformed("failed to parse JSON") from error
    if not isinstance(value, dict):
        raise Malformed("must be a JSON object")
    return value


def _member(parent: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Malformed(f"{name} must be a JSON object")
    return value
