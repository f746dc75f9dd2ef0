"""Who a connection counts as: evasion, framing, metering, presence."""

from __future__ import annotations

from both_ends import ALLOW_ALL, DENY_ALL, OTHER, Device, World, refused, story

from fleetward.gateway.packets import (
    V5,
    V311,
    Connack,
    Disconnect,
    Reason,
    Will,
)

# --- evasion and framing ----------------------------------------------------------------------------------------------


def test_evasion(world: World) -> None:
    """While a thing is isolated, its certificate connects only as another thing it is attached to."""
    story(world)
    world.thing("Unattached")
    free = world.online("free-name")
    world.thing("SensorDevice02", "IsolatedDevices")
    assert free.closed
    for client_id in ("SensorDevice02", "free-name", "", "Unattached", "sensordevice02"):
        assert refused(world, client_id) == Reason.NOT_AUTHORIZED
    assert world.online("SensorDevice01")
    world.permissive("other")
    assert world.online("free-name", "other")


def test_evasion_setting(world: World) -> None:
    """`quarantine_binds_certificate` off: only the isolated thing's own name is refused."""
    world = World(quarantine_binds_certificate=False)
    story(world)
    world.thing("SensorDevice02", "IsolatedDevices")
    assert refused(world, "SensorDevice02") == Reason.NOT_AUTHORIZED
    assert world.online("free-name")


def test_exclusive_thing(world: World) -> None:
    """An exclusive attachment stands for its thing under any client id, and is isolated under any."""
    world.policy("all", ALLOW_ALL)
    world.policy("deny-all", DENY_ALL)
    world.group("IsolatedDevices", "deny-all")
    world.thing("only")
    world.certificate("cert", "all", things=("only",), exclusive="only")
    device = world.online("whatever")
    device.publish("t")
    assert world.counted()["only"]["num-messages-sent"] == 1
    world.thing("only", "IsolatedDevices")
    assert device.closed
    assert refused(world, "whatever") == Reason.NOT_AUTHORIZED


def test_framing(world: World) -> None:
    """What a certificate does under a thing's name that is not its own counts under the certificate's id."""
    story(world)
    world.permissive(OTHER)
    attacker = world.online("SensorDevice01", OTHER)
    attacker.publish("t", b"x" * 3000)
    refused(world, "SensorDevice02", OTHER, will=Will("$x", b""))
    attacker.lose()
    victim = world.online("SensorDevice01")
    victim.publish("t", b"1234")
    assert world.counted() == {
        OTHER: {
            "message-byte-size": 3001,
            "num-messages-sent": 1,
            "num-connection-attempts": 2,
            "num-authorization-failures": 1,
            "num-disconnects": 1,
        },
        "SensorDevice01": {"message-byte-size": 5, "num-messages-sent": 1, "num-connection-attempts": 1},
    }
    assert [p.device for p in world.outbox.presences] == [OTHER, OTHER, "SensorDevice01"]


def test_names_that_are_not_a_device_s_own(world: World) -> None:
    """An assigned id, a certificate's id, or a name no device can have counts under the certificate."""
    world.permissive()
    world.permissive(OTHER)
    for client_id in ("", OTHER, "x" * 129, "tab\there"):
        world.online(client_id, version=V5)
    assert list(world.counted()) == ["cert"]


def test_unregistered_names_are_bounded(world: World) -> None:
    """One certificate is counted under at most 100 names without a thing, then under its own id."""
    world.permissive()
    for i in range(150):
        world.online(f"name{i}").lose()
    world.online("name7").lose()
    counted = world.counted()
    assert len(counted) == 101
    assert counted["cert"]["num-connection-attempts"] == 50
    assert counted["name7"]["num-connection-attempts"] == 2


def test_a_session_belongs_to_its_certificate(world: World) -> None:
    """Another certificate with the client id, even where policy allows it, does not get what was queued."""
    world.permissive("owner")
    world.permissive("other")
    device = world.online("device", "owner", clean=False)
    device.subscribe("t")
    device.lose()
    world.online("sender", "other").publish("t", b"secret", qos=1)
    stranger = world.device("other")
    connack = stranger.connect("device", clean=False)
    assert connack == Connack(False, 0)
    assert stranger.messages() == []
    assert world.broker.session("device").grants == {}  # type: ignore[union-attr]


def test_identity_follows_the_registry(world: World) -> None:
    """When a session's thing is made or attached, it counts under the thing from then on."""
    world.permissive()
    device = world.online("SensorDevice01")
    device.publish("t")
    assert world.counted()["SensorDevice01"]["num-messages-sent"] == 1
    world.thing("SensorDevice01")
    device.publish("t")
    assert world.counted()["cert"]["num-messages-sent"] == 1
    world.permissive(things=("SensorDevice01",))
    device.publish("t")
    thing = world.view.thing("SensorDevice01")
    assert thing is not None
    assert world.meter.flush(world.now).cells["aws:num-messages-sent", ""].device.tolist() == [thing.id]


# --- metering ---------------------------------------------------------------------------------------------------------


def test_metering(world: World) -> None:
    """Size is topic plus payload in bytes; deliveries count for the receiver, duplicates of QoS 2 are messages too."""
    world.permissive()
    receiver = world.online("receiver")
    receiver.subscribe("ä/#", qos=0)
    sender = world.online("sender")
    sender.publish("ä/b", b"12345", qos=1)
    sender.publish("ä/b", b"1", qos=2, packet_id=9)
    sender.publish("ä/b", b"1", qos=2, packet_id=9)
    sender.lose()
    assert world.counted() == {
        "receiver": {"num-connection-attempts": 1, "num-messages-received": 2},
        "sender": {
            "num-connection-attempts": 1,
            "message-byte-size": 9 + 5 + 5,
            "num-messages-sent": 3,
            "num-disconnects": 1,
        },
    }


def test_presence(world: World) -> None:
    """A session's begin and end are told with who, from where, and why."""
    story(world)
    device = world.online("SensorDevice01")
    device.send(Disconnect())
    begin, end = world.outbox.presences
    assert (begin.connected, begin.reason, begin.address, begin.device) == (True, "", "192.0.2.1", "SensorDevice01")
    assert (end.connected, end.reason, end.session) == (False, "CLIENT_INITIATED_DISCONNECT", begin.session)
    world.online("SensorDevice01").lose()
    assert world.outbox.presences[-1].reason == "CONNECTION_LOST"
    assert world.outbox.presences[-1].session != begin.session


def test_drop_and_forget(world: World) -> None:
    """The house can close a client's connection, and forget its session."""
    world.permissive()
    device = world.online("device", version=V5, session_expiry_interval=100)
    assert world.guard.drop("device", "SERVER_INITIATED_DISCONNECT", False, world.now)
    assert device.got_one(Disconnect).reason == Reason.ADMINISTRATIVE_ACTION
    assert world.broker.session("device")
    assert not world.guard.drop("device", "SERVER_INITIATED_DISCONNECT", True, world.now)
    assert world.broker.session("device") is None


def test_nothing_is_left_of_those_who_left(world: World) -> None:
    """A thousand clients that come, are refused, and go leave nothing behind."""
    world.permissive()
    world.certificate("nobody")
    for i in range(300):
        world.online(f"device{i}", keep_alive=1000, will=Will("w", b"x")).lose()
        refused(world, f"device{i}", "nobody")
        Device(world, "cert", V311).lose()
    guard, broker = world.guard, world.broker
    assert not guard._online
    assert not guard._by_certificate
    assert not len(guard._deadlines)
    assert not list(broker._sessions)
    assert not broker._sessions._offline
    assert guard._pool.spare == 200_000
