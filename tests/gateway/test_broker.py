"""The broker core by the standard: delivery and retained messages; both ends in one process."""

from __future__ import annotations

import pytest
from both_ends import VERSIONS, World, packet_ids

from fleetward.gateway.limits import Limits
from fleetward.gateway.packets import (
    V5,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Reason,
    Subscription,
    Unsuback,
    Unsubscribe,
)

pytestmark = pytest.mark.usefixtures("permissive")

# --- delivery ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("published", [0, 1, 2])
def test_lower_qos_of_two_wins(world: World, version: int, granted: int, published: int) -> None:
    """A message is delivered at the lower of its own QoS and the granted one (§3.8.4)."""
    receiver = world.online("receiver", version=version)
    assert receiver.subscribe("t", qos=granted) == (granted,)
    world.online("sender", version=version).publish("t", b"hello", published)
    packet = receiver.got_one(Publish)
    assert (packet.payload, packet.qos, packet.retain) == (b"hello", min(granted, published), False)


def test_qos2_is_delivered_once(world: World) -> None:
    """A QoS 2 PUBLISH that comes again before PUBREL is acknowledged and not delivered again (§4.3.3)."""
    receiver, sender = world.online("receiver"), world.online("sender")
    receiver.subscribe("t", qos=0)
    sender.publish("t", qos=2, packet_id=7)
    sender.publish("t", qos=2, packet_id=7)
    assert [packet.packet_id for packet in sender.got(Pubrec)] == [7, 7]
    assert len(receiver.messages()) == 1
    sender.send(Pubrel(7))
    assert sender.got_one(Pubcomp).packet_id == 7
    sender.publish("t", qos=2, packet_id=7)
    assert len(receiver.messages()) == 1


def test_outbound_qos2_handshake(world: World) -> None:
    """PUBREC is answered with PUBREL, and PUBCOMP ends it; an unknown id is answered too (§4.3.3)."""
    receiver = world.online("receiver", version=V5)
    receiver.subscribe("t", qos=2)
    world.online("sender").publish("t", qos=2)
    (packet_id,) = packet_ids(receiver)
    receiver.send(Pubrec(packet_id))
    assert receiver.got_one(Pubrel) == Pubrel(packet_id)
    receiver.send(Pubcomp(packet_id), Pubrec(packet_id))
    assert receiver.got_one(Pubrel).reason == Reason.PACKET_IDENTIFIER_NOT_FOUND
    receiver.send(Pubrel(99))
    assert receiver.got_one(Pubcomp).reason == Reason.PACKET_IDENTIFIER_NOT_FOUND


def test_overlapping_filters_deliver_once(world: World) -> None:
    """A session gets a message once, at the highest QoS of its matching filters [MQTT-3.3.5-1]."""
    receiver = world.online("receiver")
    receiver.subscribe("a/#", qos=0)
    receiver.subscribe("a/b", qos=1)
    world.online("sender").publish("a/b", qos=2)
    assert receiver.got_one(Publish).qos == 1


def test_unsubscribe_ends_delivery(world: World) -> None:
    """After UNSUBACK nothing more is delivered for the filter (§3.10.4)."""
    receiver, sender = world.online("receiver", version=V5), world.online("sender")
    receiver.subscribe("t")
    receiver.send(Unsubscribe(9, ("t", "never")))
    assert receiver.got_one(Unsuback).reasons == (0, Reason.NO_SUBSCRIPTION_EXISTED)
    sender.publish("t")
    assert receiver.messages() == []


def test_ping(world: World) -> None:
    """PINGREQ is answered [MQTT-3.12.4-1]."""
    device = world.online("device")
    device.send(Pingreq())
    assert device.got_one(Pingresp)


# --- retained ---------------------------------------------------------------------------------------------------------


def test_retained(world: World) -> None:
    """A retained message goes to later subscribers with RETAIN set, and an empty one removes it (§3.3.1.3)."""
    sender, early = world.online("sender"), world.online("early")
    early.subscribe("r/#")
    sender.publish("r/1", b"old", qos=1, retain=True)
    sender.publish("r/1", b"new", qos=1, retain=True)
    sender.publish("r/2", b"two", retain=True)
    assert [packet.retain for packet in early.got(Publish)] == [False] * 3
    late = world.online("late")
    late.subscribe("r/+")
    got = late.got(Publish)
    assert sorted((packet.topic, packet.payload, packet.qos) for packet in got) == [
        ("r/1", b"new", 1),
        ("r/2", b"two", 0),
    ]
    assert all(packet.retain for packet in got)
    sender.publish("r/1", b"", retain=True)
    assert early.messages()[-1] == ("r/1", b"")
    last = world.online("last")
    last.subscribe("r/1", "r/2")
    assert last.messages() == [("r/2", b"two")]


def test_many_retained_are_served_in_shares(world: World) -> None:
    """A subscription to everything gets all retained messages, over several turns of the loop."""
    sender = world.online("sender")
    for i in range(300):
        sender.publish(f"r/{i}", b"x", retain=True)
    late = world.online("late")
    late.subscribe("#")
    assert len(late.messages()) == 300


def test_retained_keep_to_the_window(world: World) -> None:
    """Retained messages of QoS 1 come as the client acknowledges them: more than the queue holds, and none is lost."""
    world = World(Limits(inflight=3, queued_messages=5))
    world.permissive()
    sender = world.online("sender")
    for i in range(50):
        sender.publish(f"r/{i}", b"x", qos=1, retain=True)
    late = world.online("late")
    late.subscribe("#")
    topics = []
    while packets := late.got(Publish):
        assert len(packets) <= 3
        for packet in packets:
            topics.append(packet.topic)
            late.send(Puback(packet.packet_id))
    assert sorted(topics) == sorted(f"r/{i}" for i in range(50))


def test_retain_handling_and_as_published(world: World) -> None:
    """MQTT 5 subscribers choose when they get retained messages and whether RETAIN is shown (§3.8.3.1)."""
    sender = world.online("sender")
    sender.publish("r", b"kept", retain=True)
    device = world.online("device", version=V5)
    device.subscribe(Subscription("r", retain_handling=2))
    assert device.messages() == []
    device.subscribe(Subscription("r", retain_handling=1))
    assert device.messages() == []
    device.subscribe(Subscription("r", retain_handling=0, retain_as_published=True))
    assert device.messages() == [("r", b"kept")]
    sender.publish("r", b"again", retain=True)
    assert device.got_one(Publish).retain
