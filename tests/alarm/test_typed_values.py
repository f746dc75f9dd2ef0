"""Alarms on lists, numbers, averages and dimensions: their values on the wire and in words."""

from __future__ import annotations

import json

import pytest

from fleetward.alarm import message, words
from fleetward.detect import profiles
from fleetward.detect.outcome import Progress
from fleetward.model import AlarmEvent, AlarmKind, Behavior, Explanation, Value, ValueKind

TIME = 1_573_786_800_000


def behavior(metric: str, operator: str, value: dict[str, object] | None = None, **more: object) -> Behavior:
    criteria: dict[str, object] = {"comparisonOperator": operator, **more}
    if value is not None:
        criteria["value"] = value
    dimension = criteria.pop("metricDimension", None)
    form = {"name": "B", "metric": metric, "criteria": criteria, "metricDimension": dimension}
    (parsed,) = profiles.parse("P", [form])
    return parsed


PORTS = behavior("aws:listening-tcp-ports", "in-port-set", {"ports": [22, 443]})
CIDRS = behavior("aws:source-ip-address", "not-in-cidr-set", {"cidrs": ["203.0.113.0/24"]})
NUMBER = behavior("temperature", "less-than", {"number": 2.5})
STRINGS = behavior("firmware", "in-set", {"strings": ["1.0"]})
NUMBERS = behavior("codes", "in-set", {"numbers": [1, 2]})
AVERAGE = behavior(
    "aws:num-messages-sent",
    "less-than-equals",
    durationSeconds=300,
    statisticalThreshold={"statistic": "Average"},
    metricDimension={"dimensionName": "Doors", "operator": "NOT_IN"},
)


def event(of: Behavior, value: Value, threshold: float | tuple, **more: object) -> AlarmEvent:
    why = Explanation(of.metric, value, of.criterion.operator, threshold, "", TIME - 300_000, TIME, **more)
    return AlarmEvent(AlarmKind.IN_ALARM, "1f" * 16, "dev", of, TIME, value, why)


@pytest.mark.parametrize(
    ("of", "value", "shown"),
    [
        (PORTS, (23, 8080), {"ports": [23, 8080]}),
        (CIDRS, ("203.0.113.9",), {"cidrs": ["203.0.113.9"]}),
        (NUMBER, 3.25, {"number": 3.25}),
        (STRINGS, ("evil\n",), {"strings": ["evil?"]}),
        (NUMBERS, (3.0,), {"numbers": [3.0]}),
        (AVERAGE, 60, {"count": 60}),
    ],
)
def test_the_value_has_the_member_of_its_metric(of: Behavior, value: Value, shown: dict[str, object]) -> None:
    """An alert's metricValue, and a further datapoint's, populate exactly the member that the metric has."""
    threshold = of.criterion.elements if hasattr(of.criterion, "elements") else 1
    told = json.loads(message.alert(message.told(event(of, value, threshold)), "{}"))
    assert told["metricValue"] == shown
    kind = ValueKind(next(iter(shown)))
    assert message.progress_value(Progress("id", value, TIME, kind)) == shown


def test_a_long_list_is_cut() -> None:
    """A device cannot make an alert larger than SNS takes."""
    strings = tuple(f"{number}" + "x" * 5_000 for number in range(1_000))
    assert len(message.alert(message.told(event(STRINGS, strings, ("1.0",))), "{}")) < 60_000


@pytest.mark.parametrize(
    ("of", "alarm", "normal"),
    [
        (
            PORTS,
            "Alarm when Listening TCP ports has an element outside 22, 443",
            "Normal is Listening TCP ports only in 22, 443 (API: in-port-set 22, 443)",
        ),
        (
            CIDRS,
            "Alarm when Source IP has an element among 203.0.113.0/24",
            "Normal is Source IP never among 203.0.113.0/24 (API: not-in-cidr-set 203.0.113.0/24)",
        ),
        (
            NUMBER,
            "Alarm when temperature in a report is at least 2.5",
            "Normal is temperature in a report less than 2.5 (API: less-than 2.5)",
        ),
        (
            AVERAGE,
            "Alarm when Messages sent outside Doors over 5 minutes is greater than the average of all other devices",
            "Normal is Messages sent outside Doors over 5 minutes at most the average of all other devices"
            " (API: less-than-equals Average)",
        ),
        (
            behavior("aws:disconnect-duration", "less-than", {"count": 30}),
            "Alarm when Disconnect duration is at least 30 minutes",
            "Normal is Disconnect duration less than 30 minutes (API: less-than 30)",
        ),
    ],
)
def test_behaviours_in_words(of: Behavior, alarm: str, normal: str) -> None:
    """Both sentences for lists, custom numbers, averages and dimensions."""
    assert words.alarm_condition(of) == alarm
    assert words.expected_behavior(of) == normal


def test_verdicts_in_words() -> None:
    """A verdict on a list names the elements and the set, one on an average the mean of the others."""
    assert words.why(event(PORTS, (23,), (22, 443)).explanation) == "23 against in-port-set 22, 443"
    why = event(AVERAGE, 60, 15.0, statistic="Average", population=2).explanation
    assert words.why(why) == "60 against the average of 2 other devices = 15"
