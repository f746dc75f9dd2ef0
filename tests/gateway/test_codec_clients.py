"""The codec against independent implementations: paho-mqtt's packing, and real paho and AWS clients on a socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from queue import Queue

import pytest
from awscrt import io, mqtt, mqtt5
from paho.mqtt.client import Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from fleetward.gateway.codec import Reader, encode
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
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from fleetward.gateway.properties import PROPERTIES, PacketType, decode_properties, encode_properties
from fleetward.gateway.wire import Cursor

WAIT = 10.0
PAHO_TYPES = {kind: getattr(PacketTypes, "WILLMESSAGE" if kind.name == "WILL" else kind.name) for kind in PacketType}


class Listener:
    """A server of one connection: notes each packet, answers it as a server must, and sends what it is told to."""

    def __init__(self) -> None:
        self.received: Queue[Packet] = Queue()
        self.granted: tuple[Publish, ...] = ()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(WAIT)
        self._sockets = [self._listening]
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def next(self) -> Packet:
        while isinstance(packet := self.received.get(timeout=WAIT), Pingreq):
            pass
        return packet

    def close(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._thread.join(WAIT)

    def _serve(self) -> None:
        reader = Reader(1 << 20)
        connection, _ = self._listening.accept()
        connection.settimeout(WAIT)
        self._sockets.append(connection)
        with connection, suppress(OSError):
            while data := connection.recv(65536):
                reader.feed(data)
                for packet in reader.packets():
                    self.received.put(packet)
                    for answer in self._answers(packet, reader.version):
                        connection.sendall(encode(answer, reader.version))
                    if isinstance(packet, Disconnect):
                        return

    def _answers(self, packet: Packet, version: int) -> tuple[Packet, ...]:
        match packet:
            case Connect():
                return (Connack(False, 0, {"topic_alias_maximum": 0, "maximum_qos": 1} if version == V5 else {}),)
            case Publish(qos=1):
                return (Puback(packet.packet_id),)
            case Publish(qos=2):
                return (Pubrec(packet.packet_id),)
            case Pubrec():
                return (Pubrel(packet.packet_id),)
            case Pubrel():
                return (Pubcomp(packet.packet_id),)
            case Subscribe():
                granted = tuple(each.qos for each in packet.subscriptions)
                return Suback(packet.packet_id, granted), *self.granted
            case Unsubscribe():
                return (Unsuback(packet.packet_id, (0,) * len(packet.filters)),)
            case Pingreq():
                return (Pingresp(),)
        return ()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


def paho_properties(kind: PacketType, **values: object) -> Properties:
    properties = Properties(PAHO_TYPES[kind])
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


# --- packing ----------------------------------------------------------------------------------------------------------


def test_properties_are_those_of_paho() -> None:
    """PROPERTIES has the ids and the packets of paho's table, row for row."""
    theirs = Properties(PacketTypes.PUBLISH)
    packets_of = {identifier: set(packets) for identifier, (_, packets) in theirs.properties.items()}
    ours = {row.id: {PAHO_TYPES[kind] for kind in row.packets} for row in PROPERTIES}
    assert ours == packets_of
    names = {identifier: name.replace(" ", "_").lower() for name, identifier in theirs.names.items()}
    assert {row.id: row.name for row in PROPERTIES} == names


@pytest.mark.parametrize("kind", [kind for kind in PacketType if kind not in (PacketType.PINGREQ, PacketType.PINGRESP)])
def test_properties_are_packed_as_paho_does(kind: PacketType) -> None:
    """Each packet with all the properties it may carry has the bytes that paho packs, and is read back."""
    samples: dict[type, object] = {int: 1, str: "é", bytes: b"\0\xff", tuple: ("k", "v")}
    theirs, ours = Properties(PAHO_TYPES[kind]), {}
    for row in sorted(PROPERTIES, key=lambda row: list(theirs.names.values()).index(row.id)):
        if kind not in row.packets:
            continue
        value = next(value for value in samples.values() if _is_writable(row.kind.write, value))
        setattr(theirs, next(name for name, id_ in theirs.names.items() if id_ == row.id).replace(" ", ""), value)
        ours[row.name] = (value,) if kind in row.repeats else value
    packed = encode_properties(ours, kind)
    assert packed == theirs.pack()
    assert decode_properties(Cursor(packed, 0, len(packed)), kind) == ours


def _is_writable(write: object, value: object) -> bool:
    try:
        return isinstance(write(value), bytes)  # type: ignore[operator]
    except (TypeError, AttributeError, ValueError):
        return False


# --- paho on a socket -------------------------------------------------------------------------------------------------


@contextmanager
def paho(listener: Listener, protocol: int, **connecting: object) -> Iterator[tuple[Client, Queue[MQTTMessage]]]:
    messages: Queue[MQTTMessage] = Queue()
    clean = {} if protocol == MQTTv5 else {"clean_session": False}
    client = Client(CallbackAPIVersion.VERSION2, "sensor", protocol=protocol, **clean)
    client.username_pw_set("user", "pass")
    will = paho_properties(PacketType.WILL, WillDelayInterval=7) if protocol == MQTTv5 else None
    client.will_set("last/words", b"\0bye", 1, True, properties=will)
    client.on_message = lambda client, userdata, message: messages.put(message)
    client.connect("127.0.0.1", listener.port, 33, **connecting)  # type: ignore[arg-type]
    client.loop_start()
    try:
        yield client, messages
    finally:
        client.disconnect()
        client.loop_stop()


def test_paho_311(listener: Listener) -> None:
    """What paho sends on 3.1.1 is read as meant, and what is written to it is understood."""
    listener.granted = (Publish("down/2", b"\xff", 2, True, packet_id=5), Publish("down/0", b""))
    with paho(listener, MQTTv311) as (client, messages):
        will = Will("last/words", b"\0bye", 1, True)
        assert listener.next() == Connect("sensor", V311, False, 33, will, "user", b"pass")
        client.subscribe([("a/#", 2), ("b", 0)])
        assert listener.next() == Subscribe(1, (Subscription("a/#", 2), Subscription("b", 0)))
        received = [messages.get(timeout=WAIT) for _ in range(2)]
        assert {(each.topic, each.payload, each.qos, each.retain) for each in received} == {
            ("down/2", b"\xff", 2, True),
            ("down/0", b"", 0, False),
        }
        assert [listener.next(), listener.next()] == [Pubrec(5), Pubcomp(5)]
        for qos in range(3):
            client.publish("up/é", b"x" * 200, qos, retain=qos == 1).wait_for_publish(WAIT)
        assert listener.next() == Publish("up/é", b"x" * 200)
        assert listener.next() == Publish("up/é", b"x" * 200, 1, True, packet_id=3)
        assert [listener.next(), listener.next()] == [Publish("up/é", b"x" * 200, 2, packet_id=4), Pubrel(4)]
        client.unsubscribe(["a/#", "b"])
        assert listener.next() == Unsubscribe(5, ("a/#", "b"))
    assert listener.next() == Disconnect()


def test_paho_5(listener: Listener) -> None:
    """What paho sends on MQTT 5, properties and options included, is read as meant; and the other way."""
    properties = {"content_type": "text", "user_property": (("k", "1"), ("k", "2")), "subscription_identifier": (4, 5)}
    listener.granted = (Publish("down/2", b"\xff", 2, packet_id=5, properties=properties),)
    connecting = paho_properties(PacketType.CONNECT, SessionExpiryInterval=60, ReceiveMaximum=9)
    with paho(listener, MQTTv5, clean_start=True, properties=connecting) as (client, messages):
        will = Will("last/words", b"\0bye", 1, True, {"will_delay_interval": 7})
        theirs = {"session_expiry_interval": 60, "receive_maximum": 9}
        assert listener.next() == Connect("sensor", V5, True, 33, will, "user", b"pass", theirs)
        options = SubscribeOptions(1, noLocal=True, retainAsPublished=True, retainHandling=2)
        client.subscribe(
            [("a/#", options)], properties=paho_properties(PacketType.SUBSCRIBE, SubscriptionIdentifier=300)
        )
        subscription = Subscription("a/#", 1, True, True, 2)
        assert listener.next() == Subscribe(1, (subscription,), {"subscription_identifier": 300})
        message = messages.get(timeout=WAIT)
        assert (message.topic, message.payload, message.qos) == ("down/2", b"\xff", 2)
        assert message.properties is not None
        assert message.properties.ContentType == "text"  # type: ignore[attr-defined]
        assert message.properties.UserProperty == [("k", "1"), ("k", "2")]  # type: ignore[attr-defined]
        assert message.properties.SubscriptionIdentifier == [4, 5]  # type: ignore[attr-defined]
        assert [listener.next(), listener.next()] == [Pubrec(5), Pubcomp(5)]
        sending = paho_properties(PacketType.PUBLISH, ResponseTopic="r", CorrelationData=b"\1", MessageExpiryInterval=5)
        published = client.publish("up", b"x", 1, properties=sending)
        published.wait_for_publish(WAIT)
        sent = {"response_topic": "r", "correlation_data": b"\1", "message_expiry_interval": 5}
        assert listener.next() == Publish("up", b"x", 1, packet_id=published.mid, properties=sent)
        client.unsubscribe("a/#")
        assert listener.next() == Unsubscribe(published.mid + 1, ("a/#",))
    assert listener.next() == Disconnect()


# --- AWS's own clients ------------------------------------------------------------------------------------------------


def test_awscrt_311(listener: Listener) -> None:
    """AWS's 3.1.1 client and the codec understand each other."""
    listener.granted = (Publish("down", b"!", 1, packet_id=6),)
    messages: Queue[tuple[str, bytes]] = Queue()
    connection = mqtt.Connection(
        mqtt.Client(io.ClientBootstrap.get_or_create_static_default()),
        "127.0.0.1",
        listener.port,
        "sensor",
        clean_session=False,
        keep_alive_secs=40,
        will=mqtt.Will("gone", mqtt.QoS.AT_LEAST_ONCE, b"bye", True),
    )
    connection.on_message(lambda topic, payload, **_: messages.put((topic, payload)))
    connection.connect().result(WAIT)
    connect = listener.next()
    assert isinstance(connect, Connect)
    assert connect.username is None or connect.username.startswith("?SDK=")  # newer versions name themselves there
    assert replace(connect, username=None) == Connect("sensor", V311, False, 40, Will("gone", b"bye", 1, True))
    connection.subscribe("a/+", mqtt.QoS.AT_LEAST_ONCE)
    subscribe = listener.next()
    assert isinstance(subscribe, Subscribe)
    assert subscribe.subscriptions == (Subscription("a/+", 1),)
    assert messages.get(timeout=WAIT) == ("down", b"!")
    assert listener.next() == Puback(6)
    sent, packet_id = connection.publish("up", b"payload", mqtt.QoS.AT_LEAST_ONCE)
    sent.result(WAIT)
    assert listener.next() == Publish("up", b"payload", 1, packet_id=packet_id)
    connection.disconnect().result(WAIT)
    assert listener.next() == Disconnect()


def test_awscrt_5(listener: Listener) -> None:
    """AWS's MQTT 5 client and the codec understand each other."""
    properties = {"content_type": "text", "user_property": (("k", "v"),)}
    listener.granted = (Publish("down", b"!", 1, packet_id=6, properties=properties),)
    messages: Queue[mqtt5.PublishPacket] = Queue()
    connected: Future[bool] = Future()
    stopped: Future[bool] = Future()
    client = mqtt5.Client(
        mqtt5.ClientOptions(
            "127.0.0.1",
            listener.port,
            connect_options=mqtt5.ConnectPacket(client_id="sensor", keep_alive_interval_sec=50, receive_maximum=8),
            on_publish_callback_fn=lambda data: messages.put(data.publish_packet),
            on_lifecycle_event_connection_success_fn=lambda data: connected.set_result(True),
            on_lifecycle_event_stopped_fn=lambda data: stopped.set_result(True),
        )
    )
    client.start()
    assert connected.result(WAIT)
    connect = listener.next()
    assert isinstance(connect, Connect)
    assert (connect.client_id, connect.version, connect.keep_alive) == ("sensor", V5, 50)
    assert connect.properties["receive_maximum"] == 8
    subscription = mqtt5.Subscription("a/#", mqtt5.QoS.AT_LEAST_ONCE, no_local=True)
    granted = client.subscribe(mqtt5.SubscribePacket([subscription], subscription_identifier=200)).result(WAIT)
    assert granted.reason_codes == [mqtt5.SubackReasonCode.GRANTED_QOS_1]
    subscribe = listener.next()
    assert isinstance(subscribe, Subscribe)
    assert subscribe.subscriptions == (Subscription("a/#", 1, True),)
    assert subscribe.properties == {"subscription_identifier": 200}
    message = messages.get(timeout=WAIT)
    assert (message.topic, message.payload, message.content_type) == ("down", b"!", "text")
    assert [(pair.name, pair.value) for pair in message.user_properties or ()] == [("k", "v")]
    assert listener.next() == Puback(6)
    packet = mqtt5.PublishPacket(b"payload", mqtt5.QoS.AT_LEAST_ONCE, topic="up", message_expiry_interval_sec=9)
    client.publish(packet).result(WAIT)
    publish = listener.next()
    assert isinstance(publish, Publish)
    assert (publish.topic, publish.payload, publish.qos) == ("up", b"payload", 1)
    assert publish.properties["message_expiry_interval"] == 9
    client.stop(mqtt5.DisconnectPacket(mqtt5.DisconnectReasonCode.DISCONNECT_WITH_WILL_MESSAGE))
    assert stopped.result(WAIT)
    assert listener.next() == Disconnect(mqtt5.DisconnectReasonCode.DISCONNECT_WITH_WILL_MESSAGE)
