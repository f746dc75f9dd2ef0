"""Exact nearest-rank percentiles, and means, over all *other* devices, for every device at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fleetward.detect.outcome import Numbers


class OthersPercentile(NamedTuple):
    """`values` holds the threshold of each device; `rank` (1-based) is its place among the `population` others."""

    values: Numbers
    rank: int
    population: int


def others_percentile(values: Numbers, hundredths: int) -> OthersPercentile | None:
    """The percentile of everybody else, for each of `values`; None when nobody has another to be compared with.

    Leaving one value out of a sorted array shifts what stands above it by one place, so one sort serves all devices:

    >>> others_percentile(np.array([10, 20, 30]), 5000).values.tolist()
    [20, 10, 10]
    """
    others = len(values) - 1
    if others < 1:
        return None
    ordered = np.sort(values)
    place = max(-(-hundredths * others // 10_000) - 1, 0)
    below = values <= ordered[place]
    return OthersPercentile(np.where(below, ordered[place + 1], ordered[place]), place + 1, others)


class OthersAverage(NamedTuple):
    """`values` holds the mean of everybody else for each device, `sums` the same before it is divided."""

    values: Numbers
    sums: Numbers
    population: int


def others_average(values: Numbers) -> OthersAverage | None:
    """The arithmetic mean of everybody else, for each of `values`; None when nobody has another to be compared with.

    AWS's model lists the statistic Average without a population; ours is that of the percentiles.

    >>> others_average(np.array([10, 20, 30])).values.tolist()
    [25.0, 20.0, 15.0]
    """
    others = len(values) - 1
    if others < 1:
        return None
    sums = float(values.sum()) - values.astype(np.float64)
    return OthersAverage(sums / others, sums, others)
