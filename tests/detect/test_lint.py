"""Lint: what it says of which profile, held against the very percentile that detection computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward.detect.behavior_checks import STATISTICS
from fleetward.detect.criteria import IS_NORMAL
from fleetward.detect.lint import Advice, Level, Past, lint, rank_of, share_flagged
from fleetward.detect.percentile import others_percentile
from fleetward.detect.profiles import parse
from fleetward.model import Operator, PercentileCriterion

SIZE, SENT, FAILURES = "aws:message-byte-size", "aws:num-messages-sent", "aws:num-authorization-failures"


def advice(
    metric: str = SIZE,
    operator: str = "less-than-equals",
    statistic: str | None = None,
    count: int = 1000,
    population: int | None = None,
    margin: float = 0.0,
    past: Past | None = None,
    **criteria: Any,
) -> dict[str, Advice]:
    """What lint says of one behaviour, by code."""
    what = {"value": {"count": count}} if statistic is None else {"statisticalThreshold": {"statistic": statistic}}
    given = {"comparisonOperator": operator, "durationSeconds": 300, **what, **criteria}
    behaviors = parse("P", [{"name": "b", "metric": metric, "criteria": given}], margin)
    found = lint(behaviors, population, {("P", "b"): past} if past else None)
    assert all(one.behavior == "b" and one.text.endswith(".") for one in found)
    return {one.code: one for one in found}


@settings(max_examples=100)
@given(st.integers(2, 60), st.sampled_from(sorted(STATISTICS.values())), st.sampled_from(Operator), st.randoms())
def test_the_share_is_what_detection_flags(n: int, hundredths: int, operator: Operator, chance: Any) -> None:
    """Among devices with different values, detection flags exactly the share that lint foretells."""
    values = np.array(chance.sample(range(10_000), n))
    percentile = others_percentile(values, hundredths)
    assert percentile is not None
    assert percentile.rank == rank_of(hundredths, n - 1)
    flagged = ~IS_NORMAL[operator](values, percentile.values)
    assert flagged.sum() / n == pytest.approx(share_flagged(PercentileCriterion(operator, hundredths), n))


def test_the_storys_p50() -> None:
    """Of two devices, p50 flags one in every window: lint says so, and which tag helps."""
    found = advice(statistic="p50", population=2)["flags-healthy-devices"]
    assert found.level is Level.WARNING
    assert "50.0% of all datapoints" in found.text
    assert "statistical-margin-percent" in found.text


def test_with_a_margin_it_is_only_a_note() -> None:
    """A margin keeps chance out, so that the share is no warning any more."""
    assert advice(statistic="p50", population=2, margin=10)["flags-healthy-devices"].level is Level.NOTE


@pytest.mark.parametrize("population", [0, 1])
def test_nobody_to_compare_with(population: int) -> None:
    """A percentile or mean of nobody never alarms."""
    for statistic in ("p99", "Average"):
        assert "can-never-fire" in advice(statistic=statistic, population=population)


def test_percentiles_that_are_the_largest_value() -> None:
    """At a small fleet p99 is the largest other value; at a large one it is not."""
    assert "same-as-p100" in advice(statistic="p99", population=50)
    assert "same-as-p100" not in advice(statistic="p99", population=500)
    assert "few-devices" in advice(statistic="p99", population=5)


@pytest.mark.parametrize(
    ("metric", "given", "inverted"),
    [
        (SIZE, {"statistic": "p50", "operator": "greater-than"}, True),
        (FAILURES, {"operator": "greater-than-equals"}, True),
        (SENT, {"operator": "less-than"}, False),
        (SIZE, {"statistic": "p50", "operator": "less-than-equals"}, False),
    ],
)
def test_operators_that_read_inverted(metric: str, given: Any, inverted: bool) -> None:
    """A lower bound on what people fear too much of alarms on the small; lint names the other operator."""
    found = advice(metric, **given)
    assert ("operator-reads-inverted" in found) is inverted
    if inverted:
        assert "SMALL" in found["operator-reads-inverted"].text
        assert "less-than" in found["operator-reads-inverted"].text


def test_bounds_that_say_nothing() -> None:
    """Nothing is below 0."""
    assert "can-never-fire" in advice(SENT, "greater-than-equals", count=0)
    assert "always-fires" in advice(SENT, "less-than", count=0)
    assert "can-never-fire" in advice(SENT, "greater-than-equals", "p50", population=50, margin=101)
    assert "can-never-fire" not in advice(SENT, "greater-than-equals", "p50", population=50, margin=99)
    assert "can-never-fire" not in advice(SENT, "less-than-equals", "p50", population=50, margin=101)


def test_what_does_not_go_to_aws() -> None:
    """Other durations than AWS's five, and metrics of our own, are noted."""
    assert "duration-not-portable" in advice(durationSeconds=10)
    assert "metric-not-portable" in advice("fleetward:topics-tried")
    assert not advice()


def test_bounds_against_history() -> None:
    """A bound that nothing ever reached, or that much breaks all the time, is told from the history."""
    assert "never-reached" in advice(past=Past(100, 1, 500, flagged=0, days=14))
    assert "often-reached" in advice(past=Past(100, 1, 5000, flagged=40, days=14))
    assert not advice(past=Past(10_000, 1, 5000, flagged=3, days=14))
    assert not advice(past=Past(0, 0, 0, flagged=0))
