"""When failed deliveries are tried again, and delivery policies."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward.notify import delivery_policy, retry
from fleetward.notify.delivery_policy import Malformed
from fleetward.notify.retry import RetryPolicy


def delays(policy: RetryPolicy, count: int | None = None) -> list[float | None]:
    return [policy.delay(n) for n in range(1, (count or policy.retries) + 1)]


def test_http_default() -> None:
    """An HTTP delivery is retried three times, 20 s apart, and then given up."""
    assert delays(retry.HTTP, 4) == [20, 20, 20, None]


def test_aws_managed_endpoints() -> None:
    """A function's delivery: 3 at once, 2 after 1 s, 10 from 1 to 20 s, 100,000 every 20 s; 100,015 in 23 days."""
    policy = retry.AWS_MANAGED
    assert delays(policy, 17) == [0, 0, 0, 1, 1, 1, 2, 4, 8, 16, 20, 20, 20, 20, 20, 20, 20]
    assert (policy.delay(100_015), policy.delay(100_016)) == (20, None)
    assert 23 <= policy.total_delay / 86_400 < 24


def test_mail() -> None:
    """A mail's delivery: 2 after 10 s, 10 from 10 s to 600 s, 38 every 600 s; 50 in about 6 hours."""
    policy = retry.CUSTOMER_MANAGED
    assert delays(policy, 10) == [10, 10, 10, 20, 40, 80, 160, 320, 600, 600]
    assert (policy.delay(50), policy.delay(51)) == (600, None)
    assert policy.retries == 50


def test_four_phases() -> None:
    """The phases follow one another: no delay, minimum, backoff, maximum."""
    policy = RetryPolicy(9, 10, 40, no_delay=2, at_minimum=1, at_maximum=2, backoff="linear")
    assert delays(policy) == [0, 0, 10, 10, 20, 30, 40, 40, 40]


def test_next_attempt_is_in_milliseconds() -> None:
    """The delay counts from the failure."""
    assert retry.next_attempt(retry.HTTP, 1, 1000) == 21_000
    assert retry.next_attempt(retry.HTTP, 4, 1000) is None


@settings(max_examples=200)
@given(
    st.sampled_from(sorted(retry.BACKOFFS)),
    st.integers(1, 3600),
    st.integers(0, 3600),
    st.integers(1, 100),
)
def test_backoff_stays_within_its_bounds(name: str, low: int, more: int, retries: int) -> None:
    """Every backoff starts at the minimum, never shrinks and never leaves [minimum, maximum]."""
    policy = RetryPolicy(retries, low, low + more, backoff=name)
    found = [delay for delay in delays(policy) if delay is not None]
    assert found[0] == low
    assert all(low <= one <= low + more + 1e-6 for one in found)
    assert all(a <= b + 1e-6 for a, b in pairwise(found))


def healthy(**values: Any) -> str:
    return json.dumps({"healthyRetryPolicy": values})


def test_subscription_policy_is_over_the_topics() -> None:
    """A subscription's own policy counts, then the topic's, then the default; a topic may forbid the former."""
    topic = {"http": {"defaultHealthyRetryPolicy": {"numRetries": 5}, "disableSubscriptionOverrides": False}}
    own = healthy(numRetries=7)
    assert delivery_policy.in_force(None, None).retries == retry.HTTP
    assert delivery_policy.in_force(json.dumps(topic), None).retries.retries == 5
    assert delivery_policy.in_force(json.dumps(topic), own).retries.retries == 7
    topic["http"]["disableSubscriptionOverrides"] = True
    assert delivery_policy.in_force(json.dumps(topic), own).retries.retries == 5


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[]",
        healthy(numRetries=101),
        healthy(numRetries=-1),
        healthy(numRetries=True),
        healthy(numRetries="3"),
        healthy(minDelayTarget=0),
        healthy(minDelayTarget=30, maxDelayTarget=20),
        healthy(maxDelayTarget=3601),
        healthy(numRetries=3, numNoDelayRetries=4),
        healthy(numRetries=100, minDelayTarget=60, maxDelayTarget=60),
        healthy(backoffFunction="random"),
        json.dumps({"healthyRetryPolicy": 1}),
        json.dumps({"throttlePolicy": {"maxReceivesPerSecond": 0}}),
        json.dumps({"requestPolicy": {"headerContentType": "text/evil"}}),
        json.dumps({"requestPolicy": {"headerContentType": "text/plain\r\nX-Evil: 1"}}),
        json.dumps({"requestPolicy": {"headerContentType": 5}}),
    ],
)
def test_impossible_policies_are_refused(text: str) -> None:
    """A delivery policy beyond the limits, or one that would inject a header, is refused."""
    with pytest.raises(Malformed):
        delivery_policy.check_subscription_policy(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5000) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
PARTS = dict.fromkeys(delivery_policy.DEFAULT_RETRY, JSON)
RETRIES = st.fixed_dictionaries({}, optional=PARTS)
REQUESTS = st.fixed_dictionaries({}, optional={"headerContentType": JSON})
THROTTLES = st.fixed_dictionaries({}, optional={"maxReceivesPerSecond": JSON})


@settings(max_examples=200)
@given(RETRIES | JSON, REQUESTS | JSON, THROTTLES | JSON, JSON)
def test_any_policy_is_carried_out_or_refused(retries: Any, request: Any, throttle: Any, flag: Any) -> None:
    """Whatever comes as a delivery policy is refused, or can be shown and carried out afterwards."""
    own = json.dumps({"healthyRetryPolicy": retries, "requestPolicy": request, "throttlePolicy": throttle})
    http = {"defaultHealthyRetryPolicy": retries, "defaultRequestPolicy": request, "disableSubscriptionOverrides": flag}
    topic = json.dumps({"http": http})
    try:
        delivery_policy.check_topic_policy(topic)
        delivery_policy.check_subscription_policy(own)
    except Malformed:
        return
    delivery_policy.in_force(topic, own)
    json.loads(delivery_policy.effective_subscription_policy(topic, own))


def test_effective_policy_as_aws_shows_it() -> None:
    """EffectiveDeliveryPolicy of a topic that set nothing is the one recorded from AWS."""
    assert json.loads(delivery_policy.effective_topic_policy(None)) == {
        "http": {
            "defaultHealthyRetryPolicy": {
                "minDelayTarget": 20,
                "maxDelayTarget": 20,
                "numRetries": 3,
                "numMaxDelayRetries": 0,
                "numNoDelayRetries": 0,
                "numMinDelayRetries": 0,
                "backoffFunction": "linear",
            },
            "disableSubscriptionOverrides": False,
            "defaultRequestPolicy": {"headerContentType": "text/plain; charset=UTF-8"},
        }
    }
