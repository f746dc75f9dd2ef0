"""The sentences people read about behaviours and alarms."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetward.alarm import words
from fleetward.model import (
    AlarmEvent,
    AlarmKind,
    Behavior,
    Explanation,
    Operator,
    PercentileCriterion,
    StaticCriterion,
)

SIZE, SENT = "aws:message-byte-size", "aws:num-messages-sent"
P50 = PercentileCriterion(Operator.LESS_THAN_EQUALS, 5000, 10.0)
STORY = Behavior("DetectLargeMessageSize", "LargeMessageSize", SIZE, P50, 300, 1, 2)
WHY = Explanation(
    metric=SIZE,
    value=30_210,
    operator="less-than-equals",
    threshold=260.0,
    unit="bytes",
    window_start=1_573_786_500_000,
    window_end=1_573_786_800_000,
    statistic="p50",
    rank=1,
    population=1,
    margin_percent=10.0,
    topics=(("temperature-device-02", 30_210, 10),),
)
ALARM = AlarmEvent(
    AlarmKind.IN_ALARM, "37e18651d207bbc74236c13faf146127", "SensorDevice02", STORY, 1_573_786_800_000, 30_210, WHY
)


def behavior(criterion: StaticCriterion | PercentileCriterion, metric: str = SENT, **changes: int) -> Behavior:
    return dataclasses.replace(Behavior("P", "B", metric, criterion, 300), **changes)


@pytest.mark.parametrize(
    ("subject", "alarm", "normal"),
    [
        (
            STORY,
            "Alarm when Message size over 5 minutes is greater than p50 of all other devices by more than 10 %",
            "Normal is Message size over 5 minutes at most p50 of all other devices (API: less-than-equals p50)",
        ),
        (
            behavior(PercentileCriterion(Operator.GREATER_THAN, 9999), datapoints_to_alarm=3),
            "Alarm when Messages sent over 5 minutes is at most p99.99 of all other devices, 3 times in a row",
            "Normal is Messages sent over 5 minutes greater than p99.99 of all other devices "
            "(API: greater-than p99.99)",
        ),
        (
            behavior(StaticCriterion(Operator.LESS_THAN_EQUALS, 1000), SIZE),
            "Alarm when Message size of a single message is greater than 1,000 B",
            "Normal is Message size of a single message at most 1,000 B (API: less-than-equals 1000)",
        ),
        (
            behavior(StaticCriterion(Operator.LESS_THAN, 1), duration_seconds=90),
            "Alarm when Messages sent over 90 seconds is at least 1 message",
            "Normal is Messages sent over 90 seconds less than 1 message (API: less-than 1)",
        ),
        (
            behavior(StaticCriterion(Operator.GREATER_THAN_EQUALS, 2), duration_seconds=3600),
            "Alarm when Messages sent over 1 hour is less than 2 messages",
            "Normal is Messages sent over 1 hour at least 2 messages (API: greater-than-equals 2)",
        ),
    ],
)
def test_both_sentences(subject: Behavior, alarm: str, normal: str) -> None:
    """A behaviour is told twice: the alarm condition is the complement of the normal that the API keeps."""
    assert (words.alarm_condition(subject), words.expected_behavior(subject)) == (alarm, normal)


def test_complements_pair_up() -> None:
    """The complement of a complement is the operator itself, and the two never hold together."""
    compare = {
        Operator.LESS_THAN: int.__lt__,
        Operator.LESS_THAN_EQUALS: int.__le__,
        Operator.GREATER_THAN: int.__gt__,
        Operator.GREATER_THAN_EQUALS: int.__ge__,
    }
    for operator, complement in words.COMPLEMENT.items():
        assert words.COMPLEMENT[complement] == operator
        assert all(compare[operator](value, 1) != compare[complement](value, 1) for value in (0, 1, 2))


@pytest.mark.parametrize(
    ("explanation", "sentence"),
    [
        (WHY, "30,210 B against the p50 of 1 other device = 260 B, margin 10 %"),
        (
            dataclasses.replace(WHY, population=19, margin_percent=0.0, unit="messages", value=1, threshold=1.0),
            "1 message against the p50 of 19 other devices = 1 message",
        ),
        (
            dataclasses.replace(WHY, statistic=None, rank=None, population=None, value=3021, threshold=1000),
            "3,021 B in a single message against the bound of 1,000 B",
        ),
        (
            dataclasses.replace(WHY, metric=SENT, statistic=None, value=54, threshold=10, unit="messages"),
            "54 messages against the bound of 10 messages",
        ),
    ],
)
def test_why(explanation: Explanation, sentence: str) -> None:
    """A verdict is told in one line: the value, what it was compared with, and the margin if there was one."""
    assert words.why(explanation) == sentence


def test_email() -> None:
    """The e-mail of an alert says what happened and why, what is expected, and where it came from."""
    assert words.email_subject(ALARM) == "ALARM: SensorDevice02 violates LargeMessageSize"
    assert words.email_text(ALARM) == (
        "SensorDevice02 is in alarm.\n"
        "\n"
        "Why:             30,210 B against the p50 of 1 other device = 260 B, margin 10 %\n"
        "Alarm condition: Message size over 5 minutes is greater than p50 of all other devices by more than 10 %\n"
        "Expected:        Message size over 5 minutes at most p50 of all other devices (API: less-than-equals p50)\n"
        "Clears after:    2 normal datapoints in a row\n"
        "Profile:         DetectLargeMessageSize\n"
        "Behavior:        LargeMessageSize\n"
        "Thing:           SensorDevice02\n"
        "Violation:       37e18651d207bbc74236c13faf146127\n"
        "Time:            2019-11-15 03:00:00 UTC\n"
        "\n"
        "Window: 2019-11-15 02:55:00 UTC to 2019-11-15 03:00:00 UTC\n"
        "Published to:\n"
        "  temperature-device-02: 30,210 B in 10 messages\n"
    )


def test_email_of_an_invalidation() -> None:
    """An alarm that ends without being cleared says why in its e-mail."""
    ended = dataclasses.replace(
        ALARM, kind=AlarmKind.INVALIDATED, value=None, explanation=None, reason="SensorDevice02 was released"
    )
    text = words.email_text(ended)
    assert text.startswith("The alarm of SensorDevice02 has ended without being cleared.\n")
    assert "Why:             SensorDevice02 was released\n" in text


@given(st.text(min_size=1, max_size=300), st.text(max_size=300))
def test_devices_do_not_write_our_mails(thing: str, topic: str) -> None:
    """Names and topics that devices chose can neither break a line nor fill a mail or an SNS subject."""
    event = dataclasses.replace(ALARM, thing=thing, explanation=dataclasses.replace(WHY, topics=((topic, 1, 1),)))
    subject, text = words.email_subject(event), words.email_text(event)
    assert len(subject) < 100
    assert subject.isprintable()
    assert len(text.splitlines()) == len(words.email_text(ALARM).splitlines())
    assert len(text) < 2_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5, "5 seconds"),
        (60, "1 minute"),
        (300, "5 minutes"),
        (5400, "90 minutes"),
        (86_400, "1 day"),
        (61, "61 seconds"),
    ],
)
def test_span(seconds: int, text: str) -> None:
    """A duration is told in its largest whole unit."""
    assert words.span(seconds) == text


def test_standing() -> None:
    """An open violation of an isolated thing says so: nothing more will arrive to clear it."""
    assert (words.standing(True), words.standing(False)) == ("in alarm, isolated", "in alarm")
