"""What MQTT 5 adds; both ends in one process."""

from __future__ import annotations

import pytest
from both_ends import World

from fleetward.gateway.limits import Limits
from fleetward.gateway.packets import (
    V5,
    V311,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Puback,
    Publish,
    Reason,
    Subscribe,
    Subscription,
)

pytestmark = pytest.mark.usefixtures("permissive")


def test_connack_says_what_we_can(world: World) -> None:
    """CONNACK tells what the client cannot assume, and an id that was assigned (§3.2.2.3)."""
    device = world.device(version=V5)
    connack = device.connect("", session_expiry_interval=0xFFFF_FFFF)
    assert connack is not None
    said = dict(connack.properties)
    assert str(said.pop("assigned_client_identifier")).startswith("auto-")
    assert said == {
        "receive_maximum": world.limits.receive_maximum,
        "maximum_packet_size": world.limits.packet,
        "topic_alias_maximum": 0,
        "shared_subscription_available": 0,
        "session_expiry_interval": world.limits.session_expiry,
    }


def test_properties_travel_with_the_message(world: World) -> None:
    """The properties that belong to a message reach every receiver, unchanged (§3.3.2.3)."""
    receiver = world.online("receiver", version=V5)
    receiver.subscribe("t", subscription_identifier=7)
    sent = {
        "content_type": "text/plain",
        "response_topic": "answers",
        "correlation_data": b"1",
        "user_property": (("a", "1"), ("a", "2")),
        "payload_format_indicator": 1,
    }
    world.online("sender", version=V5).publish("t", **sent)
    assert receiver.got_one(Publish).properties == sent | {"subscription_identifier": (7,)}
    old = world.online("old", version=V311)
    old.subscribe("t")
    world.online("sender", version=V5).publish("t", **sent)
    assert old.messages() == [("t", b"x")]


def test_message_expiry(world: World) -> None:
    """A queued message is delivered with what is left of its life, and not at all after it [MQTT-3.3.2-5..6]."""
    options = {"session_expiry_interval": 1000}
    receiver = world.online("receiver", version=V5, **options)
    receiver.subscribe("t", qos=1)
    receiver.lose()
    sender = world.online("sender", version=V5)
    sender.publish("t", b"short", qos=1, message_expiry_interval=5)
    sender.publish("t", b"long", qos=1, message_expiry_interval=60)
    world.pass_time(10_000)
    receiver = world.online("receiver", version=V5, clean=False, **options)
    packet = receiver.got_one(Publish)
    assert (packet.payload, packet.properties) == (b"long", {"message_expiry_interval": 50})


def test_no_local(world: World) -> None:
    """A subscription with no local does not get what its own client publishes [MQTT-3.8.3-3]."""
    device = world.online("device", version=V5)
    device.subscribe(Subscription("t", no_local=True))
    device.publish("t")
    assert device.messages() == []
    world.online("other").publish("t")
    assert device.messages() == [("t", b"x")]


def test_maximum_packet_size(world: World) -> None:
    """What is larger than the client takes is not sent, and does not stay in the way [MQTT-3.1.2-24..25]."""
    receiver = world.online("receiver", version=V5, maximum_packet_size=30)
    receiver.subscribe("t", qos=1)
    sender = world.online("sender")
    sender.publish("t", b"x" * 100, qos=1)
    sender.publish("t", b"small", qos=1)
    assert receiver.messages() == [("t", b"small")]


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (Publish("", b"", properties={"topic_alias": 1}), Reason.TOPIC_ALIAS_INVALID),
        (Publish("t", b"", properties={"subscription_identifier": (1,)}), Reason.PROTOCOL_ERROR),
        (Publish("t", b"x" * 2000), Reason.PACKET_TOO_LARGE),
        (Publish("a/" * 20, b""), Reason.TOPIC_NAME_INVALID),
        (Connack(), Reason.PROTOCOL_ERROR),
        (Connect("device", V5), Reason.PROTOCOL_ERROR),
        (Subscribe(1, tuple(Subscription(f"t{i}") for i in range(9))), Reason.QUOTA_EXCEEDED),
    ],
)
def test_violations_are_told(packet: Packet, reason: int) -> None:
    """MQTT 5 is told why its connection is closed (§4.13.1)."""
    world = World(Limits(payload=1000, topic_levels=8, filters_per_subscribe=8))
    world.permissive()
    device = world.online("device", version=V5)
    device.send(packet)
    assert device.closed
    assert device.got_one(Disconnect).reason == reason
    assert world.outbox.presences[-1].reason == "CLIENT_ERROR"


def test_subscribe_refusals(world: World) -> None:
    """A filter that cannot be granted is refused in its place, and the others are granted (§3.9.3)."""
    device = world.online("device", version=V5)
    assert device.subscribe("ok", "a/#/b", "$share/group/t", qos=1) == (
        1,
        Reason.TOPIC_FILTER_INVALID,
        Reason.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
    )
    assert world.online("old").subscribe("ok", "a/#/b") == (1, 0x80)


def test_subscriptions_are_bounded() -> None:
    """A session has so many filters of so many bytes; what is over it is refused, replacing one is not."""
    world = World(Limits(subscriptions=2, subscription_bytes=10))
    world.permissive()
    device = world.online("device", version=V5)
    assert device.subscribe("a", "b", "c", "a") == (1, 1, Reason.QUOTA_EXCEEDED, 1)
    assert world.online("second", version=V5).subscribe("123456", "12345") == (1, Reason.QUOTA_EXCEEDED)


def test_retained_quota() -> None:
    """No room for a retained message is never acknowledged as success: MQTT 5 is told, 3.1.1 is closed."""
    world = World(Limits(retained_messages=1))
    world.permissive()
    device = world.online("device", version=V5)
    device.publish("a", qos=1, retain=True)
    device.publish("b", qos=1, retain=True)
    assert [packet.reason for packet in device.got(Puback)] == [Reason.NO_MATCHING_SUBSCRIBERS, Reason.QUOTA_EXCEEDED]
    old = world.online("old")
    old.publish("b", qos=1, retain=True)
    assert old.closed
    assert old.got(Puback) == []
