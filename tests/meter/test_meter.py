"""The meter: what a tick hands over is what happened in it, and nothing is remembered without bound."""

from __future__ import annotations

import gc
from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward.meter.batch import TICK_MILLIS
from fleetward.meter.meter import MAX_TOPIC_LENGTH, MAX_TOPICS, Meter
from fleetward.meter.metrics import (
    AUTHORIZATION_FAILURES,
    CONNECTION_ATTEMPTS,
    DISCONNECTS,
    MESSAGE_SIZE,
    MESSAGES_RECEIVED,
    MESSAGES_SENT,
)

HOUR = 3_600_000

calls = st.one_of(
    st.tuples(st.just("published"), st.sampled_from(("a", "b", "c")), st.integers(1, 5000)),
    st.tuples(st.just("received"), st.just("a"), st.integers(1, 5000)),
    st.tuples(st.just("denied"), st.just("a")),
    st.tuples(st.sampled_from(("attempted", "connected", "disconnected"))),
)
ticks = st.lists(st.lists(st.tuples(st.integers(1, 3), calls), max_size=20), max_size=5)


def cells_of(batch) -> dict:
    return {
        (metric, device): row
        for (metric, _), cells in batch.cells.items()
        for device, *row in zip(
            *(c.tolist() for c in (cells.device, cells.count, cells.total, cells.minimum, cells.maximum)), strict=True
        )
    }


@settings(max_examples=100)
@given(ticks)
def test_a_batch_holds_what_happened_in_its_tick(ticks):
    """Every metric of every device counts exactly the calls since the last flush, and only touched devices appear."""
    meter = Meter("gateway", 0)
    devices = {id: meter.device(id, f"name-{id}") for id in (1, 2, 3)}
    counters = {
        "received": MESSAGES_RECEIVED,
        "denied": AUTHORIZATION_FAILURES,
        "attempted": CONNECTION_ATTEMPTS,
        "disconnected": DISCONNECTS,
    }
    mentioned: set[int] = set()
    for number, tick in enumerate(ticks):
        expected, topics, sessions = defaultdict(list), defaultdict(lambda: [0, 0]), defaultdict(list)
        for id, (name, *arguments) in tick:
            getattr(devices[id], name)(*arguments)
            if name == "published":
                expected[MESSAGE_SIZE, id].append(arguments[1])
                expected[MESSAGES_SENT, id].append(1)
                topics[id, arguments[0]][0] += 1
                topics[id, arguments[0]][1] += arguments[1]
            elif name in counters:
                expected[counters[name], id].append(1)
            if name in ("connected", "disconnected"):
                sessions[name].append(id)
        batch = meter.flush((number + 1) * TICK_MILLIS)
        touched = {id for id, _ in tick}
        assert (batch.sequence, batch.start, batch.end) == (number, number * TICK_MILLIS, (number + 1) * TICK_MILLIS)
        assert cells_of(batch) == {key: [len(v), sum(v), min(v), max(v)] for key, v in expected.items()}
        assert sorted(batch.connected.tolist()) == sorted(sessions["connected"])
        assert sorted(batch.disconnected.tolist()) == sorted(sessions["disconnected"])
        assert dict(batch.names) == {id: f"name-{id}" for id in touched - mentioned}
        assert topics_of(batch) == {key: tuple(v) for key, v in topics.items()}
        mentioned |= touched


def topics_of(batch) -> dict:
    if batch.topics is None:
        return {}
    cells = batch.topics
    columns = (cells.device, cells.topic, cells.messages, cells.bytes)
    return {
        (device, cells.topics[topic]): (messages, size)
        for device, topic, messages, size in zip(*(column.tolist() for column in columns), strict=True)
    }


def test_invented_topics_take_no_more_than_eight_counters():
    """A device that invents topics keeps 8 counters a tick; the heavy topic among them is not lost (Space-Saving)."""
    meter = Meter("gateway", 0)
    device = meter.device(1, "a")
    for number in range(1_000):
        device.published(f"invented/{number}", 10)
        device.published("heavy", 100)
    topics = topics_of(meter.flush(250))
    assert len(topics) == MAX_TOPICS
    assert topics[1, "heavy"] == (1_000, 100_000)
    assert sum(size for _, size in topics.values()) == 110_000


def test_long_topics_are_cut():
    """No more than the first characters of a topic are kept."""
    meter = Meter("gateway", 0)
    meter.device(1, "a").published("x" * 60_000, 60_000)
    [(_, topic)] = topics_of(meter.flush(250))
    assert topic == "x" * MAX_TOPIC_LENGTH


def test_denied_topics_contribute_nothing():
    """A denied publish is an authorization failure, not a contribution to what was sent."""
    meter = Meter("gateway", 0)
    meter.device(1, "a").denied("secret")
    batch = meter.flush(250)
    assert batch.topics is None
    assert batch.cells.keys() == {(AUTHORIZATION_FAILURES, "")}


def test_an_unheld_device_meter_is_dropped_but_what_it_counted_is_not():
    """Refused CONNECTs leave one row with their counts in the batch, and nothing in the meter after it."""
    meter = Meter("gateway", 0)
    for _ in range(3):
        meter.device(1, "a").attempted()
    assert cells_of(meter.flush(250)) == {(CONNECTION_ATTEMPTS, 1): [3, 3, 1, 1]}
    gc.collect()
    assert len(meter._devices) == 0
    held = meter.device(1, "a")
    meter.flush(500)
    assert meter.device(1, "a") is held


def test_a_name_comes_again_after_a_day_of_silence():
    """The memory of what was mentioned is bounded: an id that was idle for a day is named anew."""
    meter = Meter("gateway", 0)
    device = meter.device(1, "a")
    device.attempted()
    assert dict(meter.flush(250).names) == {1: "a"}
    device.attempted()
    assert dict(meter.flush(500).names) == {}
    meter.flush(13 * HOUR)
    meter.flush(26 * HOUR)
    device.attempted()
    assert dict(meter.flush(26 * HOUR + 250).names) == {1: "a"}
