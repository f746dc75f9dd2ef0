"""The kernel's rules one by one: presence, coverage, identities, gaps, edits, history rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from kernel_house import AT_MOST_1000, LARGE_10, House, behavior

from fleetward.detect.inputs import Target
from fleetward.detect.percentile import others_percentile
from fleetward.detect.topics import KEPT, TopicLog
from fleetward.meter.batch import TopicCells, unregistered_id
from fleetward.meter.meter import Meter
from fleetward.meter.metrics import CONNECTION_ATTEMPTS, MESSAGE_SIZE, MESSAGES_SENT
from fleetward.model import AlarmKind, Operator, StaticCriterion

AT_LEAST_1 = StaticCriterion(Operator.GREATER_THAN_EQUALS, 1)
AT_MOST_3 = StaticCriterion(Operator.LESS_THAN_EQUALS, 3)


def kinds(events) -> list[tuple[str, str]]:
    return [(event.kind.value, event.thing) for event in events]


def test_a_connected_idle_device_sent_nothing():
    """A counter is 0 for a device that was connected at any time in the window, and has no value for any other."""
    house = House(behavior(AT_LEAST_1, MESSAGES_SENT, 10))
    for id, name in enumerate(("stays", "leaves", "absent"), start=1):
        house.enroll(id, name)
    house.device("stays").connected()
    house.device("leaves").connected()
    house.wait(1)
    house.device("leaves").disconnected()
    assert kinds(house.wait(9)) == [("in-alarm", "stays"), ("in-alarm", "leaves")]
    house.wait(10)
    assert [progress.violation_id for progress in house.progress] == [house.events[0].violation_id]


def test_a_refused_device_has_only_what_was_observed_of_it():
    """A device that was never connected has a value for its attempts, and none for what it sent."""
    house = House(behavior(AT_LEAST_1, MESSAGES_SENT, 10), behavior(AT_MOST_3, CONNECTION_ATTEMPTS, 10))
    house.enroll(1, "refused")
    house.device("refused").attempted()
    assert house.wait(10) == []
    rows = {metric: row.has.any() for window in house.windows for metric, row in window.metrics.items()}
    assert rows[CONNECTION_ATTEMPTS]


def test_a_new_gateway_run_has_no_sessions_yet():
    """The sessions of a gateway run end with it: its devices are not idle afterwards but away."""
    house = House(behavior(AT_LEAST_1, MESSAGES_SENT, 10))
    house.enroll(1, "a")
    house.device("a").connected()
    house.send("a", 1)
    house.wait(10)
    house.now += 1_000
    house.meter = Meter("another run", house.now)
    house.wait(9)
    house.wait(10)
    assert house.events == []


def test_a_counter_bound_counts_from_the_attachment():
    """In the window in which a profile is attached, only what comes after counts, and only early (design 3.7)."""
    house = House()
    house.enroll(1, "a")
    house.send("a", 1, times=3)
    house.wait(5)
    house.watch(behavior(AT_MOST_3, MESSAGES_SENT, 10))
    house.send("a", 1, times=3)
    assert house.wait(1) == []
    house.send("a", 1)
    [event] = house.wait(1)
    assert (event.value, event.explanation.early) == (4, True)


def test_the_window_of_the_attachment_is_not_judged_at_its_end():
    """A percentile needs whole windows: the first one judged starts at or after the attachment."""
    house = House()
    house.enroll(1, "a")
    house.enroll(2, "b")
    house.wait(1)
    house.watch(behavior(LARGE_10, seconds=10))
    for expected in ([], [("in-alarm", "b")]):
        house.send("a", 1)
        house.send("b", 500)
        assert kinds(house.wait(10 - house.now % 10_000 / 1000)) == expected


def test_the_first_window_of_the_server_is_a_gap():
    """A kernel that starts in the middle of a window does not judge it by a percentile, nor by a lower bound."""
    house = House(behavior(AT_LEAST_1, MESSAGES_SENT, 10), now=10_000)
    house.now = 13_000
    house.meter = Meter("gateway", 13_000)
    house.enroll(1, "a")
    house.device("a").connected()
    assert house.wait(7) == []
    assert kinds(house.wait(10)) == [("in-alarm", "a")]


def test_a_violation_seen_through_a_gap_counts_but_conforming_does_not():
    """Missing observations only lower a value: a bound broken despite a gap is broken, one kept proves nothing."""
    house = House(behavior(AT_MOST_3, MESSAGES_SENT, 10), strict=True)
    house.enroll(1, "a")
    house.send("a", 1, times=5)
    assert kinds(house.wait(10)) == [("in-alarm", "a")]
    house.send("a", 1)
    house.wait(1)
    house.now += 3_000
    house.meter = Meter("after the restart", house.now)
    house.devices.clear()
    house.enroll(1, "a")
    assert house.wait(6) == [], "one message in a window with a hole clears nothing"
    house.send("a", 1)
    assert kinds(house.wait(10)) == [("alarm-cleared", "a")]


def test_a_name_that_becomes_a_thing_is_a_second_identity():
    """An unregistered name and the thing registered under it later are judged apart, with ids of their own."""
    house = House(behavior(AT_MOST_1000, seconds=10))
    house.send("twin", 2000)
    [first] = house.wait(1)
    house.devices.clear()
    house.enroll(7, "twin")
    house.send("twin", 2000)
    [second] = house.wait(1)
    assert first.thing == second.thing == "twin"
    assert first.violation_id != second.violation_id


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Target("all"), {"thing", "member", "stranger"}),
        (Target("registered"), {"thing", "member"}),
        (Target("unregistered"), {"stranger"}),
        (Target("group", "fleet"), {"member"}),
    ],
)
def test_targets_cover_what_they_say(target, expected):
    """Each kind of target covers exactly its devices."""
    house = House(behavior(AT_MOST_1000), target=target)
    house.enroll(1, "thing")
    house.enroll(2, "member", "fleet", "everything")
    for name in ("thing", "member", "stranger"):
        house.send(name, 2000)
    assert {event.thing for event in house.wait(1)} == expected


def test_a_thing_observed_before_it_was_enrolled_is_judged_after():
    """What comes under a registered id that is not enrolled yet is kept, and judged once it is."""
    house = House(behavior(AT_MOST_1000, seconds=10))
    early = house.devices["early"] = house.meter.device(5, "early")
    house.send("early", 2000)
    assert house.wait(1) == []
    house.enroll(5, "early")
    early.published("t", 2000)
    assert kinds(house.wait(1)) == [("in-alarm", "early")]


def alarmed() -> House:
    house = House(behavior(AT_MOST_1000), target=Target("group", "fleet"))
    house.enroll(1, "a", "fleet")
    house.send("a", 2000)
    house.wait(1)
    assert kinds(house.events) == [("in-alarm", "a")]
    return house


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda house: house.watch(), "deleted"),
        (lambda house: house.watch(replace(behavior(AT_MOST_1000), name="Other")), "removed"),
        (lambda house: house.watch(behavior(AT_MOST_3)), "changed"),
        (lambda house: house.enroll(1, "a", "others"), "no longer covers"),
        (lambda house: house.withdraw(1), "deregistered"),
        (lambda house: house.release("a"), "released"),
    ],
)
def test_what_invalidates_says_so(act, reason):
    """A violation whose ground is gone ends as invalidated, with a reason in plain words."""
    house = alarmed()
    [event] = act(house)
    assert (event.kind, event.violation_id) == (AlarmKind.INVALIDATED, house.events[0].violation_id)
    assert reason in event.reason
    assert (event.value, event.explanation) == (None, None)


def test_silencing_a_behaviour_keeps_its_violations_open():
    """A change of suppressAlerts alone ends nothing, and later events carry the new behaviour."""
    house = alarmed()
    silent = behavior(AT_MOST_1000, suppress_alerts=True)
    assert house.watch(silent, target=Target("group", "fleet")) == []
    assert house.release("a")[0].behavior == silent


def test_another_margin_keeps_violations_open():
    """A change of the margin alone ends nothing: the next datapoint is judged by the new one."""
    house = House(behavior(replace(LARGE_10, margin_percent=0.0), seconds=10, datapoints_to_clear=1))
    for name, size in (("a", 100), ("b", 105)):
        house.send(name, size)
    house.wait(10)
    for name, size in (("a", 100), ("b", 105)):
        house.send(name, size)
    house.wait(10)
    assert kinds(house.events) == [("in-alarm", "b")]
    assert house.watch(behavior(LARGE_10, seconds=10, datapoints_to_clear=1)) == []
    for name, size in (("a", 100), ("b", 105)):
        house.send(name, size)
    assert kinds(house.wait(10)) == [("alarm-cleared", "b")]


def test_history_rows_hold_every_metric_on_its_grid():
    """Each metric goes to the history at its shortest duration in use, every other one per 300 s."""
    house = House(behavior(LARGE_10, seconds=10))
    house.enroll(1, "a")
    house.device("a").connected()
    house.send("a", 79, times=2, topic="t")
    house.wait(10)
    house.wait(290)
    short = house.windows[0]
    assert (short.start, short.duration_seconds, short.names, set(short.metrics)) == (0, 10, ("a",), {MESSAGE_SIZE})
    row = short.metrics[MESSAGE_SIZE]
    assert [int(x[0]) for x in (row.count, row.total, row.minimum, row.maximum)] == [2, 160, 80, 80]
    long = house.windows[-1]
    assert (long.duration_seconds, long.metrics.keys() >= {MESSAGES_SENT, CONNECTION_ATTEMPTS}) == (300, True)
    assert (int(long.metrics[MESSAGES_SENT].total[0]), bool(long.metrics[CONNECTION_ATTEMPTS].has[0])) == (2, True)


def test_idle_strangers_are_forgotten_and_come_back_by_name():
    """The slot of an unregistered name that did nothing for two days is used again; its name arrives anew."""
    house = House(behavior(AT_MOST_1000))
    house.send("stranger", 1)
    house.wait(1)
    for _ in range(60):
        house.wait(3600)
    assert house.kernel._state.slots.slot(unregistered_id("stranger")) is None
    house.send("stranger", 2000)
    assert kinds(house.wait(1)) == [("in-alarm", "stranger")]


def test_a_batch_that_was_taken_is_not_taken_again():
    """The same batch twice counts once."""
    house = House(behavior(AT_MOST_3, MESSAGES_SENT, 10))
    house.send("a", 1, times=3)
    batch = house.meter.flush(1_000)
    assert house.feed(batch) == house.feed(batch) == []


@pytest.mark.parametrize(("hundredths", "expected"), [(0, 10), (5000, 20), (9000, 40), (10000, 40)])
def test_percentiles_are_nearest_rank_over_the_others(hundredths, expected):
    """The device with 50 is compared with the percentile of 10, 20, 30 and 40."""
    found = others_percentile(np.array([10, 20, 50, 30, 40]), hundredths)
    assert found.values[2] == expected
    assert found.population == 4


def test_a_device_alone_has_no_percentile():
    """Without another reporting device there is nothing to compare with, so no datapoint (B.2)."""
    assert others_percentile(np.array([10]), 5000) is None


def test_topics_stay_bounded_and_keep_the_largest():
    """However many topics a device invents, the log stays bounded and still names the largest one."""
    log = TopicLog()
    zeros = np.zeros(20_000, dtype=np.int64)
    for turn in range(10):
        names = ("heavy", *(f"invented-{turn}-{number}" for number in range(len(zeros) - 1)))
        sizes = np.full(len(zeros), 10)
        sizes[0] = 50
        log.add(zeros, TopicCells(names, zeros, np.arange(len(zeros)), zeros + 1, sizes))
    assert log._length < 200_000
    assert len(log._names) < 200_000
    top = log.top(np.array([0]))[0]
    assert (len(top), top[0][0]) == (KEPT, "heavy")
