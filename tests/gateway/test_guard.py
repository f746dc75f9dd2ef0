"""The guard: who may connect, publish, subscribe and receive; both ends in one process."""

from __future__ import annotations

import pytest
from both_ends import VERSIONS, World, policy, refused

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
    """A CONNECT that policy denies is answered with the return code in the settings."""
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


class TestRefusalsAreTold:
    def test_why(self, world: World) -> None:
        """The house hears of a refused CONNECT in words, with who asked."""
        world.certificate("cert")
        refused(world, "nobody-allows-this")
        (told,) = world.outbox.refusals
        assert (told.client_id, told.why) == (
            "nobody-allows-this",
            "policy does not allow iot:Connect with this client id",
        )

    def test_not_all_of_a_flood(self, world: World) -> None:
        """Of a flood of refused CONNECTs the house hears of ten in a second."""
        world.certificate("cert")
        for _ in range(50):
            refused(world, "nobody-allows-this")
        assert len(world.outbox.refusals) == 10
