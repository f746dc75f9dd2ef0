"""AWS's own device SDK over real mTLS: the 3.1.1 and the MQTT 5 builder."""

from __future__ import annotations

import queue
from concurrent.futures import Future
from typing import Any

from awscrt import mqtt, mqtt5
from awsiot import mqtt5_client_builder, mqtt_connection_builder
from both_ends import policy
from real_gateway import SECONDS, Credentials, RealGateway

from fleetward.gateway.doors import Publish
from fleetward.records import RecordKind


class Mqtt3:
    """A connection of the 3.1.1 builder, with its own defaults where none are given."""

    def __init__(self, credentials: Credentials, client_id: str, **options: Any) -> None:
        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.gone: Future[Any] = Future()
        self.connection = mqtt_connection_builder.mtls_from_path(
            endpoint="localhost",
            port=credentials.gateway.port,
            cert_filepath=str(credentials.certificate_file),
            pri_key_filepath=str(credentials.key_file),
            ca_filepath=str(credentials.gateway.authority.ca_file),
            client_id=client_id,
            reconnect_min_timeout_secs=1,
            reconnect_max_timeout_secs=1,
            on_connection_interrupted=lambda connection, error, **_: self.gone.done() or self.gone.set_result(error),
            **options,
        )
        self.connection.on_message(lambda topic, payload, **_: self.messages.put((topic, payload)))

    def connect(self) -> bool:
        """Whether a session was resumed."""
        return bool(self.connection.connect().result(SECONDS)["session_present"])

    def subscribe(self, topic: str) -> None:
        future, _ = self.connection.subscribe(topic, mqtt.QoS.AT_LEAST_ONCE)
        future.result(SECONDS)

    def publish(self, topic: str, payload: str, **options: Any) -> None:
        future, _ = self.connection.publish(topic, payload, mqtt.QoS.AT_LEAST_ONCE, **options)
        future.result(SECONDS)

    def close(self) -> None:
        self.connection.disconnect().result(SECONDS)


def test_builder_3_1_1_resumes_its_session(gateway: RealGateway) -> None:
    """The SDK's default, a persistent session, is resumed with what was queued meanwhile."""
    credentials = gateway.certificate()
    device = Mqtt3(credentials, "device", clean_session=False)
    assert device.connect() is False
    device.subscribe("t/#")
    device.publish("t/1", "hello")
    assert device.messages.get(timeout=SECONDS) == ("t/1", b"hello")
    device.close()
    other = Mqtt3(credentials, "other", clean_session=True)
    other.connect()
    other.publish("t/2", "while away", retain=False)
    other.close()
    device = Mqtt3(credentials, "device", clean_session=False)
    assert device.connect() is True
    assert device.messages.get(timeout=SECONDS) == ("t/2", b"while away")
    device.close()


def test_builder_3_1_1_is_cut_off(gateway: RealGateway) -> None:
    """The SDK's device is dropped at once when its certificate is switched off."""
    credentials = gateway.certificate()
    device = Mqtt3(credentials, "device", clean_session=False)
    device.connect()
    gateway.change(RecordKind.CERTIFICATE, credentials.id, None)
    assert device.gone.result(SECONDS) is not None
    device.close()


class Mqtt5:
    """A client of the MQTT 5 builder, with its own defaults."""

    def __init__(self, credentials: Credentials, client_id: str) -> None:
        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.connected: Future[Any] = Future()
        self.failed: Future[Any] = Future()
        self.disconnected: Future[Any] = Future()
        self.stopped: Future[Any] = Future()
        self.client = mqtt5_client_builder.mtls_from_path(
            endpoint="localhost",
            port=credentials.gateway.port,
            cert_filepath=str(credentials.certificate_file),
            pri_key_filepath=str(credentials.key_file),
            ca_filepath=str(credentials.gateway.authority.ca_file),
            client_id=client_id,
            on_publish_received=lambda data: self.messages.put(
                (data.publish_packet.topic, bytes(data.publish_packet.payload))
            ),
            on_lifecycle_connection_success=lambda data: _once(self.connected, data),
            on_lifecycle_connection_failure=lambda data: _once(self.failed, data),
            on_lifecycle_disconnection=lambda data: _once(self.disconnected, data),
            on_lifecycle_stopped=lambda data: _once(self.stopped, data),
        )
        self.client.start()

    def publish(self, topic: str) -> mqtt5.PubackReasonCode:
        packet = mqtt5.PublishPacket(topic=topic, payload=b"x", qos=mqtt5.QoS.AT_LEAST_ONCE)
        return self.client.publish(packet).result(SECONDS).puback.reason_code

    def close(self) -> None:
        self.client.stop()
        self.stopped.result(SECONDS)


def _once(future: Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def test_builder_5(gateway: RealGateway) -> None:
    """The MQTT 5 client connects, subscribes, publishes, and is told when a publish is denied."""
    gateway.policy(
        "some",
        policy(("Allow", ["iot:Connect", "iot:Subscribe", "iot:Receive"], "*"), ("Allow", "iot:Publish", "topic/ok")),
    )
    device = Mqtt5(gateway.certificate("some"), "device")
    data = device.connected.result(SECONDS)
    assert data.negotiated_settings.shared_subscriptions_available is False
    subscribe = mqtt5.SubscribePacket([mqtt5.Subscription("#", mqtt5.QoS.AT_LEAST_ONCE)])
    suback = device.client.subscribe(subscribe).result(SECONDS)
    assert suback.reason_codes == [mqtt5.SubackReasonCode.GRANTED_QOS_1]
    assert device.publish("ok") == mqtt5.PubackReasonCode.SUCCESS
    assert device.messages.get(timeout=SECONDS) == ("ok", b"x")
    assert device.publish("no") == mqtt5.PubackReasonCode.NOT_AUTHORIZED
    assert gateway.command(Publish("from/the/house", b"y", 1)) == 1
    assert device.messages.get(timeout=SECONDS) == ("from/the/house", b"y")
    device.close()


def test_builder_5_is_told_why(gateway: RealGateway) -> None:
    """A refused CONNECT and a cut-off session carry MQTT 5's reason."""
    refused = Mqtt5(gateway.certificate(known=False), "device")
    assert refused.failed.result(SECONDS).connack_packet.reason_code == mqtt5.ConnectReasonCode.NOT_AUTHORIZED
    refused.close()
    credentials = gateway.certificate()
    device = Mqtt5(credentials, "device")
    device.connected.result(SECONDS)
    gateway.change(RecordKind.CERTIFICATE, credentials.id, None)
    packet = device.disconnected.result(SECONDS).disconnect_packet
    assert packet.reason_code == mqtt5.DisconnectReasonCode.NOT_AUTHORIZED
    device.close()
