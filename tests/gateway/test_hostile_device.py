"""What one hostile device can make the gateway remember, count and do."""

from __future__ import annotations

import pytest
from both_ends import Device, World

from fleetward.gateway.codec import encode
from fleetward.gateway.durable import NullDurable, SavedSession
from fleetward.gateway.limits import Limits
from fleetward.gateway.packets import V5, V311, Puback, Publish, Reason, Suback, Subscribe, Subscription, Unsubscribe


class CountingDurable(NullDurable):
    """Counts how often sessions are saved."""

    def __init__(self) -> None:
        self.saved: list[SavedSession] = []

    def save_session(self, session: SavedSession) -> None:
        self.saved.append(session)


def absent(world: World, topic: str) -> None:
    """A persistent session that waits for messages on `topic`."""
    device = world.online("absent", clean=False)
    device.subscribe(topic)
    device.lose()


def accepted(device: Device, topic: str, count: int, **options: object) -> int:
    """How many of `count` QoS 1 messages reached somebody."""
    for _ in range(count):
        device.publish(topic, qos=1, **options)  # type: ignore[arg-type]
    return sum(puback.reason == Reason.SUCCESS for puback in device.got(Puback))


def test_what_properties_carry_is_metered(permissive: World) -> None:
    """A device cannot hide a large message from metering in its MQTT 5 properties."""
    device = permissive.online("sensor", version=V5)
    permissive.counted()
    texts = {"content_type": "x" * 10, "response_topic": "y" * 20, "correlation_data": b"z" * 30}
    device.publish("t", b"12", message_expiry_interval=9, user_property=(("k" * 1000, "v" * 2000),), **texts)
    device.publish("$aws/things/sensor/shadow/update", b"", user_property=(("k", "v" * 1000),))
    assert permissive.counted()["sensor"]["message-byte-size"] == 3 + 60 + 3000 + 32 + 1001


def test_what_properties_carry_takes_room() -> None:
    """Queued messages whose bytes are in their properties, or are many small properties, fill the queue too."""
    world = World(Limits(queued_bytes=100_000))
    world.permissive()
    absent(world, "t")
    sender = world.online("sender", version=V5)
    assert accepted(sender, "t", 10, user_property=(("k" * 30_000, ""),)) == 3
    assert accepted(sender, "t", 10, user_property=(("", ""),) * 100) == 0


def test_small_messages_take_room() -> None:
    """A message weighs more than its bytes, so that a million of one byte do not pass for a megabyte."""
    world = World(Limits(queued_bytes=100_000))
    world.permissive()
    absent(world, "t")
    assert accepted(world.online("sender", version=V5), "t", 500) < 200


def test_a_retained_message_does_not_grow(permissive: World) -> None:
    """Subscribing again and again with other options leaves nothing behind on the retained message."""
    device = permissive.online("sensor", version=V5)
    device.publish("t", b"x", qos=1, retain=True)
    for identifier in range(1, 20):
        device.subscribe("t", qos=identifier % 2, subscription_identifier=identifier)
    assert len(device.got(Publish)) == 19
    kept = permissive.broker.retained("t", permissive.now)
    assert kept is not None
    assert not kept._frames


def test_levels_of_subscriptions_are_bounded_for_each_certificate() -> None:
    """All sessions of one certificate together may take so many nodes of the tree; what ends gives them back."""
    world = World(Limits(subscription_levels_per_certificate=10))
    world.permissive()
    world.permissive("other")
    first = world.online("first", version=V5)
    assert first.subscribe("a/b/c/d", "e/f/g", "h/i/j/k") == (1, 1, Reason.QUOTA_EXCEEDED)
    second = world.online("second", version=V5)
    assert second.subscribe("l/m/n", "o/p") == (1, Reason.QUOTA_EXCEEDED)
    assert world.online("third", "other").subscribe("a/b/c/d/e/f/g/h/i/j") == (1,)
    first.send(Unsubscribe(1, ("e/f/g",)))
    assert second.subscribe("o/p/q") == (1,)
    first.lose()
    assert second.subscribe("a/b/c/d") == (1,)


@pytest.mark.parametrize("version", [V311, V5])
def test_a_turn_is_a_share_of_work(permissive: World, version: int) -> None:
    """Large SUBSCRIBEs and UNSUBSCRIBEs count for each of their filters, so that others soon get their turn."""
    device = permissive.online("sensor", version=version)
    filters = tuple(f"t/{i}" for i in range(100))
    subscribe = Subscribe(1, tuple(Subscription(text, 0) for text in filters))
    data = b"".join(encode(packet, version) for packet in (subscribe, Unsubscribe(2, filters)) * 3)
    device.client.receive(data, permissive.now)
    assert not device.reading
    assert len(device._packets) == 2
    assert len(device.got(Suback)) == 3
    assert device.reading


def test_messages_to_many_are_more_work(permissive: World) -> None:
    """A message counts for all who receive it, so that others soon get their turn."""
    for i in range(80):
        permissive.online(f"receiver{i}").subscribe("t", qos=0)
    device = permissive.online("sensor")
    device.client.receive(encode(Publish("t", b"x"), V311) * 128, permissive.now)
    assert not device.reading
    assert permissive.counted()["sensor"]["num-messages-sent"] == 13
    device.client.work(permissive.now)
    assert permissive.counted()["sensor"]["num-messages-sent"] == 13


def test_a_session_is_saved_once_a_turn() -> None:
    """A session is saved as a whole, so a flood of QoS 2 messages does not save it with each of them."""
    durable = CountingDurable()
    world = World(durable=durable)
    world.permissive()
    device = world.online("sensor", clean=False)
    durable.saved.clear()
    device.feed(b"".join(encode(Publish("t", b"x", 2, False, False, i), V311) for i in range(1, 101)))
    assert [len(session.awaiting_release) for session in durable.saved] == [100]
