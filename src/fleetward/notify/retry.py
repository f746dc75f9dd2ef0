"""When a failed delivery is tried again: pure arithmetic over a policy of four phases.

No-delay, pre-backoff, backoff and post-backoff, as in the SNS developer guide, "Amazon SNS message delivery retries".
AWS names four backoff functions without giving their formulas; these are ours:
linear and arithmetic walk from the minimum to the maximum along x and x², geometric keeps the ratio of two neighbouring
delays constant so as to end at the maximum, exponential doubles until it meets the maximum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fleetward.model import Millis

Backoff = Callable[[float, float, int, int], float]
"""(minimum, maximum, index, count) → seconds."""


def _position(index: int, count: int) -> float:
    return index / (count - 1) if count > 1 else 0.0


def _linear(low: float, high: float, index: int, count: int) -> float:
    return low + (high - low) * _position(index, count)


def _arithmetic(low: float, high: float, index: int, count: int) -> float:
    return low + (high - low) * _position(index, count) ** 2


def _geometric(low: float, high: float, index: int, count: int) -> float:
    return float(low * (high / low) ** _position(index, count))


def _exponential(low: float, high: float, index: int, count: int) -> float:
    return min(high, low * 2.0 ** min(index, 32))


BACKOFFS: Mapping[str, Backoff] = {
    "linear": _linear,
    "arithmetic": _arithmetic,
    "geometric": _geometric,
    "exponential": _exponential,
}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`retries` attempts after the first: `no_delay` at once, `at_minimum` at `minimum` seconds, `at_maximum` last."""

    retries: int
    minimum: float
    maximum: float
    no_delay: int = 0
    at_minimum: int = 0
    at_maximum: int = 0
    backoff: str = "linear"

    def delay(self, failures: int) -> float | None:
        """Seconds to wait after the n-th failure (1-based) in a row; None when it was the last."""
        index = failures - 1
        if index >= self.retries:
            return None
        if index < self.no_delay:
            return 0.0
        index -= self.no_delay
        if index < self.at_minimum:
            return self.minimum
        index -= self.at_minimum
        in_backoff = self.retries - self.no_delay - self.at_minimum - self.at_maximum
        if index < in_backoff:
            return BACKOFFS[self.backoff](self.minimum, self.maximum, index, in_backoff)
        return self.maximum

    @property
    def total_delay(self) -> float:
        """Seconds from the first failure to the last retry."""
        return sum(self.delay(n) or 0.0 for n in range(1, self.retries + 1))


HTTP = RetryPolicy(retries=3, minimum=20, maximum=20)
AWS_MANAGED = RetryPolicy(100_015, 1, 20, no_delay=3, at_minimum=2, at_maximum=100_000, backoff="exponential")
CUSTOMER_MANAGED = RetryPolicy(50, 10, 600, at_minimum=2, at_maximum=38, backoff="exponential")


def next_attempt(policy: RetryPolicy, failures: int, now: Millis) -> Millis | None:
    """When to try again after `failures` failed attempts; None gives up."""
    delay = policy.delay(failures)
    return None if delay is None else now + round(delay * 1000)
