"""The story's numbers, windows and verdicts: the acceptance oracle."""

from __future__ import annotations

from random import Random

import pytest
from kernel_house import AT_MOST_1000, LARGE, LARGE_10, SMALL, House, behavior

from fleetward.model import AlarmKind

START = 1_573_786_800_000
ONE, TWO = "SensorDevice01", "SensorDevice02"


def story(criterion, **more) -> House:
    house = House(behavior(criterion, datapoints_to_clear=2), now=START, **more)
    house.enroll(1, ONE)
    house.enroll(2, TWO)
    return house


def window(house: House, one: int = 5, two: int = 5, times: int = 30, seconds: int = 300) -> list:
    """One window: each sensor sends `times` payloads of that many bytes."""
    before = len(house.events)
    house.send(ONE, one, times)
    house.send(TWO, two, times)
    house.wait(seconds)
    return house.events[before:]


def test_only_the_large_sender_alarms():
    """With a margin of 10 % the compromised sensor alarms at the boundary with its sum, its twin does not."""
    house = story(LARGE_10)
    assert window(house) == window(house) == []
    [event] = window(house, two=3000)
    assert (event.kind, event.thing, event.value) == (AlarmKind.IN_ALARM, TWO, 90_630)
    assert event.time == START + 900_000
    assert len(event.violation_id) == 32
    assert set(event.violation_id) <= set("0123456789abcdef")


def test_the_explanation_says_why():
    """An alarm carries value, threshold, rank, population, margin, window and the topics that contributed."""
    house = story(LARGE_10)
    [event] = window(house, two=3000)
    why = event.explanation
    assert why is not None
    assert (why.value, why.threshold, why.statistic) == (90_630, 780.0, "p50")
    assert (why.rank, why.population, why.margin_percent, why.operator) == (1, 1, 10.0, "less-than-equals")
    assert (why.window_start, why.window_end, why.datapoints, why.early) == (START, START + 300_000, 1, False)
    assert why.topics == (("temperature-device-02", 90_630, 30),)
    assert why.unit == "bytes"


def test_the_literal_form_flags_the_small_sender():
    """`greater-than p50` describes normal as above the median, so it flags the innocent sensor, as on AWS (M1)."""
    [event] = window(story(SMALL), two=3000)
    assert (event.thing, event.value) == (ONE, 780)


def test_without_a_margin_one_byte_more_is_a_violation():
    """Sums of 780 and 779 with margin 0 flag the larger, equal sums flag nobody (N)."""
    house = story(LARGE)
    assert window(house) == []
    house.send(ONE, 5, 30)
    house.send(TWO, 5, 29)
    house.send(TWO, 4)
    [event] = house.wait(300)
    assert (event.thing, event.value, event.explanation.threshold) == (ONE, 780, 779.0)


def test_a_static_bound_decides_at_the_first_message():
    """`less-than-equals 1000` on message size alarms at the tick of the first large message, not at the boundary."""
    house = story(AT_MOST_1000)
    window(house)
    house.send(ONE, 5)
    house.send(TWO, 3000)
    [event] = house.wait(0.25)
    assert (event.thing, event.value, event.time) == (TWO, 3021, START + 300_250)
    assert event.explanation.early
    assert event.explanation.topics == (("temperature-device-02", 3021, 1),)
    house.send(TWO, 4000, 5)
    assert house.wait(299.75) == []
    assert house.progress == [], "the early decision was this window's only datapoint"


def test_a_strict_grid_decides_at_the_boundary():
    """With the strict grid the same alarm comes at the window's end, with the worst message as its value."""
    house = story(AT_MOST_1000, strict=True)
    house.send(TWO, 3000)
    house.send(TWO, 5)
    assert house.wait(0.25) == []
    [event] = house.wait(299.75)
    assert (event.value, event.time, event.explanation.early) == (3021, START + 300_000, False)


def test_an_isolated_device_stays_in_alarm_until_two_days_without_data():
    """Windows without data move no counter; after more than two days the violation is invalidated (B.3, M15)."""
    house = story(LARGE_10)
    [alarm] = window(house, two=3000)
    for _ in range(2 * 288):
        house.device(TWO).attempted()
        house.device(TWO).denied("")
        assert window(house, two=0, times=0) == []
    house.device(TWO).attempted()
    [event] = house.wait(300)
    assert (event.kind, event.violation_id, event.value) == (AlarmKind.INVALIDATED, alarm.violation_id, None)
    assert "two days" in event.reason
    assert event.time == START + 300_000 + 2 * 86_400_000 + 300_000


def test_conforming_datapoints_clear():
    """The alarm clears at the second consecutive conforming datapoint, under the id it was raised with."""
    house = story(LARGE_10)
    [alarm] = window(house, two=3000)
    assert window(house) == []
    [cleared] = window(house)
    assert (cleared.kind, cleared.violation_id, cleared.value) == (AlarmKind.CLEARED, alarm.violation_id, 780)
    assert cleared.explanation.datapoints == 2


def test_a_repeat_offence_after_release_alarms_anew():
    """A release ends the violation and forgets the open window; the next full window alarms under a new id (M15)."""
    house = story(LARGE_10)
    [alarm] = window(house, two=3000)
    house.wait(10)
    [ended] = house.release(TWO)
    assert (ended.kind, ended.violation_id) == (AlarmKind.INVALIDATED, alarm.violation_id)
    assert "released" in ended.reason
    assert window(house, two=3000, seconds=290) == [], "the window of the release is not judged"
    [again] = window(house, two=3000)
    assert again.kind is AlarmKind.IN_ALARM
    assert again.violation_id != alarm.violation_id


def test_a_released_device_does_not_pull_its_twin_into_alarm():
    """The half window of a released device is no measure for others: the innocent twin stays unflagged."""
    house = story(LARGE_10)
    window(house, two=3000)
    house.send(ONE, 5, 27)
    house.wait(270)
    house.release(TWO)
    assert window(house, times=3, seconds=30) == []


def test_an_early_repeat_in_the_window_of_the_release_gets_another_id():
    """A released device that crosses a static bound again in the same window alarms again, under another id."""
    house = story(AT_MOST_1000)
    house.send(TWO, 3000)
    [first] = house.wait(0.25)
    house.release(TWO)
    house.send(TWO, 3000)
    [second] = house.wait(0.25)
    assert (first.kind, second.kind) == (AlarmKind.IN_ALARM, AlarmKind.IN_ALARM)
    assert first.violation_id != second.violation_id


@pytest.mark.parametrize("seed", range(2))
def test_healthy_sensors_never_alarm_with_a_margin(seed):
    """Two sensors with the story's random payload cause no alarm in 2,000 windows when the margin is 10 %."""
    random = Random(seed)
    house = House(behavior(LARGE_10, seconds=10), now=START)
    house.enroll(1, ONE)
    house.enroll(2, TWO)
    for _ in range(2_000):
        for name in (ONE, TWO):
            for _ in range(10):
                house.send(name, len(str(round(random.uniform(15.1, 29.9), 2))))
        house.wait(10)
    assert house.events == []
    assert len(house.windows) > 2_000


def test_healthy_sensors_do_alarm_without_a_margin():
    """The same traffic without a margin flags a healthy sensor in most windows: why the margin exists (B.2)."""
    random = Random(7)
    house = House(behavior(LARGE, seconds=10), now=START)
    house.enroll(1, ONE)
    house.enroll(2, TWO)
    for _ in range(300):
        for name in (ONE, TWO):
            for _ in range(10):
                house.send(name, len(str(round(random.uniform(15.1, 29.9), 2))))
        house.wait(10)
    assert len(house.events) + len(house.progress) > 150
