"""Back-test: what it foretells is what detection would have done, and what it cannot know it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_house import AT_MOST_1000, LARGE, LARGE_10, SMALL, House, behavior

from fleetward.detect.backtest import Backtest, backtest, unreplayable
from fleetward.detect.inputs import Enroll, Report, Target, WatchedProfile
from fleetward.detect.kernel import Kernel
from fleetward.meter.batch import unregistered_id
from fleetward.model import (
    AlarmEvent,
    AverageCriterion,
    Behavior,
    Operator,
    SetCriterion,
    SetOperator,
    StaticCriterion,
    ValueKind,
)
from fleetward.store.history import History
from fleetward.store.past import PastInputs, extremes

SENT, RECEIVED, FAILURES = "aws:num-messages-sent", "aws:num-messages-received", "aws:num-authorization-failures"
START = 3_600_000 * 1000
AT_LEAST_3 = StaticCriterion(Operator.GREATER_THAN_EQUALS, 3)
BEHAVIORS = (
    behavior(LARGE),
    behavior(LARGE_10, datapoints_to_alarm=2, datapoints_to_clear=2),
    behavior(SMALL),
    behavior(AT_MOST_1000),
    behavior(AT_LEAST_3, SENT),
    behavior(StaticCriterion(Operator.LESS_THAN, 4), SENT, 600),
    behavior(AverageCriterion(Operator.LESS_THAN_EQUALS, 20.0), SENT),
    behavior(StaticCriterion(Operator.LESS_THAN_EQUALS, 0), FAILURES, 600),
)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History.open(tmp_path / "history.duckdb")
    yield made
    made.close()


def live(history: History, watched: Behavior, seed: int, windows: int) -> list[AlarmEvent]:
    """A day in the life of three things; every window goes into the history."""
    chance = Random(seed)
    house = House(watched, now=START, strict=chance.random() < 0.5)
    for id, name in enumerate("abc", 1):
        house.enroll(id, name)
    devices = [house.device(name) for name in "abc"]
    for device in devices:
        if chance.random() < 0.7:
            device.connected()
    for _ in range(windows * 3):
        for device in devices:
            for _ in range(chance.randrange(3)):
                device.published("t", chance.choice((20, 26, 27, 900, 1_001, 3_000)))
            if chance.random() < 0.1:
                device.denied("t")
            if chance.random() < 0.05:
                device.connected() if chance.random() < 0.5 else device.disconnected()
        house.now += 100_000
        house.feed(house.meter.flush(house.now))
    for rows in house.windows:
        history.append(rows)
    return house.events


def replayed(history: History, watched: Behavior, ids: dict[str, int], until: int) -> Backtest:
    profile = WatchedProfile("DetectLargeMessageSize", (watched,), targets=(Target("all"),))
    past = PastInputs(history, {watched.column}, ids, {watched.duration_seconds or 300}, START, until)
    things = [Enroll(START, id, name) for name, id in ids.items() if id > 0]
    return backtest(profile, things, past, START, until, past.kept, isolates=True)


def told(events: list[AlarmEvent] | tuple[AlarmEvent, ...]) -> list[tuple[str, str, int, str]]:
    """(thing, behaviour, window, event type), which live and replay agree on."""
    return sorted(
        (event.thing, event.behavior.name, event.explanation.window_start, event.kind.value)
        for event in events
        if event.explanation is not None
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.sampled_from(BEHAVIORS), st.sampled_from((2, 4, 8, 12)))
def test_live_and_replay_agree(tmp_path_factory: pytest.TempPathFactory, seed: int, watched: Behavior, n: int) -> None:
    """Replaying what was stored gives the events that were raised live: device, behaviour, window and kind.

    Of whole windows: what was decided early in a window that has not ended is not in the history yet.
    """
    history = History.open(tmp_path_factory.mktemp("live") / "history.duckdb")
    events = live(history, watched, seed, n)
    found = replayed(history, watched, {"a": 1, "b": 2, "c": 3}, START + n * 300_000)
    history.close()
    assert not found.left_out or not events
    assert told(found.events) == told(events)


def compromised(history: History, windows: int = 6) -> None:
    """The story: two healthy windows, then SensorDevice02 sends 3,000 characters."""
    house = House(behavior(LARGE_10), now=START)
    house.enroll(1, "SensorDevice01")
    house.enroll(2, "SensorDevice02")
    for number in range(windows):
        for name in ("SensorDevice01", "SensorDevice02", "stranger"):
            size = 3_021 if number >= 2 and name == "SensorDevice02" else 26
            for _ in range(30):
                house.device(name).published("t", size)
        house.now += 300_000
        house.feed(house.meter.flush(house.now - 299_999))
        house.feed(house.meter.flush(house.now))
    for rows in house.windows:
        history.append(rows)


STORY_IDS = {"SensorDevice01": 1, "SensorDevice02": 2, "stranger": unregistered_id("stranger")}


def test_the_story_in_hindsight(history: History) -> None:
    """The back-test names SensorDevice02 and nobody else, from when it would have been isolated, and why."""
    compromised(history)
    found = replayed(history, behavior(LARGE_10), STORY_IDS, START + 6 * 300_000)
    (device,) = found.devices
    assert (device.name, device.isolated_at, device.alarms) == ("SensorDevice02", START + 3 * 300_000, 1)
    assert device.first.explanation is not None
    assert (device.first.value, device.first.explanation.threshold) == (30 * 3_021, 30 * 26)
    assert found.exit_code == 1


def test_nobody_alarms(history: History) -> None:
    """A profile that would have raised nothing has no devices, and exit code 0."""
    compromised(history, windows=2)
    found = replayed(history, behavior(LARGE_10), STORY_IDS, START + 2 * 300_000)
    assert (found.devices, found.left_out, found.exit_code) == ((), {}, 0)


@pytest.mark.parametrize(
    ("watched", "reason"),
    [
        (behavior(StaticCriterion(Operator.LESS_THAN, 1), "aws:disconnect-duration", 60), "connections"),
        (behavior(AT_MOST_1000, seconds=10), "300 s"),
        (behavior(AT_MOST_1000, "aws:all-bytes-out"), "no value"),
        (behavior(LARGE, dimension="IN:doors"), "IN:doors"),
    ],
)
def test_what_the_history_cannot_tell(history: History, watched: Behavior, reason: str) -> None:
    """A behaviour that cannot be replayed is left out, with the reason; the exit code says so."""
    compromised(history)
    found = replayed(history, watched, STORY_IDS, START + 6 * 300_000)
    assert reason in found.left_out["Size"]
    assert (found.devices, found.exit_code) == ((), 2)


def test_counters_of_different_things_do_not_add_up() -> None:
    """Distinct topics of two windows may be the same ones, so that longer windows cannot be made of them."""
    topics = behavior(AT_LEAST_3, "fleetward:topics-tried", 600)
    assert unreplayable([topics], {topics.column: {300}})
    assert not unreplayable([topics], {topics.column: {600}})


def test_reports_are_replayed(history: History) -> None:
    """Values of reports come back one by one: sets, and custom numbers, in the order in which they came."""
    ports = SetCriterion(SetOperator.IN_PORT_SET, (22, 80))
    hot = StaticCriterion(Operator.LESS_THAN, 50.0)
    listening = Behavior("DetectLargeMessageSize", "Size", "aws:listening-tcp-ports", ports, 0, value=ValueKind.PORTS)
    warm = Behavior("DetectLargeMessageSize", "Size", "temperature", hot, 0, value=ValueKind.NUMBER)
    for watched, values in ((listening, ((22,), (22, 4444), (80,))), (warm, (20.5, 70.25, 30.0))):
        house = House(watched, now=START)
        house.enroll(1, "a")
        for number, value in enumerate(values):
            house.feed(house.meter.flush(house.now))
            outcome = house.kernel.feed(Report(house.now + 1, 1, "a", number, {watched.metric: value}))
            house.events += outcome.events
            history.append_data(outcome.data)
            house.now += 300_000
        assert len(house.events) == 2
        found = replayed(history, watched, {"a": 1}, START + 1_200_000)
        assert [(e.thing, e.kind, e.value, e.time) for e in found.events] == [
            (e.thing, e.kind, e.value, e.time) for e in house.events
        ]


def test_extremes_for_lint(history: History) -> None:
    """Lint learns from the history how often a static bound was broken."""
    compromised(history)
    past = extremes(history, behavior(AT_MOST_1000), START, START + 6 * 300_000)
    assert past is not None
    assert (past.minimum, past.maximum, past.flagged) == (26, 3_021, 4)
    assert past.datapoints == 18
    assert extremes(history, behavior(LARGE), START, START + 1) is None
    assert extremes(history, behavior(AT_MOST_1000), 0, 1) is None


def test_the_kernel_is_the_live_one() -> None:
    """There is one kernel: the back-test has no detection of its own."""
    assert backtest.__globals__["Kernel"] is Kernel
