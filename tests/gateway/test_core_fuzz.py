"""Anything at all: no order of packets, losses and changes makes the core fail."""

from __future__ import annotations

from typing import Any

from both_ends import VERSIONS, Device, World
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward.gateway.limits import Limits
from fleetward.gateway.packets import (
    V311,
    Connect,
    Disconnect,
    Pingreq,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)
from fleetward.gateway.topics import levels_of

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


@settings(max_examples=150)
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
    held, levels = world.broker._delivery._held, world.broker._subscribed_levels
    assert held.total >= 0
    assert all(session.held_bytes >= 0 for session in world.broker._sessions)
    assert held.total == sum(held._by_owner.values()) == sum(session.held_bytes for session in world.broker._sessions)
    assert levels.total == sum(levels_of(text) for session in world.broker._sessions for text in session.grants)


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
