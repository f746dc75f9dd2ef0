"""A change of the fleet bites live sessions at once; both ends in one process."""

from __future__ import annotations

import pytest
from both_ends import ALLOW_ALL, DENY_ALL, VERSIONS, World, policy, refused, story

from fleetward.gateway.packets import (
    V5,
    Disconnect,
    Puback,
    Reason,
    Will,
)
from fleetward.records import RecordKind


@pytest.mark.parametrize("version", VERSIONS)
def test_isolation_cuts_off_at_once(world: World, version: int) -> None:
    """Moving a thing into a group that denies everything drops its live session, and not its twin's."""
    story(world)
    first = world.online("SensorDevice01", version=version)
    second = world.online("SensorDevice02", version=version, will=Will("will", b"last words"))
    listener = world.online("SensorDevice01-listener")
    listener.subscribe("#")
    world.thing("SensorDevice02", "IsolatedDevices")
    assert second.closed
    assert [packet.reason for packet in second.got(Disconnect)] == [Reason.NOT_AUTHORIZED] * (version == V5)
    assert not first.closed
    assert (world.outbox.presences[-2].client_id, world.outbox.presences[-2].reason) == (
        "SensorDevice02",
        "FORBIDDEN_ACCESS",
    )
    assert listener.messages() == []
    assert refused(world, "SensorDevice02") == Reason.NOT_AUTHORIZED
    world.thing("SensorDevice02")
    assert world.online("SensorDevice02")


def test_every_kind_of_change_cuts_off(world: World) -> None:
    """A policy's text, a group's policies or parent, a certificate's state, policies or end: each bites at once."""
    story(world)
    world.group("parent")
    world.group("group", parent="parent")
    world.thing("SensorDevice01", "group")

    def bites(bite: object, heal: object) -> None:
        device = world.online("SensorDevice01")
        bite()  # type: ignore[operator]
        assert device.closed
        assert refused(world, "SensorDevice01") == Reason.NOT_AUTHORIZED
        heal()  # type: ignore[operator]

    bites(lambda: world.policy("all", DENY_ALL), lambda: world.policy("all", ALLOW_ALL))
    bites(lambda: world.group("parent", "deny-all"), lambda: world.group("parent"))
    bites(lambda: world.group("group", parent="IsolatedDevices"), lambda: world.group("group", parent="parent"))
    bites(lambda: world.certificate("cert", "all", active=False), lambda: story(world))
    bites(lambda: world.certificate("cert"), lambda: story(world))
    bites(lambda: world.change(RecordKind.CERTIFICATE, "cert", None), lambda: story(world))


def test_a_change_bites_before_the_sweep_comes(world: World) -> None:
    """Between a change and the sweep, a marked session may neither publish nor receive anything."""
    world.permissive()
    devices = [world.online(f"device{i}") for i in range(3)]
    devices[0].subscribe("t")
    world.guard.sweep = lambda now: False  # type: ignore[method-assign]
    world.certificate("cert")
    devices[1].publish("t", qos=1)
    assert devices[1].closed
    assert devices[1].got(Puback) == []
    world.permissive("other")
    world.online("other", "other").publish("t")
    assert devices[0].closed
    assert devices[0].messages() == []


def test_permissions_change_without_a_cut(world: World) -> None:
    """A session that may stay gets the new permissions from the next packet on."""
    world.permissive()
    device = world.online("device", version=V5)
    device.publish("t", qos=1)
    world.policy("all", policy(("Allow", "iot:Connect", "*")))
    device.publish("t", qos=1)
    world.policy("all", ALLOW_ALL)
    device.publish("t", qos=1)
    reasons = [packet.reason for packet in device.got(Puback)]
    assert reasons == [Reason.NO_MATCHING_SUBSCRIBERS, Reason.NOT_AUTHORIZED, Reason.NO_MATCHING_SUBSCRIBERS]


def test_will_of_a_device_cut_off(world: World) -> None:
    """A device that is cut off does not speak through its will; one that is merely dropped does."""
    story(world)
    world.permissive("watcher")
    watcher = world.online("watcher", "watcher")
    watcher.subscribe("will")
    world.online("SensorDevice01", will=Will("will", b"01"))
    world.online("SensorDevice02", will=Will("will", b"02"))
    world.thing("SensorDevice02", "IsolatedDevices")
    assert watcher.messages() == []
    assert world.guard.drop("SensorDevice01", "SERVER_INITIATED_DISCONNECT", False, world.now)
    assert watcher.messages() == [("will", b"01")]
