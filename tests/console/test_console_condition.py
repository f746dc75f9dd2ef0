"""The alarm condition of a form and the behaviour that is stored say the same, also to the kernel."""

from __future__ import annotations

import operator as compare
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fleetward.console import condition
from fleetward.console.condition import Condition, from_behavior, to_behavior
from fleetward.console.profile_draft import Draft, draft_of
from fleetward.detect import criteria, profiles
from fleetward.detect.behavior_checks import AVERAGE, STATISTICS
from fleetward.detect.elements import offenders
from fleetward.meter.metrics import METRICS, Metric
from fleetward.model import LIST_KINDS, Operator, SetCriterion, ValueKind

ALARMS: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.GREATER_THAN: compare.gt,
    Operator.GREATER_THAN_EQUALS: compare.ge,
    Operator.LESS_THAN: compare.lt,
    Operator.LESS_THAN_EQUALS: compare.le,
}
"""What the words on the form mean."""

NAMES = st.from_regex(r"[a-zA-Z0-9:_-]{1,20}", fullmatch=True)
ELEMENTS = {
    ValueKind.CIDRS: st.sampled_from(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]),
    ValueKind.PORTS: st.integers(0, 65_535),
}


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    """Any condition that the form can make of a built-in metric."""
    metric = draw(st.sampled_from(list(METRICS.values())))
    statistic = draw(st.sampled_from([*STATISTICS, AVERAGE])) if metric.statistical and draw(st.booleans()) else None
    seconds: int | None = None
    if condition.needs_duration(metric, statistic is not None) or (
        condition.takes_duration(metric) and draw(st.booleans())
    ):
        seconds = draw(st.integers(5, 86_400))
    return Condition(
        name=draw(NAMES),
        metric=metric.name,
        operator=draw(st.sampled_from(condition.operators(metric))),
        kind=metric.value,
        statistic=statistic,
        value=None if statistic else draw(_values(metric)),
        duration_seconds=seconds,
        datapoints_to_alarm=draw(st.integers(1, 10)),
        datapoints_to_clear=draw(st.integers(1, 10)),
        suppress_alerts=draw(st.booleans()),
        exports=draw(st.sampled_from([None, True, False])),
    )


def _values(metric: Metric) -> st.SearchStrategy[Any]:
    if metric.value in LIST_KINDS:
        return st.lists(ELEMENTS[metric.value], min_size=1, max_size=4).map(tuple)
    return st.integers(0, 10_000)


@given(conditions())
def test_a_condition_survives_being_stored(made: Condition) -> None:
    """Condition → behaviour → condition is the identity, and every condition the form can make is valid."""
    behavior = to_behavior(made)
    assert profiles.validate([behavior]) == []
    assert from_behavior(behavior) == made


@given(conditions(), st.sampled_from([0.0, 10.0]))
def test_reading_and_storing_again_changes_nothing(made: Condition, margin: float) -> None:
    """What the kernel runs is the same after the form has read and stored a behaviour with its defaults left out."""
    behavior = to_behavior(made)
    for member in ("consecutiveDatapointsToAlarm", "consecutiveDatapointsToClear"):
        if behavior["criteria"][member] == 1:
            del behavior["criteria"][member]
    again = to_behavior(from_behavior(behavior))
    assert profiles.parse("p", [again], margin) == profiles.parse("p", [behavior], margin)


@given(conditions(), st.lists(st.integers(0, 10_000), min_size=3, max_size=8), st.sampled_from([0, 10, 25]))
def test_it_alarms_when_the_form_says_so(made: Condition, values: list[int], margin: int) -> None:
    """The kernel's own evaluation alarms exactly where the words on the form do."""
    (behavior,) = profiles.parse("p", [to_behavior(made)], margin)
    criterion = behavior.criterion
    if isinstance(criterion, SetCriterion) or not isinstance(made.operator, Operator):
        return
    judged = criteria.judge(criterion, np.array(values, np.float64))
    assert judged is not None
    for index, value in enumerate(values):
        bound = float(judged.limits.values[index])
        if judged.limits.sums is not None:
            others = values[:index] + values[index + 1 :]
            value, bound = value * len(others), float(sum(others))
        sign = 1 if made.operator in (Operator.GREATER_THAN, Operator.GREATER_THAN_EQUALS) else -1
        widening = 0 if made.statistic is None else sign * margin
        assert judged.violating[index] == ALARMS[made.operator](value * 100, bound * (100 + widening))


@given(conditions())
def test_sets_alarm_on_what_the_form_names(made: Condition) -> None:
    """The operator "in the set" alarms on an element of the set, "not in the set" on none of them."""
    (behavior,) = profiles.parse("p", [to_behavior(made)])
    if isinstance(behavior.criterion, SetCriterion):
        members = [str(one).split("/")[0] if isinstance(one, str) else one for one in behavior.criterion.elements]
        offending = bool(offenders(behavior.criterion, tuple(members)))
        assert offending == (not made.operator.startswith("not-"))


@given(conditions())
def test_every_operator_turns_round_and_back(made: Condition) -> None:
    """The complement of the complement is the operator itself, and both are never the same."""
    turned = condition.complement(made.operator)
    assert turned != made.operator
    assert condition.complement(turned) == made.operator


@given(conditions(), st.sampled_from([0.0, 10.0]))
def test_both_sentences_can_be_said(made: Condition, margin: float) -> None:
    """Every condition has its alarm sentence and the sentence of what is stored."""
    assert condition.alarm_sentence(made, margin).startswith("Alarm when ")
    assert condition.complement(made.operator) in condition.normal_sentence(made)


def test_a_figure_a_minute_is_scaled() -> None:
    """1000 in a minute are 5000 in five, and counts stay whole."""
    assert condition.over_duration(1000, 300) == 5000
    assert condition.over_duration(1, 90) == 2


def test_elements_are_read_from_lines_and_commas() -> None:
    """Elements stand below or beside one another; what is no number is kept, for the API to refuse."""
    assert condition.elements("443, 8883\n\nssh", ValueKind.PORTS) == (443, 8883, "ssh")
    assert condition.elements("1.5\n2", ValueKind.NUMBERS) == (1.5, 2.0)
    assert condition.elements("10.0.0.0/8\n192.0.2.1", ValueKind.CIDRS) == ("10.0.0.0/8", "192.0.2.1")


@given(st.lists(conditions(), max_size=4, unique_by=lambda one: one.name), st.sampled_from([0.0, 10.0]))
def test_a_profile_that_is_not_changed_needs_no_step(made: list[Condition], margin: float) -> None:
    """A draft read from what was stored of it is the same, and storing it again does nothing."""
    draft = Draft("p", "words", made, margin, "topic", "role", ["aws:num-messages-sent"], targets=["arn:all/things"])
    tags = {tag["Key"]: tag["Value"] for tag in draft.document()["tags"]}
    stored = draft_of({**draft.document(), "version": 1}, tags, draft.targets)
    assert stored.conditions == made
    assert list(stored.changes(stored, "arn")) == []
    if not tags:
        assert stored.margin_percent == 0
