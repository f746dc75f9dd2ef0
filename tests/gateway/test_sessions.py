"""Sessions and wills by the standard; both ends in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from both_ends import VERSIONS, World, packet_ids

from fleetward.gateway.durable import DurableFile
from fleetward.gateway.limits import Limits
from fleetward.gateway.packets import (
    V5,
    Connack,
    Disconnect,
    Puback,
    Publish,
    Pubrec,
    Pubrel,
    Reason,
    Will,
)

pytestmark = pytest.mark.usefixtures("permissive")

# --- sessions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_session_is_resumed(world: World, version: int) -> None:
    """A kept session brings its subscriptions and what was queued meanwhile, in order (§4.1)."""
    options: dict[str, Any] = {"session_expiry_interval": 100} if version == V5 else {}
    receiver = world.online("receiver", version=version, clean=False, **options)
    receiver.subscribe("t", qos=1)
    receiver.lose()
    sender = world.online("sender")
    for i in range(5):
        sender.publish("t", b"%d" % i, qos=1)
    sender.publish("t", b"not kept", qos=0)
    receiver = world.device(version=version)
    connack = receiver.connect("receiver", clean=False, **options)
    assert connack is not None
    assert connack.session_present
    assert [payload for _, payload in receiver.messages()] == [b"0", b"1", b"2", b"3", b"4"]


def test_unacknowledged_is_resent_with_dup(world: World) -> None:
    """What was not acknowledged is sent again with DUP under its old id, before anything new [MQTT-4.4.0-1]."""
    receiver = world.online("receiver", clean=False)
    receiver.subscribe("t", qos=2)
    sender = world.online("sender")
    for i in range(3):
        sender.publish("t", b"%d" % i, qos=2)
    first, second, third = packet_ids(receiver)
    receiver.send(Pubrec(second))
    receiver.got(Pubrel)
    receiver.lose()
    sender.publish("t", b"3", qos=2)
    receiver = world.online("receiver", clean=False)
    resent = receiver.got(Publish)
    assert [(packet.packet_id, packet.duplicate, packet.payload) for packet in resent[:2]] == [
        (first, True, b"0"),
        (third, True, b"2"),
    ]
    assert (resent[2].payload, resent[2].duplicate) == (b"3", False)
    assert receiver.got_one(Pubrel).packet_id == second


def test_clean_session_forgets(world: World) -> None:
    """Clean session discards what was there, and nothing of it survives [MQTT-3.1.2-6]."""
    device = world.online("device", clean=False)
    device.subscribe("t")
    device.lose()
    device = world.device()
    connack = device.connect("device", clean=True)
    assert connack == Connack(False, 0)
    world.online("sender").publish("t", qos=1)
    assert device.messages() == []
    device.lose()
    assert world.broker.session("device") is None


def test_session_expires(world: World) -> None:
    """A session ends when its expiry interval has passed since the connection closed [MQTT-3.1.2-23]."""
    device = world.online("device", version=V5, session_expiry_interval=10)
    device.lose()
    world.pass_time(8_000)
    assert world.broker.session("device")
    world.pass_time(4_000)
    assert world.broker.session("device") is None


def test_disconnect_may_change_the_expiry(world: World) -> None:
    """DISCONNECT may shorten a session's life, but a session that was not to last cannot be kept [MQTT-3.14.2-2]."""
    device = world.online("device", version=V5, session_expiry_interval=100)
    device.send(Disconnect(0, {"session_expiry_interval": 0}))
    assert world.broker.session("device") is None
    device = world.online("device", version=V5)
    device.send(Disconnect(0, {"session_expiry_interval": 100}))
    assert device.got_one(Disconnect).reason == Reason.PROTOCOL_ERROR


@pytest.mark.parametrize("version", VERSIONS)
def test_takeover(world: World, version: int) -> None:
    """A second connection with the client id wins; the first is told and closed, and its will sent [MQTT-3.1.4-3]."""
    watcher = world.online("watcher")
    watcher.subscribe("will")
    old = world.online("device", version=version, will=Will("will", b"gone"))
    new = world.online("device", version=version)
    assert old.closed
    assert not new.closed
    assert [packet.reason for packet in old.got(Disconnect)] == ([Reason.SESSION_TAKEN_OVER] if version == V5 else [])
    assert watcher.messages() == [("will", b"gone")]
    assert [(p.client_id, p.reason) for p in world.outbox.presences if p.reason] == [("device", "DUPLICATE_CLIENTID")]


def test_queue_is_bounded() -> None:
    """A session that is away keeps so many messages, the earliest; acknowledging makes room again."""
    world = World(Limits(queued_messages=3, inflight=2))
    world.permissive()
    receiver = world.online("receiver", clean=False)
    receiver.subscribe("t", qos=1)
    sender = world.online("sender")
    for i in range(10):
        sender.publish("t", b"%d" % i, qos=1)
    assert len(sender.got(Puback)) == 10
    packets = receiver.got(Publish)
    assert [packet.payload for packet in packets] == [b"0", b"1"]
    for packet in packets:
        receiver.send(Puback(packet.packet_id))
    assert [payload for _, payload in receiver.messages()] == [b"2", b"3"]


def test_one_certificate_does_not_take_all_the_room() -> None:
    """What waits for one certificate's sessions is bounded, so that another's messages are kept."""
    world = World(Limits(queued_bytes_per_certificate=1000, queued_bytes_total=1500))
    world.permissive()
    world.permissive("victim")
    for i in range(5):
        device = world.online(f"greedy{i}", clean=False)
        device.subscribe("big")
        device.lose()
    victim = world.online("victim", "victim", clean=False)
    victim.subscribe("small")
    victim.lose()
    sender = world.online("sender", "victim")
    for _ in range(10):
        sender.publish("big", b"x" * 90, qos=1)
    sender.publish("small", b"kept", qos=1)
    assert world.online("victim", "victim", clean=False).messages() == [("small", b"kept")]


def test_receive_maximum_is_kept(world: World) -> None:
    """No more unacknowledged messages are sent than the client takes, also when it resumes [MQTT-3.3.4-7]."""
    options = {"session_expiry_interval": 100}
    receiver = world.online("receiver", version=V5, receive_maximum=2, **options)
    receiver.subscribe("t", qos=1)
    sender = world.online("sender")
    for _ in range(5):
        sender.publish("t", qos=1)
    assert len(receiver.got(Publish)) == 2
    receiver.lose()
    receiver = world.online("receiver", version=V5, clean=False, receive_maximum=1, **options)
    (packet,) = receiver.got(Publish)
    for _ in range(4):
        receiver.send(Puback(packet.packet_id))
        (packet,) = receiver.got(Publish)
    receiver.send(Puback(packet.packet_id))
    assert receiver.got(Publish) == []


def test_ever_new_sessions_push_out_their_own(world: World) -> None:
    """A certificate that leaves many sessions behind loses its oldest; another's stay."""
    world = World(Limits(sessions_per_certificate=3))
    world.permissive()
    world.permissive("other")
    world.online("victim", "other", clean=False).lose()
    for i in range(5):
        world.online(f"device{i}", clean=False).lose()
    kept = [name for name in ("victim", *(f"device{i}" for i in range(5))) if world.broker.session(name)]
    assert kept == ["victim", "device2", "device3", "device4"]


def test_sessions_survive_a_restart(tmp_path: Path) -> None:
    """The durable file brings back what each side of QoS 2 knew, what was in flight and queued, and their order."""

    def restarted() -> World:
        world = World(durable=DurableFile.open(tmp_path / "gateway.db"))
        world.permissive()
        return world

    world = restarted()
    receiver = world.online("receiver", clean=False)
    receiver.subscribe("t/#", qos=2)
    sender = world.online("sender", clean=False)
    sender.publish("t/1", b"1", qos=2, packet_id=1, retain=True)
    sender.publish("t/2", b"2", qos=1, packet_id=2)
    first, _ = packet_ids(receiver)
    receiver.send(Pubrec(first))
    receiver.lose()
    sender.publish("t/3", b"3", qos=1, packet_id=3)
    world.durable.close()

    world = restarted()
    sender = world.online("sender", clean=False)
    sender.publish("t/1", b"1", qos=2, packet_id=1)  # not released before, so a duplicate
    sender.publish("t/4", b"4", qos=1, packet_id=4)
    world.durable.close()

    world = restarted()
    receiver = world.device()
    assert receiver.connect("receiver", clean=False) == Connack(True, 0)
    assert [(packet.payload, packet.duplicate) for packet in receiver.got(Publish)] == [
        (b"2", True),
        (b"3", False),
        (b"4", False),
    ]
    assert receiver.got_one(Pubrel).packet_id == first
    late = world.online("late")
    late.subscribe("t/+")
    assert late.messages() == [("t/1", b"1")]
    world.durable.close()


# --- wills ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_will(world: World, version: int) -> None:
    """A broken connection publishes the will, a DISCONNECT drops it [MQTT-3.1.2-8], [MQTT-3.1.2-10]."""
    watcher = world.online("watcher")
    watcher.subscribe("will/#")
    world.online("broken", version=version, will=Will("will/broken", b"1", 1)).lose()
    assert watcher.messages() == [("will/broken", b"1")]
    world.online("polite", version=version, will=Will("will/polite", b"1")).send(Disconnect())
    assert watcher.messages() == []


@pytest.mark.parametrize("reason", [0x04, 0x80])
def test_disconnect_with_will(world: World, reason: int) -> None:
    """Leaving for any reason but a normal one publishes the will [MQTT-3.14.4-3]."""
    watcher = world.online("watcher")
    watcher.subscribe("will")
    world.online("device", version=V5, will=Will("will", b"1")).send(Disconnect(reason))
    assert watcher.messages() == [("will", b"1")]


def test_delayed_will(world: World) -> None:
    """A will waits for its delay, is dropped when the client comes back, and falls due when its session ends."""
    watcher = world.online("watcher")
    watcher.subscribe("will")
    will = Will("will", b"1", properties={"will_delay_interval": 10})
    world.online("device", version=V5, will=will, session_expiry_interval=100).lose()
    world.pass_time(5_000)
    device = world.online("device", version=V5, clean=False, will=will, session_expiry_interval=100)
    world.pass_time(20_000)
    assert watcher.messages() == []
    device.lose()
    world.pass_time(12_000)
    assert watcher.messages() == [("will", b"1")]
    will = Will("will", b"2", properties={"will_delay_interval": 1000, "message_expiry_interval": 2})
    world.online("device", version=V5, will=will, session_expiry_interval=5).lose()
    world.pass_time(7_000)
    assert watcher.messages() == [("will", b"2")]
