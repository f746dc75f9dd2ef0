"""Real paho clients over real mTLS."""

from __future__ import annotations

import pytest
from both_ends import policy
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from real_gateway import RealGateway

from fleetward.gateway.doors import CountSessions, Drop, GetRetained, Publish


@pytest.mark.parametrize("v5", [False, True])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_publish_and_subscribe(gateway: RealGateway, v5: bool, qos: int) -> None:
    """A message goes from one client to another at every QoS, in order, and is acknowledged."""
    credentials = gateway.certificate()
    listener = credentials.paho("listener", v5=v5).online()
    assert listener.subscribe("a/+", qos=qos)[0] == f"Granted QoS {qos}"
    speaker = credentials.paho("speaker", v5=v5).online()
    infos = [speaker.publish(f"a/{i}", str(i), qos) for i in range(20)]
    assert [listener.next() for _ in range(20)] == [(f"a/{i}", str(i).encode()) for i in range(20)]
    for info in infos:
        info.wait_for_publish(10)
    speaker.close()
    listener.close()


def test_persistent_session_and_retained_survive_a_restart(gateway: RealGateway) -> None:
    """After a restart a client resumes its session, gets what was queued, and later subscribers what was retained."""
    credentials = gateway.certificate()
    device = credentials.paho("device", clean_session=False).online()
    device.subscribe("queued/#", qos=1)
    device.close()
    sender = credentials.paho("sender").online()
    for i in range(5):
        sender.publish(f"queued/{i}", str(i), 1).wait_for_publish(10)
    sender.publish("retained", b"kept", 1, retain=True).wait_for_publish(10)
    gateway.stop()
    gateway.start()
    device = credentials.paho("device", clean_session=False).online()
    assert device.flags.session_present
    assert [device.next() for _ in range(5)] == [(f"queued/{i}", str(i).encode()) for i in range(5)]
    device.subscribe("retained")
    assert device.next() == ("retained", b"kept")
    assert gateway.command(GetRetained("retained")) == Publish("retained", b"kept", 1, True)
    device.close()


def test_v5_session_and_reason_codes(gateway: RealGateway) -> None:
    """paho's MQTT 5: session expiry, properties, and the reason for a denied publish and subscription."""
    gateway.policy(
        "some",
        policy(
            ("Allow", ["iot:Connect"], "*"),
            ("Allow", ["iot:Publish", "iot:Receive"], "topic/ok"),
            ("Allow", "iot:Subscribe", "topicfilter/ok"),
        ),
    )
    credentials = gateway.certificate("some")
    expiry = Properties(PacketTypes.CONNECT)
    expiry.SessionExpiryInterval = 60
    device = credentials.paho("device", v5=True).online(clean_start=True, properties=expiry)
    assert device.subscribe([("ok", 1), ("no", 1)]) == ["Granted QoS 1", "Not authorized"]
    correlated = Properties(PacketTypes.PUBLISH)
    correlated.CorrelationData = b"42"
    correlated.UserProperty = ("a", "b")
    device.publish("ok", b"1", 1, properties=correlated)
    message = device.messages.get(timeout=10)
    assert (message.properties.CorrelationData, message.properties.UserProperty) == (b"42", [("a", "b")])
    assert str(device.published.get(timeout=10)) == "Success"
    device.publish("no", b"1", 1)
    assert str(device.published.get(timeout=10)) == "Not authorized"
    device.publish("no", b"1", 0)
    assert device.gone.wait(10)
    assert str(device.disconnect_reason) == "Not authorized"
    device = credentials.paho("device", v5=True).online(clean_start=False, properties=expiry)
    assert device.flags.session_present
    device.close()


def test_refused_connect_leaves_the_victim_alone(gateway: RealGateway) -> None:
    """A client whose CONNECT is refused, with a victim's client id, does not disturb the victim."""
    victim = gateway.certificate().paho("victim").online()
    victim.subscribe("t")
    gateway.policy("nothing", policy(("Deny", "iot:*", "*")))
    attacker = gateway.certificate("nothing")
    unknown = gateway.certificate(known=False)
    inactive = gateway.certificate("all", active=False)
    for credentials in (attacker, unknown, inactive):
        for options in ({}, {"v5": True}):
            assert credentials.paho("victim", **options).connect() == "Not authorized"
    assert not victim.gone.is_set()
    assert gateway.command(Publish("t", b"still here")) == 1
    assert victim.next() == ("t", b"still here")
    victim.close()


def test_takeover_and_will(gateway: RealGateway) -> None:
    """The newer connection wins, the older is closed and its will published; a broken connection's too."""
    credentials = gateway.certificate()
    watcher = credentials.paho("watcher").online()
    watcher.subscribe("will")
    old = credentials.paho("device", v5=True)
    old.client.will_set("will", b"old")
    old.online()
    new = credentials.paho("device", v5=True)
    new.client.will_set("will", b"new")
    new.online()
    assert old.gone.wait(10)
    assert str(old.disconnect_reason) == "Session taken over"
    assert watcher.next() == ("will", b"old")
    new.break_off()
    assert watcher.next() == ("will", b"new")
    watcher.close()


def test_isolation_drops_the_live_session(gateway: RealGateway) -> None:
    """A thing moved to a denying group is dropped at once; the twin with the same certificate stays."""
    gateway.policy("deny-all", policy(("Deny", "iot:*", "*")))
    gateway.group("IsolatedDevices", "deny-all")
    gateway.thing("SensorDevice01")
    gateway.thing("SensorDevice02")
    credentials = gateway.certificate(things=("SensorDevice01", "SensorDevice02"))
    first = credentials.paho("SensorDevice01").online()
    second = credentials.paho("SensorDevice02").online()
    gateway.thing("SensorDevice02", "IsolatedDevices")
    assert second.gone.wait(10)
    assert gateway.outlets.ended("SensorDevice02").reason == "FORBIDDEN_ACCESS"
    assert credentials.paho("SensorDevice02").connect() == "Not authorized"
    assert credentials.paho("another-name").connect() == "Not authorized"
    first.publish("t", b"fine", 1).wait_for_publish(10)
    assert not first.gone.is_set()
    first.close()


def test_denied_publish_is_not_acknowledged(gateway: RealGateway) -> None:
    """On 3.1.1 a denied QoS 1 publish ends the connection, and is never reported as published."""
    gateway.policy("connect", policy(("Allow", "iot:Connect", "*")))
    device = gateway.certificate("connect").paho("device").online()
    device.publish("t", b"x", 1)
    assert device.gone.wait(10)
    assert device.published.empty()


def test_commands(gateway: RealGateway) -> None:
    """The house publishes, counts, drops clients and reads what is retained."""
    device = gateway.certificate().paho("device", v5=True).online()
    device.subscribe("$aws/things/x/shadow/get/accepted")
    assert gateway.command(CountSessions()) == 1
    assert gateway.command(Publish("$aws/things/x/shadow/get/accepted", b"{}", 1)) == 1
    assert device.next() == ("$aws/things/x/shadow/get/accepted", b"{}")
    assert gateway.command(Publish("nobody", b"x", retain=True, properties={"content_type": "text"})) == 0
    assert gateway.command(GetRetained("nobody")) == Publish("nobody", b"x", 0, True, {"content_type": "text"})
    assert gateway.command(GetRetained("nothing")) is None
    for bad in (Publish("a/#", b""), Publish("a" * 70_000, b""), Publish("a", b"", qos=3)):
        with pytest.raises(ValueError):
            gateway.command(bad)
    assert gateway.command(Drop("device")) is True
    assert device.gone.wait(10)
    assert str(device.disconnect_reason) == "Administrative action"
    assert gateway.command(Drop("device")) is False


def test_user_name_is_no_credential(gateway: RealGateway) -> None:
    """SDKs send their name and version as user name; it neither helps nor harms."""
    device = gateway.certificate().paho("device")
    device.client.username_pw_set("?SDK=PythonV2&Version=1.0", "anything")
    device.online().close()
    stranger = gateway.certificate(known=False).paho("device")
    stranger.client.username_pw_set("admin", "admin")
    assert stranger.connect() == "Not authorized"


def test_unusual_loop_still_serves(make_gateway: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without uvloop the gateway runs on asyncio's own loop."""
    monkeypatch.setitem(__import__("sys").modules, "uvloop", None)
    gateway: RealGateway = make_gateway()  # type: ignore[operator]
    device = gateway.certificate().paho("device").online()
    device.subscribe("t", qos=1)
    device.publish("t", b"x" * 100_000, 1)
    assert device.next() == ("t", b"x" * 100_000)
    device.close()
