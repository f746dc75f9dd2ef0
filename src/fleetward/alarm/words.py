"""What people read: why an alarm fell, what a behaviour expects and when it alarms, and the e-mail of an alert.

The wire speaks of normal behaviour, people of the alarm: an alarm condition is the complement of the criterion. Every
number is taken from the behaviour itself. Names and topics come from devices and are shown without control characters
and cut short, so that no device can write an alert's text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache

from fleetward.meter.metrics import METRICS, Duration, Kind, metric_of
from fleetward.model import (
    AlarmEvent,
    AlarmKind,
    Behavior,
    Criterion,
    Explanation,
    Millis,
    NumericCriterion,
    Operator,
    SetCriterion,
    StaticCriterion,
)

COMPLEMENT: Mapping[Operator, Operator] = {
    Operator.LESS_THAN: Operator.GREATER_THAN_EQUALS,
    Operator.LESS_THAN_EQUALS: Operator.GREATER_THAN,
    Operator.GREATER_THAN: Operator.LESS_THAN_EQUALS,
    Operator.GREATER_THAN_EQUALS: Operator.LESS_THAN,
}

SET_PHRASES: Mapping[bool, tuple[str, str]] = {
    True: ("has an element outside {elements}", "only in {elements}"),
    False: ("has an element among {elements}", "never among {elements}"),
}
"""By whether the elements ought to be in the set: when it alarms, and what is normal."""

PHRASES: Mapping[Operator, str] = {
    Operator.LESS_THAN: "less than",
    Operator.LESS_THAN_EQUALS: "at most",
    Operator.GREATER_THAN: "greater than",
    Operator.GREATER_THAN_EQUALS: "at least",
}

HEADLINES: Mapping[AlarmKind, str] = {
    AlarmKind.IN_ALARM: "{thing} is in alarm",
    AlarmKind.CLEARED: "{thing} is back to normal",
    AlarmKind.INVALIDATED: "The alarm of {thing} has ended without being cleared",
}

SUBJECTS: Mapping[AlarmKind, str] = {
    AlarmKind.IN_ALARM: "ALARM: {thing} violates {behavior}",
    AlarmKind.CLEARED: "Cleared: {thing} no longer violates {behavior}",
    AlarmKind.INVALIDATED: "Ended: alarm of {thing} on {behavior}",
}

SINGULARS = {"addresses": "address"}
LISTED = 5
"""Elements of a list that a sentence names."""
SPANS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
SUBJECT_LENGTH = 99
"""SNS allows subjects of fewer than 100 characters."""
SHOWN_LENGTH = 128


# --- parts of sentences -----------------------------------------------------------------------------------------------


def plain(text: str, length: int = SHOWN_LENGTH) -> str:
    """`text` from a device, fit to be shown: unprintable characters as `?`, and no longer than `length`."""
    shown = text if len(text) <= length else text[: length - 1] + "…"
    return shown if shown.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in shown)


@lru_cache(maxsize=4096)
def quantity(value: float, unit: str) -> str:
    """A number with its unit: `30,210 B`, `1 message`, `12 messages`."""
    number = f"{value:,.2f}".rstrip("0").rstrip(".")
    if unit == "bytes":
        return f"{number} B"
    if value == 1:
        unit = SINGULARS.get(unit, unit.removesuffix("s"))
    return f"{number} {unit}" if unit else number


def listed(elements: Iterable[str | float]) -> str:
    """Elements side by side, the first few of many."""
    all_of_them = [element if isinstance(element, str) else f"{element:g}" for element in elements]
    shown = ", ".join(plain(element, 64) for element in all_of_them[:LISTED])
    return shown if len(all_of_them) <= LISTED else f"{shown} and {len(all_of_them) - LISTED} more"


def span(seconds: int) -> str:
    """A duration in its largest whole unit: `5 minutes`, `90 seconds`, `1 hour`."""
    size, unit = next((size, unit) for size, unit in SPANS if seconds % size == 0)
    return f"{seconds // size} {unit}{'' if seconds == size else 's'}"


@lru_cache(maxsize=1024)
def moment(time: Millis) -> str:
    """`2026-11-24 10:05:00 UTC`, with milliseconds only when there are any."""
    whole = datetime.fromtimestamp(time // 1000, UTC)
    return f"{whole:%Y-%m-%d %H:%M:%S}{f'.{time % 1000:03d}' if time % 1000 else ''} UTC"


# --- a behaviour ------------------------------------------------------------------------------------------------------


def alarm_condition(behavior: Behavior) -> str:
    """When this behaviour alarms: the form's words on the console (`Alarm when Message size is greater than p50…`)."""
    criterion = behavior.criterion
    if isinstance(criterion, SetCriterion):
        found = SET_PHRASES[criterion.operator.wants_members][0].format(elements=listed(criterion.elements))
        return f"Alarm when {_measured(behavior)} {found}{_in_a_row(behavior)}"
    when = f"Alarm when {_measured(behavior)} is {_compared(behavior, criterion, COMPLEMENT[criterion.operator])}"
    return f"{when}{_margin(criterion)}{_in_a_row(behavior)}"


def expected_behavior(behavior: Behavior) -> str:
    """What this behaviour calls normal: the criterion as the API has it."""
    criterion = behavior.criterion
    if isinstance(criterion, SetCriterion):
        compared = SET_PHRASES[criterion.operator.wants_members][1].format(elements=listed(criterion.elements))
    else:
        compared = _compared(behavior, criterion, criterion.operator)
    return f"Normal is {_measured(behavior)} {compared} (API: {criterion.operator} {_wire_threshold(criterion)})"


def _measured(behavior: Behavior) -> str:
    metric = metric_of(behavior.metric, behavior.value)
    label = plain(metric.label) + _topics_of(behavior)
    if metric.kind is Kind.SIZE and isinstance(behavior.criterion, StaticCriterion):
        return f"{label} of a single message"
    if metric.duration is Duration.FORBIDDEN:
        return label
    return f"{label} over {span(behavior.duration_seconds)}" if behavior.duration_seconds else f"{label} in a report"


def _topics_of(behavior: Behavior) -> str:
    operator, _, name = behavior.dimension.partition(":")
    return f" {'outside' if operator == 'NOT_IN' else 'on'} {name}" if name else ""


def _compared(behavior: Behavior, criterion: NumericCriterion, operator: Operator) -> str:
    if isinstance(criterion, StaticCriterion):
        unit = metric_of(behavior.metric, behavior.value).unit
        return f"{PHRASES[operator]} {quantity(criterion.bound, unit)}"
    return f"{PHRASES[operator]} {_statistic(criterion.label)} of all other devices"


def _statistic(label: str) -> str:
    return "the average" if label == "Average" else label


def _margin(criterion: NumericCriterion) -> str:
    if isinstance(criterion, StaticCriterion) or not criterion.margin_percent:
        return ""
    return f" by more than {criterion.margin_percent:g} %"


def _in_a_row(behavior: Behavior) -> str:
    if behavior.datapoints_to_alarm == 1:
        return ""
    return f", {behavior.datapoints_to_alarm} times in a row"


def _wire_threshold(criterion: Criterion) -> str:
    if isinstance(criterion, SetCriterion):
        return listed(criterion.elements)
    return str(criterion.bound) if isinstance(criterion, StaticCriterion) else criterion.label


# --- a verdict --------------------------------------------------------------------------------------------------------


def why(explanation: Explanation) -> str:
    """The verdict in one line: `30,210 B against the p50 of 1 other device = 260 B, margin 10 %`."""
    if isinstance(explanation.value, tuple) or isinstance(explanation.threshold, tuple):
        return _why_of_elements(explanation)
    value = quantity(explanation.value, explanation.unit)
    threshold = quantity(explanation.threshold, explanation.unit)
    if explanation.statistic is None:
        metric = METRICS.get(explanation.metric)
        single = " in a single message" if metric is not None and metric.kind is Kind.SIZE else ""
        return f"{value}{single} against the bound of {threshold}"
    others = quantity(explanation.population or 0, "other devices")
    margin = f", margin {explanation.margin_percent:g} %" if explanation.margin_percent else ""
    statistic = explanation.statistic if explanation.statistic != "Average" else "average"
    return f"{value} against the {statistic} of {others} = {threshold}{margin}"


def _why_of_elements(explanation: Explanation) -> str:
    """`203.0.113.9 is not in 10.0.0.0/8`; of a datapoint that conforms, all of its elements."""
    value, allowed = explanation.value, explanation.threshold
    elements = value if isinstance(value, tuple) else (value,)
    if not elements:
        return "an empty list against any set"
    return f"{listed(elements)} against {explanation.operator} {listed(allowed if isinstance(allowed, tuple) else ())}"


def standing(isolated: bool) -> str:
    """How an open violation stands: nothing arrives from an isolated thing, so its alarm stays open."""
    return "in alarm, isolated" if isolated else "in alarm"


# --- an alert ---------------------------------------------------------------------------------------------------------


def email_subject(event: AlarmEvent) -> str:
    subject = SUBJECTS[event.kind].format(thing=plain(event.thing, 60), behavior=event.behavior.name)
    return plain(subject, SUBJECT_LENGTH)


def email_text(event: AlarmEvent) -> str:
    """The alert as an e-mail's text: what happened, why, what is expected, and the violation's names."""
    thing, reason = plain(event.thing), _reason(event)
    lines = [
        HEADLINES[event.kind].format(thing=thing) + ".",
        "",
        *([f"Why:             {reason}"] if reason else []),
        _facts_of(event.behavior),
        f"Thing:           {thing}",
        f"Violation:       {event.violation_id}",
        f"Time:            {moment(event.time)}",
    ]
    if event.explanation is not None:
        lines += ["", *_evidence(event.explanation)]
    return "\n".join(lines) + "\n"


@lru_cache(maxsize=1024)  # a mass alarm asks once a device
def _facts_of(behavior: Behavior) -> str:
    facts = (
        f"Alarm condition: {alarm_condition(behavior).removeprefix('Alarm when ')}",
        f"Expected:        {expected_behavior(behavior).removeprefix('Normal is ')}",
        f"Clears after:    {quantity(behavior.datapoints_to_clear, 'normal datapoints')} in a row",
        f"Profile:         {behavior.profile}",
        f"Behavior:        {behavior.name}",
    )
    return "\n".join(facts)


def _reason(event: AlarmEvent) -> str:
    return why(event.explanation) if event.explanation is not None else plain(event.reason, 1_000)


def _evidence(explanation: Explanation) -> list[str]:
    early = " (decided as soon as the bound was crossed)" if explanation.early else ""
    lines = [f"Window: {moment(explanation.window_start)} to {moment(explanation.window_end)}{early}"]
    if explanation.topics:
        lines.append("Published to:")
    for topic, size, messages in explanation.topics:
        lines.append(f"  {plain(topic)}: {quantity(size, 'bytes')} in {quantity(messages, 'messages')}")
    return lines
