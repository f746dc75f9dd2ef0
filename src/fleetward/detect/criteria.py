"""Criteria: which value of a window is judged, against which threshold, and whether it is normal."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fleetward.detect.outcome import Mask
from fleetward.detect.percentile import others_percentile
from fleetward.detect.windows import Counts
from fleetward.meter.batch import Ids
from fleetward.meter.metrics import METRICS, Kind
from fleetward.model import Behavior, Criterion, Operator, PercentileCriterion, StaticCriterion

IS_NORMAL: dict[Operator, Callable[..., Mask]] = {
    Operator.LESS_THAN: operator.lt,
    Operator.LESS_THAN_EQUALS: operator.le,
    Operator.GREATER_THAN: operator.gt,
    Operator.GREATER_THAN_EQUALS: operator.ge,
}


class Thresholds(NamedTuple):
    """The threshold of each value; `rank` and `population` only for a percentile."""

    values: Ids
    rank: int | None = None
    population: int | None = None


def judged_value(behavior: Behavior, counts: Counts) -> Ids:
    """The value of each slot that the behaviour judges: the worst message for a static size, else the window's total.

    Source: AWS IoT Device Defender developer guide, "Cloud-side metrics".
    """
    criterion = behavior.criterion
    if isinstance(criterion, PercentileCriterion) or METRICS[behavior.metric].kind is Kind.COUNTER:
        return counts.total
    return counts.maximum if criterion.operator.is_upper_bound else counts.minimum


def thresholds(criterion: Criterion, values: Ids) -> Thresholds | None:
    """What each of `values` is compared with, or None when there is nothing to compare with."""
    if isinstance(criterion, StaticCriterion):
        return static_thresholds(criterion, values)
    found = others_percentile(values, criterion.hundredths)
    return found and Thresholds(found.values, found.rank, found.population)


def static_thresholds(criterion: StaticCriterion, values: Ids) -> Thresholds:
    return Thresholds(np.full(len(values), criterion.bound, dtype=np.int64))


def violates(criterion: Criterion, values: Ids, limits: Ids) -> Mask:
    """Whether each value is not normal: `value operator limit`, the limit widened by the margin.

    Both sides are taken times 100, so that a margin of whole percents is exact.
    """
    is_normal = IS_NORMAL[criterion.operator]
    margin = criterion.margin_percent if isinstance(criterion, PercentileCriterion) else 0.0
    if not margin:
        return ~is_normal(values, limits)
    widened = limits * (100 + margin if criterion.operator.is_upper_bound else 100 - margin)
    return ~is_normal(values * 100, widened)


def settling_bound(behavior: Behavior) -> StaticCriterion | None:
    """The criterion, if crossing it settles the window: a static upper bound, for what has crossed stays crossed."""
    criterion = behavior.criterion
    return criterion if isinstance(criterion, StaticCriterion) and criterion.operator.is_upper_bound else None
