"""The MQTT test client of the story: listens to the temperatures and remembers what arrived when."""

from __future__ import annotations

import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt

from fleetward.simulate.provision import OBSERVER, Broker, Keys


@dataclass(frozen=True, slots=True)
class Heard:
    topic: str
    size: int
    """Bytes of topic and payload, as message size is metered."""
    at: float
    """Epoch seconds."""


class Observer:
    """Connects in its constructor; `heard` grows while it runs."""

    def __init__(self, keys: Keys, broker: Broker, folder: Path, topics: tuple[str, ...]) -> None:
        self.heard: list[Heard] = []
        self._topics = topics
        self._subscribed = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=OBSERVER, protocol=mqtt.MQTTv5)
        self._client.tls_set_context(_tls(keys, broker, folder))
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        if not self._subscribed.wait(10):
            raise TimeoutError("the MQTT test client could not subscribe within 10 s")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def count(self, topic: str, since: float, until: float = float("inf")) -> tuple[int, int]:
        """(messages, bytes) on a topic in [since, until)."""
        sizes = [heard.size for heard in list(self.heard) if heard.topic == topic and since <= heard.at < until]
        return len(sizes), sum(sizes)

    def _on_connect(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe([(topic, 1) for topic in self._topics])

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        size = len(message.topic.encode()) + len(message.payload)
        self.heard.append(Heard(message.topic, size, time.time()))


def _tls(keys: Keys, broker: Broker, folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=broker.ca_pem)
    certificate, key = folder / "observer.pem", folder / "observer.key"
    key.touch(mode=0o600)
    certificate.write_text(keys.certificate_pem)
    key.write_text(keys.private_key_pem)
    context.load_cert_chain(certificate, key)
    return context
