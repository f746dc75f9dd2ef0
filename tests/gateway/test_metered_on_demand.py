"""What the gateway counts of real packets while a profile asks for it."""

from __future__ import annotations

from both_ends import World, policy

from fleetward.gateway.packets import V5, Pingreq
from fleetward.meter import metrics
from fleetward.meter.batch import Cells
from fleetward.model import Demand

OWN = ("fleetward:", "aws:source-ip-address")


def watched(*asked: str, **filters: tuple[str, ...]) -> World:
    world = World()
    world.permissive(things=("a", "b"))
    world.thing("a")
    world.thing("b")
    columns = {(metric, dimension) for metric in asked for dimension in (filters or ("",))}
    world.meter.meet(Demand(frozenset(columns), filters))
    return world


def cells(world: World, metric: str, dimension: str = "") -> Cells | None:
    return world.meter.flush(world.now).cells.get((metric, dimension))


def totals(world: World, metric: str, dimension: str = "") -> list[int]:
    found = cells(world, metric, dimension)
    return [] if found is None else found.total.tolist()


def test_topics_tried_are_those_asked_for_whatever_the_answer() -> None:
    """Publishing and subscribing count, allowed or denied, each topic once; what is received does not."""
    world = watched(metrics.TOPICS_TRIED)
    world.policy("some", policy(("Allow", ["iot:Connect", "iot:Publish", "iot:Subscribe"], ["client/*", "topic/x"])))
    world.certificate("narrow", "some")
    device = world.online("stranger", "narrow", version=V5)
    for topic in ("x", "x", "secret"):
        device.publish(topic, qos=1)
    device.subscribe("hidden/#")
    assert len(world.meter.flush(world.now).cells[metrics.TOPICS_TRIED, ""].items[0]) == 3


def test_messages_without_a_reader_are_undeliverable() -> None:
    """A publish that matches no subscription counts, one that reaches somebody does not."""
    world = watched(metrics.UNDELIVERABLE)
    reader, sender = world.online("a"), world.online("b")
    reader.subscribe("read")
    for topic in ("read", "unread", "unread"):
        sender.publish(topic)
    assert totals(world, metrics.UNDELIVERABLE) == [2]


def test_connections_that_end_without_a_word() -> None:
    """A connection that sent nothing but CONNECT is idle; one that published, or pinged, is not."""
    world = watched(metrics.IDLE_CONNECTIONS)
    world.online("a").lose()
    assert totals(world, metrics.IDLE_CONNECTIONS) == [1]
    talker = world.online("a")
    talker.publish("t")
    talker.lose()
    assert totals(world, metrics.IDLE_CONNECTIONS) == []


def test_pings_are_silence() -> None:
    """PINGREQ does not count as something said, SUBSCRIBE and PUBLISH do."""
    world = watched(metrics.SILENCE)
    device = world.online("a")
    world.meter.flush(world.now)
    device.send(Pingreq())
    assert cells(world, metrics.SILENCE) is None
    device.subscribe("t")
    assert cells(world, metrics.SILENCE) is not None


def test_client_ids_count_under_the_certificate() -> None:
    """Each client id that a certificate shows counts under the certificate's id, not under the thing it names."""
    world = watched(metrics.CLIENT_IDS)
    for client_id in ("a", "b", "a"):
        world.online(client_id)
    batch = world.meter.flush(world.now)
    [items] = batch.cells[metrics.CLIENT_IDS, ""].items
    assert len(items) == 2
    assert batch.names[int(batch.cells[metrics.CLIENT_IDS, ""].device[0])] == "cert"


def test_source_addresses_are_those_of_sessions() -> None:
    """The address of a session that began is counted for its device."""
    world = watched(metrics.SOURCE_IP)
    world.online("a")
    found = cells(world, metrics.SOURCE_IP)
    assert found is not None
    assert len(found.items[0]) == 1


def test_a_dimension_sees_the_client_id() -> None:
    """With `${iot:ClientId}` a device's own topics are told from those of others."""
    world = watched(metrics.MESSAGES_SENT, **{"NOT_IN:Own": ("devices/${iot:ClientId}/#",)})
    device = world.online("a")
    device.publish("devices/a/state")
    assert totals(world, metrics.MESSAGES_SENT, "NOT_IN:Own") == []
    device.publish("devices/b/state")
    assert totals(world, metrics.MESSAGES_SENT, "NOT_IN:Own") == [1]


def test_nothing_more_is_counted_unasked() -> None:
    """Without a demand a batch holds the basic metrics only."""
    world = watched()
    device = world.online("a")
    device.publish("t")
    assert {metric for metric, _ in world.meter.flush(world.now).cells} <= set(metrics.BASIC)
