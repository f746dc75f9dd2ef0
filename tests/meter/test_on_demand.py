"""What is counted only while it is asked for: dimensions, addresses, Fleetward's own metrics."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward.gateway.topics import matches
from fleetward.meter import metrics
from fleetward.meter.batch import Batch, unregistered_id
from fleetward.meter.meter import Meter
from fleetward.meter.on_demand import MAX_ITEMS, network_of
from fleetward.model import Demand

OWN = ("devices/${iot:ClientId}/#",)


def rows(batch: Batch, metric: str, dimension: str = "") -> dict[int, tuple[int, ...]]:
    cells = batch.cells.get((metric, dimension))
    if cells is None:
        return {}
    columns = (cells.count, cells.total, cells.minimum, cells.maximum)
    return {
        device: row
        for device, *values in zip(cells.device.tolist(), *(c.tolist() for c in columns), strict=True)
        for row in [tuple(values)]
    }


def demanding(*columns: tuple[str, str], **filters: tuple[str, ...]) -> Meter:
    meter = Meter("gateway", 0)
    folded = {f"{operator}:{name}": texts for name, texts in filters.items() for operator in ("IN", "NOT_IN")}
    meter.meet(Demand(frozenset(columns), {key: folded[key] for _, key in columns if key}))
    return meter


topics = st.lists(st.sampled_from(("a", "b", "dev", "+", "")), min_size=1, max_size=3).map("/".join)
names = topics.filter(lambda topic: topic and "+" not in topic)


@settings(max_examples=80)
@given(
    st.lists(topics.filter(bool), min_size=1, max_size=3), st.lists(st.tuples(names, st.integers(1, 50)), max_size=15)
)
def test_a_dimension_and_its_opposite_share_the_messages(filters, sent):
    """IN counts what matches any filter, NOT_IN the rest; together they are all, and sizes follow the same split."""
    size = metrics.MESSAGE_SIZE
    meter = demanding((size, "IN:D"), (size, "NOT_IN:D"), D=tuple(filters))
    device = meter.device(1, "dev")
    for topic, number in sent:
        device.published(topic, number)
    batch = meter.flush(250)
    inside = [number for topic, number in sent if any(matches(text, topic) for text in filters)]
    outside = [number for topic, number in sent if not any(matches(text, topic) for text in filters)]
    for dimension, numbers in (("IN:D", inside), ("NOT_IN:D", outside)):
        expected = {1: (len(numbers), sum(numbers), min(numbers), max(numbers))} if numbers else {}
        assert rows(batch, size, dimension) == expected


def test_the_client_id_in_a_filter_is_that_of_the_device():
    """`${iot:ClientId}` stands for the device's own id; one with wildcards or levels in it stands for none."""
    meter = demanding((metrics.MESSAGES_SENT, "IN:Own"), Own=OWN)
    for number, name in enumerate(("a", "b", "+", "a/x"), start=1):
        meter.device(number, name).published("devices/a/x", 1)
    assert rows(meter.flush(250), metrics.MESSAGES_SENT, "IN:Own") == {1: (1, 1, 1, 1)}


def test_received_and_denied_are_told_apart_by_topic():
    """Deliveries and denials count in the dimensions of their topics; a denial about no topic in none."""
    columns = [(metrics.MESSAGES_RECEIVED, "IN:D"), (metrics.AUTHORIZATION_FAILURES, "NOT_IN:D")]
    meter = demanding(*columns, D=("doors/#",))
    device = meter.device(1, "a")
    device.received("doors/1", 5)
    device.received("lamps/1", 5)
    for topic in ("doors/1", "lamps/1", ""):
        device.denied(topic)
    batch = meter.flush(250)
    assert rows(batch, *columns[0]) == rows(batch, *columns[1]) == {1: (1, 1, 1, 1)}


def test_source_addresses_by_connection_and_by_topic():
    """Addresses are those of connections; with a dimension those of connections that published on its topics."""
    meter = demanding((metrics.SOURCE_IP, ""), (metrics.SOURCE_IP, "IN:D"), D=("doors/#",))
    device = meter.device(1, "a")
    device.connected("192.0.2.1")
    device.connected("198.51.100.2")
    device.published("lamps/1", 5)
    device.published("doors/1", 5)
    batch = meter.flush(250)
    assert batch.cells[metrics.SOURCE_IP, ""].items == [("192.0.2.1", "198.51.100.2")]
    assert batch.cells[metrics.SOURCE_IP, "IN:D"].items == [("198.51.100.2",)]


@pytest.mark.parametrize(
    ("metric", "act"),
    [
        (metrics.SILENCE, lambda device: device.spoke()),
        (metrics.SILENCE, lambda device: device.published("t", 1)),
        (metrics.UNDELIVERABLE, lambda device: device.undelivered()),
        (metrics.IDLE_CONNECTIONS, lambda device: device.idled()),
        (metrics.TOPICS_TRIED, lambda device: device.tried("t")),
        (metrics.TOPICS_TRIED, lambda device: device.published("t", 1)),
        (metrics.CLIENT_IDS, lambda device: device.identified("c")),
        (metrics.NEW_NETWORK, lambda device: device.connected("192.0.2.1")),
        (metrics.SOURCE_IP, lambda device: device.connected("192.0.2.1")),
    ],
)
def test_nothing_is_counted_unasked(metric, act):
    """Each of them is in the batch when it is asked for, with the device's name, and else not."""
    for meter in (demanding((metric, "")), Meter("gateway", 0), demanding((metrics.SOURCE_IP, "IN:D"), D=("x",))):
        act(meter.device(7, "seven"))
        batch = meter.flush(250)
        asked = meter.on_demand is not None and meter.on_demand.wants(metric)
        assert ((metric, "") in batch.cells) == asked
        assert not asked or batch.names == {7: "seven"}


def test_topics_without_end_take_no_memory_without_end():
    """A device that tries ever new topics is remembered with so many per tick, in digests of one size."""
    meter = demanding((metrics.TOPICS_TRIED, ""))
    device = meter.device(1, "a")
    for number in range(3 * MAX_ITEMS):
        device.tried(f"{number}/" + "x" * 500)
    [items] = meter.flush(250).cells[metrics.TOPICS_TRIED, ""].items
    assert len(items) == MAX_ITEMS
    assert {len(item) for item in items} == {16}


def test_networks():
    """/24 for IPv4, in IPv6 clothes or not, /48 for IPv6."""
    assert network_of("192.0.2.77") == network_of("::ffff:192.0.2.1") == "192.0.2.0/24"
    assert network_of("2001:db8:1:2::3") == "2001:db8:1::/48"
    assert network_of("nonsense") == ""


def test_certificates_are_devices_of_their_own():
    """Client ids count under the certificate's id, never under the thing that is named."""
    meter = demanding((metrics.CLIENT_IDS, ""))
    id = unregistered_id("c" * 64)
    for client_id in ("a", "b", "a"):
        meter.device(id, "c" * 64).identified(client_id)
    batch = meter.flush(250)
    assert [len(items) for items in batch.cells[metrics.CLIENT_IDS, ""].items] == [2]
    assert batch.names == {id: "c" * 64}
