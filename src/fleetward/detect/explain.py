"""What a verdict says of itself: the violation's id, the explanation, and why a violation was invalidated."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from fleetward.detect.criteria import Thresholds
from fleetward.detect.outcome import Mask
from fleetward.detect.streaks import Streaks
from fleetward.detect.topics import Contribution
from fleetward.detect.windows import Window
from fleetward.meter.batch import Ids
from fleetward.meter.metrics import MESSAGE_SIZE, MESSAGES_SENT, METRICS
from fleetward.model import Behavior, Explanation, Millis, PercentileCriterion

TOPIC_METRICS = frozenset({MESSAGE_SIZE, MESSAGES_SENT})
"""The metrics that topics contribute to: what was published, not what was denied or received."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One datapoint of one behaviour for each of `slots`, and how it was judged."""

    streaks: Streaks
    window: Window
    slots: Ids
    values: Ids
    limits: Thresholds
    violating: Mask
    time: Millis
    early: bool = False

    def where(self, mask: Mask) -> Verdicts:
        """The verdicts on those slots only."""
        limits = self.limits._replace(values=self.limits.values[mask])
        kept = (self.slots[mask], self.values[mask], limits, self.violating[mask])
        return Verdicts(self.streaks, self.window, *kept, self.time, self.early)


def violation_id(behavior: Behavior, thing: str, device: int, window_start: Millis, epoch: int) -> str:
    """32 lowercase hexadecimal digits, the same in every replay.

    `device` tells apart two identities of one name, `epoch` two violations that begin in the same window.
    """
    parts = (behavior.profile, behavior.name, thing, str(device), str(window_start), str(epoch))
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.hexdigest()


def explanation(verdicts: Verdicts, index: int, datapoints: int, topics: tuple[Contribution, ...]) -> Explanation:
    """Why the verdict on `verdicts.slots[index]` fell as it did."""
    behavior = verdicts.streaks.behavior
    criterion = behavior.criterion
    statistic, margin = None, 0.0
    if isinstance(criterion, PercentileCriterion):
        statistic, margin = criterion.label, criterion.margin_percent
    return Explanation(
        metric=behavior.metric,
        value=int(verdicts.values[index]),
        operator=criterion.operator.value,
        threshold=float(verdicts.limits.values[index]),
        unit=METRICS[behavior.metric].unit,
        window_start=verdicts.window.start,
        window_end=verdicts.window.end,
        statistic=statistic,
        rank=verdicts.limits.rank,
        population=verdicts.limits.population,
        margin_percent=margin,
        datapoints=datapoints,
        early=verdicts.early,
        topics=topics if behavior.metric in TOPIC_METRICS else (),
    )
