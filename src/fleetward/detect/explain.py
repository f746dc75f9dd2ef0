"""What a verdict says of itself: the violation's id, the explanation, and why a violation was invalidated."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from fleetward.detect.criteria import Thresholds
from fleetward.detect.outcome import Mask, Numbers
from fleetward.detect.streaks import Streaks
from fleetward.detect.topics import Contribution
from fleetward.detect.windows import Window
from fleetward.meter.batch import Ids
from fleetward.meter.metrics import MESSAGE_SIZE, MESSAGES_SENT, metric_of
from fleetward.model import AverageCriterion, Behavior, Explanation, Millis, PercentileCriterion, Value

TOPIC_METRICS = frozenset({MESSAGE_SIZE, MESSAGES_SENT})
"""The metrics that topics contribute to: what was published, not what was denied or received."""

_32_BITS = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Moment:
    """When a report came: the window of what is judged at once."""

    start: Millis
    end: Millis


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One datapoint of one behaviour for each of `slots`, and how it was judged."""

    streaks: Streaks
    window: Window | Moment
    slots: Ids
    values: Numbers
    limits: Thresholds
    violating: Mask
    time: Millis
    early: bool = False

    def where(self, mask: Mask | Ids) -> Verdicts:
        """The verdicts on those slots only."""
        kept = (self.slots[mask], self.values[mask], self.limits.where(mask), self.violating[mask])
        return Verdicts(self.streaks, self.window, *kept, self.time, self.early)

    def kept(self, rows: Ids) -> Verdicts:
        """The verdicts in those rows, as they are now: the window goes on without them."""
        return replace(self.where(rows), window=Moment(self.window.start, self.window.end))


def told(value: Value | np.generic) -> Value:
    """A value out of an array, as plain Python."""
    return value.item() if isinstance(value, np.generic) else value


def violation_id(behavior: Behavior, thing: str, device: int, window_start: Millis, epoch: int) -> str:
    """32 lowercase hexadecimal digits, the same in every replay: 8 of the window's second, 8 of the device, 16 hashed.

    So the ids of one close lie side by side in every index, in the order of the devices. `device` tells apart two
    identities of one name, `epoch` two violations that begin in the same window.
    """
    profile, name = behavior.profile, behavior.name
    parts = f"{len(profile)}:{profile}{len(name)}:{name}{len(thing)}:{thing}{device}/{window_start}/{epoch}"
    digest = hashlib.blake2b(parts.encode(), digest_size=8).hexdigest()
    return f"{window_start // 1000 & _32_BITS:08x}{device & _32_BITS:08x}{digest}"


def explanation(
    behavior: Behavior, verdicts: Verdicts, index: int, datapoints: int, topics: tuple[Contribution, ...]
) -> Explanation:
    """Why the verdict on `verdicts.slots[index]` fell as it did."""
    criterion = behavior.criterion
    statistic, margin = None, 0.0
    if isinstance(criterion, PercentileCriterion | AverageCriterion):
        statistic, margin = criterion.label, criterion.margin_percent
    threshold = told(verdicts.limits.values[index])
    return Explanation(
        metric=behavior.metric,
        value=told(verdicts.values[index]),
        operator=criterion.operator.value,
        threshold=threshold if isinstance(threshold, tuple) else float(threshold),
        unit=metric_of(behavior.metric, behavior.value).unit,
        window_start=verdicts.window.start,
        window_end=verdicts.window.end,
        statistic=statistic,
        rank=verdicts.limits.rank,
        population=verdicts.limits.population,
        margin_percent=margin,
        datapoints=datapoints,
        early=verdicts.early,
        dimension=behavior.dimension,
        topics=topics if behavior.metric in TOPIC_METRICS else (),
    )
