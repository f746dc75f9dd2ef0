"""Lint: what a profile will do, told before it is attached.

By arithmetic: a percentile compares each device with all *others*, so of n devices whose values differ only by chance,
each is equally likely to stand at any of the n ranks. With the percentile at rank r of the n - 1 others, an upper bound
flags the n - r devices above it, a lower bound the r devices below. By history: what would have been flagged of what
was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fleetward.meter.metrics import METRICS, Kind, metric_of
from fleetward.model import AverageCriterion, Behavior, PercentileCriterion, SetCriterion, StaticCriterion

PORTABLE_DURATIONS = (300, 600, 900, 1800, 3600)
"""What AWS itself takes for `durationSeconds`."""

FEW_DEVICES = 20
MANY_FLAGGED = 0.01
"""The share of datapoints of healthy devices that is worth a warning."""

EXCESSES = frozenset(
    metric
    for metric, row in METRICS.items()
    if row.kind in (Kind.SIZE, Kind.COUNTER, Kind.DELTA) or metric.startswith("aws:num-")
)
"""The metrics of which too much is what people fear."""


class Level(StrEnum):
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to know about a behaviour. `code` is stable, for scripts; `text` is for people."""

    level: Level
    code: str
    behavior: str
    text: str


@dataclass(frozen=True, slots=True)
class Past:
    """What the history holds of one metric: how many datapoints, and their extremes.

    `flagged` of them violate the behaviour that is asked about, where that can be told of a datapoint alone.
    """

    datapoints: int
    minimum: float
    maximum: float
    flagged: int | None = None
    days: float = 0.0


def lint(
    behaviors: Sequence[Behavior], population: int | None, past: Mapping[tuple[str, str], Past] | None = None
) -> list[Advice]:
    """Advice on all behaviours, in their order.

    `population` is how many devices the profile covers, None when that is not known; `past` what was measured for each
    behaviour, by its key.
    """
    found: list[Advice] = []
    for behavior in behaviors:
        measured = (past or {}).get(behavior.key)
        for check in CHECKS:
            found += (
                Advice(level, code, behavior.name, text) for level, code, text in check(behavior, population, measured)
            )
    return found


def share_flagged(criterion: PercentileCriterion, population: int) -> float:
    """The share of datapoints that the criterion flags among `population` devices that differ only by chance."""
    if population < 2:
        return 0.0
    rank = rank_of(criterion.hundredths, population - 1)
    return (population - rank if criterion.operator.is_upper_bound else rank) / population


def rank_of(hundredths: int, others: int) -> int:
    """The nearest rank (1-based) of a percentile among the others."""
    return max(1, -(-hundredths * others // 10_000))


_Findings = Iterator[tuple[Level, str, str]]


def _portable(behavior: Behavior, _population: int | None, _past: Past | None) -> _Findings:
    duration = behavior.duration_seconds
    custom_window = metric_of(behavior.metric, behavior.value).window_seconds
    if duration not in PORTABLE_DURATIONS and duration != custom_window:
        yield (
            Level.NOTE,
            "duration-not-portable",
            f"durationSeconds {duration} is not portable to AWS, which takes only "
            f"{', '.join(map(str, PORTABLE_DURATIONS))}.",
        )
    if behavior.metric.startswith("fleetward:"):
        yield Level.NOTE, "metric-not-portable", f"Metric {behavior.metric} is Fleetward's own; AWS does not know it."


def _inverted(behavior: Behavior, _population: int | None, _past: Past | None) -> _Findings:
    """The operator says what is normal; many read it as what alarms."""
    criterion = behavior.criterion
    if isinstance(criterion, SetCriterion) or criterion.operator.is_upper_bound or behavior.metric not in EXCESSES:
        return
    label = METRICS[behavior.metric].label.lower()
    bound = criterion.bound if isinstance(criterion, StaticCriterion) else criterion.label
    yield (
        Level.WARNING,
        "operator-reads-inverted",
        f"{criterion.operator} {bound} says what is normal, so this alarms on the devices with the SMALL values of "
        f"{label}. To alarm on large ones use {_complement(criterion.operator)} {bound}.",
    )


def _impossible(behavior: Behavior, _population: int | None, _past: Past | None) -> _Findings:
    """No count is below 0."""
    criterion = behavior.criterion
    if isinstance(criterion, SetCriterion) or behavior.metric not in METRICS:
        return
    if not isinstance(criterion, StaticCriterion):
        if not criterion.operator.is_upper_bound and criterion.margin_percent > 100:
            below = f"A margin of {criterion.margin_percent:g} % puts the bound below 0"
            yield Level.WARNING, "can-never-fire", f"{below}, where no value is, so this can never alarm."
    elif criterion.operator == "greater-than-equals" and criterion.bound == 0:
        yield Level.WARNING, "can-never-fire", "Every value is at least 0, so this can never alarm."
    elif criterion.operator == "less-than" and criterion.bound == 0:
        yield Level.WARNING, "always-fires", "No value is less than 0, so this alarms on every datapoint."


def _by_arithmetic(behavior: Behavior, population: int | None, _past: Past | None) -> _Findings:
    criterion = behavior.criterion
    if population is None or not isinstance(criterion, PercentileCriterion | AverageCriterion):
        return
    if population < 2:
        yield (
            Level.WARNING,
            "can-never-fire",
            f"{criterion.label} compares a device with all others, and this fleet has {population}: it can never "
            "alarm until there are two.",
        )
        return
    if population < FEW_DEVICES:
        others = "1 other device" if population == 2 else f"{population - 1} other devices"
        yield (
            Level.NOTE,
            "few-devices",
            f"{criterion.label} of {others} says little; it is steady from about {FEW_DEVICES}.",
        )
    if isinstance(criterion, PercentileCriterion):
        yield from _chance(criterion, population, behavior.datapoints_to_alarm)


def _chance(criterion: PercentileCriterion, population: int, in_a_row: int) -> _Findings:
    share = share_flagged(criterion, population)
    anybody = min(1.0, share * population)
    text = (
        f"Of {population} healthy devices, {criterion.operator} {criterion.label} flags {share:.1%} of all datapoints "
        f"by arithmetic alone: {_devices(round(share * population))} in every window"
    )
    if in_a_row > 1:
        text += f" ({share**in_a_row:.2%} {in_a_row} times in a row, if chance alone decides)"
    if criterion.margin_percent:
        yield (
            Level.NOTE,
            "flags-healthy-devices",
            f"{text}, were it not for the margin of {criterion.margin_percent:g} %, within which none is flagged.",
        )
    elif anybody and share >= MANY_FLAGGED:
        yield (
            Level.WARNING,
            "flags-healthy-devices",
            f"{text}. The tag statistical-margin-percent=10 keeps chance out.",
        )
    others = population - 1
    if criterion.hundredths < 10_000 and rank_of(criterion.hundredths, others) == others and others > 1:
        yield (
            Level.NOTE,
            "same-as-p100",
            f"Among {others} others, {criterion.label} is the largest value, the same as p100.",
        )


def _by_history(behavior: Behavior, _population: int | None, past: Past | None) -> _Findings:
    criterion = behavior.criterion
    if past is None or not past.datapoints or not isinstance(criterion, StaticCriterion):
        return
    seen = f"{past.minimum:g} to {past.maximum:g} in {past.datapoints:,} datapoints of {_period(past.days)}"
    if past.flagged == 0:
        yield Level.NOTE, "never-reached", f"The bound {criterion.bound:g} was never reached: {seen}."
    elif past.flagged is not None and past.flagged >= MANY_FLAGGED * past.datapoints:
        yield (
            Level.WARNING,
            "often-reached",
            f"{past.flagged / past.datapoints:.1%} of the datapoints in history violate this: {seen}.",
        )


def _devices(number: int) -> str:
    return f"{number:,} device{'' if number == 1 else 's'}"


def _period(days: float) -> str:
    hours = days * 24
    return f"{days:.3g} days" if days >= 2 else f"{hours:.3g} hours" if hours >= 2 else f"{hours * 60:.3g} minutes"


def _complement(operator: str) -> str:
    """The operator that alarms on the other side."""
    return {"greater-than": "less-than-equals", "greater-than-equals": "less-than"}[operator]


CHECKS: tuple[Callable[[Behavior, int | None, Past | None], _Findings], ...] = (
    _portable,
    _inverted,
    _impossible,
    _by_arithmetic,
    _by_history,
)
