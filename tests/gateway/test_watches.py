"""Watches: what the house sees of messages and of what is refused, within bounds."""

from __future__ import annotations

import pytest
from both_ends import ALLOW_ALL, DENY_ALL, World, policy
from hypothesis import given
from hypothesis import strategies as st

from fleetward.gateway import watches
from fleetward.gateway.commands import carry_out
from fleetward.gateway.doors import Publish, ReadWatch, Seen, Unwatch, Watch
from fleetward.gateway.messages import Message
from fleetward.gateway.watches import OpenWatch


def begin(world: World, *filters: str, identity: str = "w", owner: str = "ana") -> bool:
    return bool(carry_out(world.guard, Watch(identity, owner, filters), world.now))


def read(world: World, identity: str = "w", owner: str = "ana") -> Seen:
    seen = carry_out(world.guard, ReadWatch(identity, owner), world.now)
    assert isinstance(seen, Seen)
    return seen


def test_messages_of_devices_and_of_the_house_are_seen_once(world: World) -> None:
    """A watch sees what matches its filters, whoever sent it and whether or not anybody subscribed, and once."""
    world.permissive()
    begin(world, "a/+", "a/#")
    device = world.online("d")
    device.publish("a/b", b"one", qos=1)
    device.publish("x", b"other")
    carry_out(world.guard, Publish("a/c", b"two"), world.now)
    seen = read(world).messages
    assert [(m.topic, m.payload, m.size, m.qos, m.sender) for m in seen] == [
        ("a/b", b"one", 3, 1, "d"),
        ("a/c", b"two", 3, 0, ""),
    ]
    assert read(world).messages == ()


def test_a_denied_publish_is_counted_with_the_policy_that_denied_it(world: World) -> None:
    """What is refused on a watched topic is told with the device and the policy; on other topics it is not."""
    world.policy("DenyAll", policy(("Allow", "iot:*", "*"), ("Deny", "iot:Publish", "topic/a")))
    world.policy("Narrow", policy(("Allow", ["iot:Connect", "iot:Publish"], ["client/*", "topic/b"])))
    world.certificate("one", "DenyAll")
    world.certificate("two", "Narrow")
    begin(world, "a")
    for _ in range(3):
        world.online("d1", "one").publish("a", b"x")
    world.online("d2", "two").publish("a", b"x")
    world.online("d2", "two").publish("c", b"x")
    assert [(d.device, d.action, d.topic, d.why, d.count) for d in read(world).denials] == [
        ("d1", "iot:Publish", "a", "denied by policy DenyAll", 3),
        ("d2", "iot:Publish", "a", "no policy allows iot:Publish", 1),
    ]


def test_an_isolation_explains_the_silence_after_it(world: World) -> None:
    """The end of an isolated device's connection and its refused attempts to come back are told."""
    world.policy("all", ALLOW_ALL)
    world.policy("DenyAll", DENY_ALL)
    world.group("Isolated", "DenyAll")
    world.thing("d")
    world.certificate("cert", "all", things=["d"])
    begin(world, "a")
    world.online("d").publish("a", b"x")
    world.thing("d", "Isolated")
    world.device().connect("d")
    (denial,) = read(world).denials
    assert (denial.device, denial.action, denial.topic) == ("d", "iot:Connect", "")
    assert (denial.why, denial.count) == ("denied by policy DenyAll", 2)


@given(st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 40_000)), max_size=800))
def test_what_waits_is_bounded_and_nothing_is_lost_silently(steps: list[tuple[int, int]]) -> None:
    """Whatever passes, each message is either read or counted as missed, and little waits."""
    watch, now = OpenWatch(Watch("w", "ana", ("#",)), 0), 0
    for wait, size in steps:
        now += wait
        watch.saw(Message("t", bytes(size)), now)
    seen = watch.read(now)
    assert len(seen.messages) + seen.missed == len(steps)
    assert len(seen.messages) <= watches.WAITING
    assert sum(len(m.payload) for m in seen.messages) <= watches.WAITING_BYTES + watches.PAYLOAD_BYTES


def test_denials_of_ever_new_devices_are_summed_up(world: World) -> None:
    """However many devices are refused, their number in memory is bounded and the count is right."""
    begin(world, "a")
    for number in range(1_000):
        world.broker.watches.denied(f"d{number}", "iot:Publish", "a", "why", world.now)
    denials = read(world).denials
    assert len(denials) == watches.DENIALS + 1
    assert sum(denial.count for denial in denials) == 1_000


def test_watches_are_few_and_belong_to_who_began_them(world: World) -> None:
    """One owner's watches cannot crowd out another's, nor be read or ended by another."""
    for number in range(10):
        assert begin(world, "a", identity=str(number))
    assert len(world.broker.watches.open) == watches.MOST_OF_OWNER
    for number in range(watches.MOST - watches.MOST_OF_OWNER):
        assert begin(world, "a", identity=f"b{number}", owner=f"b{number}")
    assert not begin(world, "a", identity="last", owner="last")
    assert carry_out(world.guard, ReadWatch("9", "ben"), world.now) is None
    assert carry_out(world.guard, Unwatch("9", "ben"), world.now) is False
    assert carry_out(world.guard, Unwatch("9", "ana"), world.now) is True


def test_a_watch_that_nobody_reads_ends(world: World) -> None:
    """When its reader is gone a watch costs nothing any more."""
    begin(world, "a")
    world.now += watches.UNREAD_MILLIS + 1
    world.guard.tick(world.now)
    assert not world.broker.watches.open


def test_filters_must_be_filters(world: World) -> None:
    """A watch on what is no topic filter is refused."""
    with pytest.raises(ValueError, match="cannot watch"):
        begin(world, "a/#/b")
