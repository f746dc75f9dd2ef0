"""Time and congestion: who is waited for, and how long."""

from __future__ import annotations

import pytest
from both_ends import VERSIONS, World

from fleetward.gateway.codec import encode
from fleetward.gateway.packets import (
    V5,
    V311,
    Connect,
    Disconnect,
    Pingreq,
    Publish,
    Reason,
)

pytestmark = pytest.mark.usefixtures("permissive")


@pytest.mark.parametrize("version", VERSIONS)
def test_keep_alive(world: World, version: int) -> None:
    """A client that is silent for one and a half keep-alives is closed, one that speaks is not [MQTT-3.1.2-22]."""
    silent = world.online("silent", version=version, keep_alive=10)
    speaking = world.online("speaking", version=version, keep_alive=10)
    for _ in range(3):
        world.pass_time(9_000)
        speaking.send(Pingreq())
    assert silent.closed
    assert not speaking.closed
    assert [packet.reason for packet in silent.got(Disconnect)] == [Reason.KEEP_ALIVE_TIMEOUT] * (version == V5)
    assert world.outbox.presences[-1].reason == "MQTT_KEEP_ALIVE_TIMEOUT"


def test_connect_must_come_in_time(world: World) -> None:
    """A connection without CONNECT is closed after ten seconds, whatever else it sends in pieces."""
    device = world.device()
    data = encode(Connect("device"), V311)
    for byte in data[:-1]:
        device.feed(bytes([byte]))
    world.pass_time(9_000)
    assert not device.closed
    world.pass_time(2_000)
    assert device.closed


def test_half_a_packet_is_not_waited_for_for_ever(world: World) -> None:
    """A packet of which only the beginning comes ends the connection, even without a keep-alive."""
    device = world.online("device")
    data = encode(Publish("t", b"x" * 1000), V311)
    for i in range(100):
        device.feed(data[i : i + 1])
        world.pass_time(1_000)
    assert not device.closed
    world.pass_time(60_000)
    assert device.closed


def test_congested_subscriber(world: World) -> None:
    """A subscriber that does not read loses QoS 0 and has QoS 1 kept; when it stays stuck it is closed."""
    receiver, other, sender = world.online("receiver"), world.online("other"), world.online("sender")
    for device in (receiver, other):
        device.subscribe("t", qos=1)
    receiver.congested = True
    receiver.client.congestion(world.now)
    sender.publish("t", b"lost", qos=0)
    sender.publish("t", b"kept", qos=1)
    assert other.messages() == [("t", b"lost"), ("t", b"kept")]
    receiver.congested = False
    receiver.wake()
    assert receiver.messages() == [("t", b"kept")]
    receiver.congested = True
    receiver.client.congestion(world.now)
    world.pass_time(62_000)
    assert receiver.closed


def test_a_burst_of_packets_is_handled_in_shares(world: World) -> None:
    """Many packets in one piece are all handled, over several turns, while reading pauses."""
    receiver, sender = world.online("receiver"), world.online("sender")
    receiver.subscribe("t", qos=0)
    data = encode(Publish("t", b"x"), V311) * 1000
    sender.client.receive(data, world.now)
    assert not sender.reading
    assert 0 < len(receiver.messages()) < 1000
    sender.turn()
    assert sender.reading
