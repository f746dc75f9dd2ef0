"""Criteria: which value of a window is judged, against which threshold, and whether it is normal."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fleetward.detect.counts import Counts, as_tuples
from fleetward.detect.elements import offenders
from fleetward.detect.outcome import Mask, Numbers
from fleetward.detect.percentile import others_average, others_percentile
from fleetward.detect.slots import as_index
from fleetward.meter.batch import Ids
from fleetward.meter.metrics import Kind, metric_of
from fleetward.model import (
    AverageCriterion,
    Behavior,
    Criterion,
    NumericCriterion,
    Operator,
    PercentileCriterion,
    SetCriterion,
    StaticCriterion,
    StatisticalCriterion,
)

IS_NORMAL: dict[Operator, Callable[..., Mask]] = {
    Operator.LESS_THAN: operator.lt,
    Operator.LESS_THAN_EQUALS: operator.le,
    Operator.GREATER_THAN: operator.gt,
    Operator.GREATER_THAN_EQUALS: operator.ge,
}


class Thresholds(NamedTuple):
    """The threshold of each value; `rank` only for a percentile, `population` where others are compared with.

    `sums` are those of the others where the threshold is their mean: it is compared without dividing.
    """

    values: Numbers
    rank: int | None = None
    population: int | None = None
    sums: Numbers | None = None

    def where(self, mask: Mask | Ids) -> Thresholds:
        return self._replace(values=self.values[mask], sums=None if self.sums is None else self.sums[mask])


class Judgement(NamedTuple):
    """How each of `values` compares; where elements offend, `values` are those only."""

    values: Numbers
    limits: Thresholds
    violating: Mask


def judged_value(behavior: Behavior, counts: Counts, slots: Ids) -> Numbers:
    """The value of each slot that the behaviour judges.

    The worst message for a static size, the worst level of a gauge, the elements of a list, else the window's total.
    Source: AWS IoT Device Defender developer guide, "Cloud-side metrics" and "Device-side metrics".
    """
    criterion, kind = behavior.criterion, counts.metric.kind
    if isinstance(criterion, SetCriterion):
        return counts.elements(slots)
    chosen = as_index(slots)
    if kind is Kind.GAUGE or (kind is Kind.SIZE and isinstance(criterion, StaticCriterion)):
        return (counts.maximum if criterion.operator.is_upper_bound else counts.minimum)[chosen]
    return counts.total[chosen]


def judge(criterion: Criterion, values: Numbers) -> Judgement | None:
    """Compares each of `values`; None when there is nothing to compare with."""
    if isinstance(criterion, SetCriterion):
        return _judge_elements(criterion, values)
    limits = thresholds(criterion, values)
    return limits and Judgement(values, limits, violates(criterion, values, limits))


def thresholds(criterion: NumericCriterion, values: Numbers) -> Thresholds | None:
    """What each of `values` is compared with, or None when there is nothing to compare with.

    Statistics are unavailable while any value is negative (AWS developer guide, "Custom metrics").
    """
    if isinstance(criterion, StaticCriterion):
        return Thresholds(np.broadcast_to(criterion.bound, len(values)))
    if len(values) and values.min() < 0:
        return None
    if isinstance(criterion, AverageCriterion):
        average = others_average(values)
        return average and Thresholds(average.values, None, average.population, average.sums)
    found = others_percentile(values, criterion.hundredths)
    return found and Thresholds(found.values, found.rank, found.population)


def violates(criterion: NumericCriterion, values: Numbers, limits: Thresholds) -> Mask:
    """Whether each value is not normal: `value operator limit`, the limit widened by the margin.

    Both sides are taken times 100, so that a margin of whole percents is exact.
    """
    is_normal, bounds = IS_NORMAL[criterion.operator], limits.values
    if limits.sums is not None:
        values, bounds = values * float(limits.population or 1), limits.sums
    margin = 0.0 if isinstance(criterion, StaticCriterion) else criterion.margin_percent
    if not margin:
        return ~is_normal(values, bounds)
    widened = bounds * (100 + margin if criterion.operator.is_upper_bound else 100 - margin)
    return ~is_normal(values * 100, widened)


def _judge_elements(criterion: SetCriterion, values: Numbers) -> Judgement:
    found = [offenders(criterion, elements) for elements in values]
    violating = np.fromiter(map(bool, found), np.bool_, len(found))
    told = as_tuples([bad or elements for bad, elements in zip(found, values, strict=True)])
    return Judgement(told, Thresholds(as_tuples([criterion.elements] * len(found))), violating)


def settles(behavior: Behavior) -> bool:
    """Whether a violation settles its window: what broke an upper bound or a set rule in it stays broken."""
    if metric_of(behavior.metric, behavior.value).kind is Kind.TIMER or isinstance(
        behavior.criterion, StatisticalCriterion
    ):
        return False
    return isinstance(behavior.criterion, SetCriterion) or behavior.criterion.operator.is_upper_bound


def needs_everything(criterion: Criterion) -> bool:
    """Whether a missing observation could make a device look abnormal: a lower bound."""
    return not isinstance(criterion, SetCriterion) and not criterion.operator.is_upper_bound


__all__ = ["Judgement", "PercentileCriterion", "Thresholds", "judge", "judged_value", "needs_everything", "settles"]
