"""The guard: identity, policy for each packet, metering, cut-off; both ends in one process."""

from __future__ import annotations

import pytest
from both_ends import ALLOW_ALL, DENY_ALL, VERSIONS, Device, World, policy

from fleetward.gateway.limits import LIMITS
from fleetward.gateway.packets import (
    V5,
    V311,
    Connack,
    Disconnect,
    Puback,
    Publish,
    Pubrec,
    Pubrel,
    Reason,
    Will,
)
from fleetward.model import RecordKind

OTHER = "f" * 64
"""The id of a certificate that exists."""


def story(world: World) -> str:
    """Two sensors that share one certificate, and a group that isolates."""
    world.policy("deny-all", DENY_ALL)
    world.group("IsolatedDevices", "deny-all")
    world.thing("SensorDevice01")
    world.thing("SensorDevice02")
    return world.permissive(things=("SensorDevice01", "SensorDevice02"))


def refused(world: World, client_id: str, certificate: str = "cert", version: int = V5, **options: object) -> int:
    """The reason a CONNECT is refused with; the connection must be closed."""
    device = world.device(certificate, version)
    connack = device.connect(client_id, **options)  # type: ignore[arg-type]
    assert connack is not None
    assert device.closed
    return connack.reason


# --- CONNECT ----------------------------------------------------------------------------------------------------------


def test_unknown_and_inactive_certificates_are_refused(world: World) -> None:
    """Nobody connects without a certificate that is known and active, whatever user name they bring."""
    world.permissive("active")
    world.certificate("inactive", "all", active=False)
    assert refused(world, "x", "unknown") == Reason.NOT_AUTHORIZED
    assert refused(world, "x", "inactive") == Reason.NOT_AUTHORIZED
    assert world.online("x", "active")
    assert world.counted() == {
        "x": {"num-connection-attempts": 2, "num-authorization-failures": 1},
    }


@pytest.mark.parametrize("code", [5, 7])
def test_refusal_code_of_3_1_1(code: int) -> None:
    """A CONNECT that policy denies is answered with the return code in the settings (detect.md G)."""
    world = World(connect_refusal_code=code)
    world.certificate("cert")
    device = world.device()
    device.connect("x")
    assert bytes(device.raw) == bytes((0x20, 2, 0, code))
    assert device.closed


def test_refused_connect_does_not_disturb(world: World) -> None:
    """A refused CONNECT with a victim's client id leaves the victim's session, queue and connection alone."""
    world.permissive("victim")
    world.certificate("attacker")
    victim = world.online("victim", "victim", clean=False, will=Will("will", b"x"))
    victim.subscribe("t", "will")
    for options in ({}, {"clean": False}, {"will": Will("t", b"forged")}):
        assert refused(world, "victim", "attacker", V311, **options) == Reason.NOT_AUTHORIZED
    assert not victim.closed
    world.online("sender", "victim").publish("t", b"hello", qos=1)
    assert victim.messages() == [("t", b"hello")]
    assert [p.client_id for p in world.outbox.presences if p.reason] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_will_topic_is_checked(world: World, version: int) -> None:
    """A will to a topic that the client may not publish to, or retain on, or to `$`, refuses the CONNECT."""
    world.policy(
        "some", policy(("Allow", "iot:Connect", "*"), ("Allow", "iot:Publish", ["topic/mine", "topic/$aws/*"]))
    )
    world.certificate("cert", "some")
    assert refused(world, "x", version=version, will=Will("theirs", b"x")) == Reason.NOT_AUTHORIZED
    assert refused(world, "x", version=version, will=Will("mine", b"x", retain=True)) == Reason.NOT_AUTHORIZED
    assert refused(world, "x", version=version, will=Will("$aws/things/x/shadow/get", b"x")) == Reason.NOT_AUTHORIZED
    assert world.online("x", version=version, will=Will("mine", b"x"))


def test_connect_attributes(world: World) -> None:
    """Policies see whether a CONNECT asks for a persistent session or brings a will (`iot:ConnectAttributes`)."""
    condition = {"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}}
    world.policy("no-wills", policy(("Allow", "iot:*", "*"), Condition=condition))
    world.policy("rest", policy(("Allow", ["iot:Publish"], "*")))
    world.certificate("cert", "no-wills", "rest")
    assert world.online("x", clean=False)
    assert refused(world, "x", will=Will("t", b"x")) == Reason.NOT_AUTHORIZED


@pytest.mark.parametrize(
    ("client_id", "version", "clean"), [("", V311, False), ("$x", V311, True), ("$x", V5, True), ("x" * 2000, V5, True)]
)
def test_bad_client_ids(world: World, client_id: str, version: int, clean: bool) -> None:
    """An empty id with a session to keep, one that begins with `$`, or one that is too long is refused."""
    world.permissive()
    assert refused(world, client_id, version=version, clean=clean) == Reason.CLIENT_IDENTIFIER_NOT_VALID


def test_authentication_methods_are_refused(world: World) -> None:
    """Nothing but the certificate authenticates (§4.12)."""
    world.permissive()
    assert refused(world, "x", authentication_method="SCRAM") == Reason.BAD_AUTHENTICATION_METHOD


def test_other_protocol_versions_are_told(world: World) -> None:
    """A CONNECT of another protocol version gets return code 1 [MQTT-3.1.2-2]."""
    world.permissive()
    device = world.device(version=V5)
    device.feed(bytes.fromhex("100f00044d51545406020000000378797a"))
    assert device.got_one(Connack).reason == Reason.UNSUPPORTED_PROTOCOL_VERSION
    assert device.closed
    device = world.device()
    device.feed(b"\x10\x0f\0\x06MQIsdp\x03\x02\0\0\0\x01x")
    assert bytes(device.raw) == b"\x20\x02\x00\x01"
    assert device.closed


def test_aws_limits() -> None:
    """The `aws` preset keeps to AWS's quotas: one CONNECT a second, 100 publishes, keep-alive at most 1200 s."""
    world = World(LIMITS["aws"])
    world.permissive()
    device = world.device(version=V5)
    connack = device.connect("x", keep_alive=0)
    assert connack is not None
    assert connack.properties["server_keep_alive"] == 1200
    assert refused(world, "x") == Reason.SERVER_BUSY
    assert not device.closed
    for _ in range(101):
        device.publish("t")
    assert device.got_one(Disconnect).reason == Reason.MESSAGE_RATE_TOO_HIGH
    assert world.outbox.presences[-1].reason == "THROTTLED"


# --- PUBLISH, SUBSCRIBE, RECEIVE --------------------------------------------------------------------------------------


def test_denied_publish_3_1_1(world: World) -> None:
    """3.1.1 cannot say no to a publish: the connection is closed, nothing acknowledged, nothing delivered."""
    world.policy("some", policy(("Allow", ["iot:Connect", "iot:Subscribe", "iot:Receive"], "*")))
    world.certificate("cert", "some")
    listener = world.online("listener")
    listener.subscribe("#")
    for qos in (0, 1, 2):
        device = world.online("device")
        device.publish("t", qos=qos)
        assert device.closed
        assert device.got(Puback) == device.got(Pubrec) == []
        assert world.outbox.presences[-1].reason == "AUTH_ERROR"
    assert listener.messages() == []
    assert world.counted()["device"]["num-authorization-failures"] == 3


def test_denied_publish_5(world: World) -> None:
    """MQTT 5 says 0x87 in PUBACK and PUBREC and stays; for QoS 0 it can only disconnect with 0x87."""
    world.policy("some", policy(("Allow", "iot:Connect", "*"), ("Allow", "iot:Publish", "topic/ok")))
    world.certificate("cert", "some")
    device = world.online("device", version=V5)
    device.publish("t", qos=1)
    device.publish("t", qos=2, packet_id=7)
    device.publish("t", qos=2, packet_id=7)
    device.publish("ok", qos=1, retain=True)
    assert [packet.reason for packet in device.got(Puback)] == [Reason.NOT_AUTHORIZED] * 2
    assert [packet.reason for packet in device.got(Pubrec)] == [Reason.NOT_AUTHORIZED] * 2
    assert not device.closed
    device.publish("t")
    assert device.got_one(Disconnect).reason == Reason.NOT_AUTHORIZED
    assert device.closed


def test_denied_subscribe(world: World) -> None:
    """A denied filter is refused in its place; the connection stays and the others are granted."""
    world.policy("some", policy(("Allow", "iot:Connect", "*"), ("Allow", "iot:Subscribe", "topicfilter/a/+")))
    world.certificate("cert", "some")
    assert world.online("old").subscribe("a/+", "b") == (1, 0x80)
    new = world.online("new", version=V5)
    assert new.subscribe("a/+", "a/b") == (1, Reason.NOT_AUTHORIZED)
    assert not new.closed
    assert world.counted()["new"]["num-authorization-failures"] == 1


def test_receive_is_checked_per_delivery(world: World) -> None:
    """A message is dropped silently for a session that may not receive its topic, retained ones too."""
    world.permissive("sender")
    world.policy(
        "some", policy(("Allow", ["iot:Connect", "iot:Subscribe"], "*"), ("Allow", "iot:Receive", "topic/ok/*"))
    )
    world.certificate("cert", "some")
    sender = world.online("sender", "sender")
    sender.publish("secret/1", b"kept", retain=True)
    device = world.online("device")
    device.subscribe("#", qos=2)
    for qos in (0, 1, 2):
        sender.publish("secret/2", qos=qos)
        sender.publish("ok/2", b"%d" % qos, qos=qos)
    assert device.messages() == [("ok/2", b"0"), ("ok/2", b"1"), ("ok/2", b"2")]
    assert world.counted()["device"] == {
        "num-connection-attempts": 1,
        "num-authorization-failures": 4,
        "num-messages-received": 3,
    }


def test_queued_messages_are_checked_when_delivered(world: World) -> None:
    """What was queued while policy allowed it is not delivered any more when policy denies it."""
    world.permissive("sender")
    world.permissive()
    device = world.online("device", clean=False)
    device.subscribe("t")
    sender = world.online("sender", "sender")
    sender.publish("t", b"in flight", qos=1)
    assert len(device.got(Publish)) == 1
    device.lose()
    sender.publish("t", b"queued", qos=1)
    world.policy("some", policy(("Allow", "iot:Connect", "*")))
    world.certificate("cert", "some")
    device = world.online("device", clean=False)
    assert device.messages() == []


@pytest.mark.parametrize(
    "suffix", ["defender/metrics/json", "defender/metrics/cbor", "shadow/update", "shadow/name/n/get"]
)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_reserved_inputs_are_consumed(world: World, suffix: str, qos: int) -> None:
    """What comes on a reserved input topic goes to the house once, and to no subscriber."""
    world.permissive()
    topic = f"$aws/things/x/{suffix}"
    listener = world.online("listener")
    listener.subscribe(topic, "$aws/#", "#")
    device = world.online("device")
    device.publish(topic, b"{}", qos, packet_id=7 if qos else 0)
    if qos == 2:
        device.publish(topic, b"{}", qos, packet_id=7)
        device.send(Pubrel(7))
    assert [(a.device, a.client_id, a.certificate_id, a.topic, a.payload) for a in world.outbox.arrivals] == [
        ("device", "device", "cert", topic, b"{}")
    ]
    assert listener.messages() == []
    assert not device.closed


@pytest.mark.parametrize(
    "topic",
    [
        "$aws/things/x/shadow/update/accepted",
        "$aws/events/presence/connected/x",
        "$aws/things/x/jobs/get",
        "$SYS/x",
        "$",
    ],
)
def test_other_reserved_topics_are_refused(world: World, topic: str) -> None:
    """Nobody forges what only the house may say."""
    world.permissive()
    listener = world.online("listener")
    listener.subscribe(topic)
    device = world.online("device")
    device.publish(topic)
    assert device.closed
    assert listener.messages() == []
    assert world.outbox.arrivals == []


def test_reserved_inputs_need_permission(world: World) -> None:
    """Policy is asked for a reserved input as for any publish."""
    world.policy("some", policy(("Allow", "iot:Connect", "*")))
    world.certificate("cert", "some")
    world.online("device").publish("$aws/things/x/defender/metrics/json", b"{}")
    assert world.outbox.arrivals == []


def test_decisions_on_time_are_not_remembered(world: World) -> None:
    """A policy that looks at the clock is asked each time."""
    until = {"DateLessThan": {"aws:CurrentTime": "2023-11-14T22:13:30Z"}}
    world.policy("today", policy(("Allow", "iot:*", "*"), Condition=until))
    world.certificate("cert", "today")
    device = world.online("device")
    device.publish("t")
    assert not device.closed
    world.pass_time(20_000)
    device.publish("t")
    assert device.closed


# --- changes bite at once ---------------------------------------------------------------------------------------------


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
