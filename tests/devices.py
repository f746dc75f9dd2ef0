"""Devices for tests: real clients over mTLS."""

from __future__ import annotations

import random
import ssl
import string
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt

from fleetward.simulate.provision import Broker, Keys


def tls_context(keys: Keys, broker: Broker, folder: Path) -> ssl.SSLContext:
    """Client TLS with the device's certificate; its files go to `folder`."""
    context = ssl.create_default_context(cadata=broker.ca_pem)
    name = keys.certificate_arn.rsplit("/", 1)[1][:16]
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_text(keys.certificate_pem)
    key.write_text(keys.private_key_pem)
    context.load_cert_chain(certificate, key)
    return context


class Device:
    """A paho client that waits for its answers."""

    def __init__(self, client_id: str, keys: Keys, broker: Broker, folder: Path, **options: object) -> None:
        self.received: list[mqtt.MQTTMessage] = []
        self.arrived = threading.Condition()
        self.gone = threading.Event()
        self._answer: list[object] = []
        self._answered = threading.Event()
        self._subscribed = threading.Event()
        self._broker = broker
        options = {"client_id": client_id, "reconnect_on_failure": False, **options}
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, **options)  # type: ignore[arg-type]
        self.client.tls_set_context(tls_context(keys, broker, folder))
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = lambda *_: self.gone.set()
        self.client.on_message = self._on_message
        self.client.on_subscribe = lambda *_: self._subscribed.set()

    def connect(self) -> str:
        """Connects and returns the broker's answer: "Success", or why not."""
        self._answer.clear()
        self._answered.clear()
        self.gone.clear()
        self.client.connect(self._broker.host, self._broker.port)
        self.client.loop_start()
        assert self._answered.wait(10), "no CONNACK"
        return str(self._answer[0])

    def subscribe(self, topic: str, qos: int = 1) -> None:
        self._subscribed.clear()
        self.client.subscribe(topic, qos)
        assert self._subscribed.wait(10), "no SUBACK"

    def publish(self, topic: str, payload: str | bytes, qos: int = 1) -> None:
        self.client.publish(topic, payload, qos).wait_for_publish(10)

    def wait_for(self, count: int, seconds: float = 10) -> list[mqtt.MQTTMessage]:
        """The messages received, once there are `count` of them."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.received) >= count, seconds), f"{len(self.received)}/{count}"
            return list(self.received)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _on_connect(
        self, _client: object, _userdata: object, _flags: object, reason: object, _properties: object
    ) -> None:
        self._answer.append(reason)
        self._answered.set()

    def _on_message(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        with self.arrived:
            self.received.append(message)
            self.arrived.notify_all()


class Sensor(Device):
    """A temperature sensor that publishes in the middle of each second until it is closed or cut off."""

    def __init__(self, client_id: str, keys: Keys, broker: Broker, folder: Path) -> None:
        super().__init__(client_id, keys, broker, folder)
        self.topic = f"temperature-device-{client_id[-2:]}"
        self.compromised = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        assert self.connect() == "Success"
        self._thread.start()

    @property
    def is_cut_off(self) -> bool:
        return self.gone.is_set()

    def close(self) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(5)
        super().close()

    def _run(self) -> None:
        while not self._closing.is_set() and not self.is_cut_off:
            now = time.time()
            if self._closing.wait((now // 1 + (0.5 if now % 1 < 0.5 else 1.5)) - now):
                return
            self.client.publish(self.topic, self._payload(), qos=1)

    def _payload(self) -> str:
        if self.compromised:
            return "".join(random.choices(string.ascii_uppercase + string.digits, k=3000))
        return str(round(random.uniform(15.1, 29.9), 2))
