"""The broker core by the standard, both ends in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from both_ends import VERSIONS, Device, World
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward.gateway.codec import encode
from fleetward.gateway.durable import DurableFile
from fleetward.gateway.limits import Limits
from fleetward.gateway.packets import (
    V5,
    V311,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Reason,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)


@pytest.fixture(autouse=True)
def _permissive(world: World) -> None:
    world.permissive()


def ids(device: Device) -> list[int]:
    return [packet.packet_id for packet in device.got(Publish)]


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
    (packet_id,) = ids(receiver)
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
    first, second, third = ids(receiver)
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
    first, _ = ids(receiver)
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
    will = Will("will", b"2", properties={"will_delay_interval": 1000})
    world.online("device", version=V5, will=will, session_expiry_interval=5).lose()
    world.pass_time(7_000)
    assert watcher.messages() == [("will", b"2")]


# --- MQTT 5 -----------------------------------------------------------------------------------------------------------


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


# --- time and congestion ----------------------------------------------------------------------------------------------


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


# --- anything ---------------------------------------------------------------------------------------------------------

TOPIC = st.sampled_from(["a", "a/b", "b", "$aws/things/x/shadow/update", "$x"])
PACKET_ID = st.integers(1, 4)
PACKETS = st.one_of(
    st.builds(
        Connect,
        st.sampled_from(["", "one", "two"]),
        st.just(V311),
        st.booleans(),
        st.integers(0, 5),
        st.none() | st.builds(Will, TOPIC, st.just(b"will"), st.integers(0, 2), st.booleans()),
    ),
    st.builds(Publish, TOPIC, st.sampled_from([b"", b"x"]), st.just(0), st.booleans()),
    st.builds(Publish, TOPIC, st.sampled_from([b"", b"x"]), st.integers(1, 2), st.booleans(), st.booleans(), PACKET_ID),
    st.builds(
        Subscribe,
        PACKET_ID,
        st.lists(
            st.builds(Subscription, st.sampled_from(["a", "#", "a/+", "+/#", "bad#"]), st.integers(0, 2)), min_size=1
        ).map(tuple),
    ),
    st.builds(Unsubscribe, PACKET_ID, st.sampled_from([("a",), ("#", "a/+")])),
    *(st.builds(kind, PACKET_ID) for kind in (Puback, Pubrec, Pubrel, Pubcomp)),
    st.builds(Pingreq),
    st.builds(Disconnect),
)
STEPS = st.one_of(
    st.tuples(st.integers(0, 3), PACKETS),
    st.tuples(st.integers(0, 3), st.sampled_from(["lose", "open", "time", "congest", "relieve", "isolate", "free"])),
    st.tuples(st.integers(0, 3), st.binary(max_size=8)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40), st.sampled_from(VERSIONS))
def test_nothing_makes_the_core_fail(steps: list[tuple[int, Any]], version: int) -> None:
    """Whatever clients send, in whatever order, only their own connection may end; afterwards all still works."""
    world = World(Limits(inflight=2, queued_messages=2, retained_messages=2))
    world.permissive()
    devices = [world.device(version=version) for _ in range(4)]
    for number, step in steps:
        if devices[number].closed or step == "open":
            if not devices[number].closed:
                devices[number].lose()
            devices[number] = world.device(version=version)
        take(world, devices[number], step)
    for device in devices:
        if not device.closed:
            device.lose()
    world.certificate("cert", "all")
    world.pass_time(2_000)
    receiver = world.online("fresh")
    receiver.subscribe("fresh", qos=0)
    world.online("sender").publish("fresh", b"still here")
    assert receiver.messages() == [("fresh", b"still here")]
    assert world.broker._delivery._held_bytes >= 0
    assert all(session.held_bytes >= 0 for session in world.broker._sessions)
    assert world.broker._delivery._held_bytes == sum(session.held_bytes for session in world.broker._sessions)


def take(world: World, device: Device, step: Any) -> None:
    """One step of the property above."""
    match step:
        case "lose":
            device.lose()
        case "time":
            world.pass_time(3_000)
        case "congest" | "relieve":
            device.congested = step == "congest"
            device.wake()
            device.turn()
        case "isolate" | "free":
            world.certificate("cert", *(["all"] if step == "free" else []))
        case bytes():
            device.feed(step)
        case Connect():
            step.version = device.version
            device.send(step)
        case "open":
            pass
        case _:
            device.send(step)
