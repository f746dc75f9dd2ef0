"""A real gateway on loopback over mTLS, with a fleet that tests change as they like, and a paho client that waits."""

from __future__ import annotations

import asyncio
import queue
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from both_ends import ALLOW_ALL, ARNS

from fleetward.gateway.child import Child
from fleetward.gateway.doors import Arrival, Clock, Command, Presence, Refused, Reply
from fleetward.gateway.remote import RemoteGateway
from fleetward.gateway.service import Gateway
from fleetward.gateway.starting import TlsFiles
from fleetward.meter.batch import Batch
from fleetward.records import (
    CertificateRecord,
    Change,
    GroupRecord,
    PolicyRecord,
    Record,
    RecordKind,
    ThingRecord,
)
from fleetward.registry.authority import Authority
from fleetward.settings import Settings

SECONDS = 10


def clock() -> int:
    return time.time_ns() // 1_000_000


class Awaited:
    """The `Outlets`, in queues that tests wait on."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.arrivals: queue.Queue[Arrival] = queue.Queue()
        self.presences: queue.Queue[Presence] = queue.Queue()

    def batch(self, batch: Batch) -> None:
        self.batches.append(batch)

    def arrival(self, arrival: Arrival) -> None:
        self.arrivals.put(arrival)

    def presence(self, presence: Presence) -> None:
        self.presences.put(presence)

    def refused(self, refused: Refused) -> None:
        pass

    def ended(self, client_id: str) -> Presence:
        """The end of that client's next session."""
        while True:
            presence = self.presences.get(timeout=SECONDS)
            if presence.client_id == client_id and not presence.connected:
                return presence


class RealGateway:
    """The gateway's service, started; certificates are made as they are asked for.

    `apart`: in a process, not on a thread. `gave_up` is what was told when there was no gateway any more.
    """

    def __init__(
        self, folder: Path, authority: Authority, clock: Clock = clock, apart: bool = False, **settings: Any
    ) -> None:
        self.apart = apart
        self.gave_up: queue.Queue[str] = queue.Queue()
        self.folder = folder
        self.clock = clock
        self.authority = authority
        self.settings = Settings(data_dir=folder, **{"mqtt_port": 0, **settings})
        self._versions = count(1)
        self._ids = count(1)
        self._fleet: dict[tuple[RecordKind, str], Change] = {}
        self._gateway: Gateway | RemoteGateway | None = None
        self.policy("all", ALLOW_ALL)
        self.start()

    @property
    def gateway(self) -> Gateway | RemoteGateway:
        assert self._gateway is not None
        return self._gateway

    @property
    def port(self) -> int:
        return self.gateway.port

    def start(self) -> None:
        certificate, key = self.authority.issue_server(("localhost", "127.0.0.1"), clock())
        tls = TlsFiles(certificate, key, self.authority.ca_file)
        self.outlets = Awaited()
        self._gateway = self._make(tls)
        for records in self._records():
            self._gateway.load(records)
        self._gateway.start()

    def _make(self, tls: TlsFiles) -> Gateway | RemoteGateway:
        these = (self.settings, self.clock, ARNS, tls, self.folder / "gateway.db", self.outlets)
        return RemoteGateway(*these, self._records, Child(), self.gave_up.put) if self.apart else Gateway(*these)

    def _records(self) -> list[list[Record]]:
        return [[change.record for change in self._fleet.values() if change.record is not None]]

    def stop(self) -> None:
        self.gateway.stop()

    def change(self, kind: RecordKind, key: str, record: Record | None) -> None:
        change = Change(next(self._versions), kind, key, record)
        self._fleet[kind, key] = change
        if self._gateway is not None:
            self._gateway.apply([change])

    def policy(self, name: str, text: str) -> None:
        self.change(RecordKind.POLICY, name, PolicyRecord(name, text))

    def group(self, name: str, *policies: str) -> None:
        self.change(RecordKind.GROUP, name, GroupRecord(name, None, policies))

    def thing(self, name: str, *groups: str) -> None:
        self.change(RecordKind.THING, name, ThingRecord(name, next(self._ids), groups=groups))

    def certificate(
        self, *policies: str, things: Sequence[str] = (), active: bool = True, known: bool = True
    ) -> Credentials:
        """A device's certificate with these policies (`all` by default), attached to these things."""
        issued = self.authority.issue_device(clock(), key="ec")
        if known:
            record = CertificateRecord(issued.id, active, policies or ("all",), frozenset(things))
            self.change(RecordKind.CERTIFICATE, issued.id, record)
        assert issued.private_key_pem is not None
        return Credentials(issued.id, issued.certificate_pem, issued.private_key_pem, self)

    def assume(self, certificate_id: str, *policies: str) -> None:
        """Makes that certificate known, whoever may hold it."""
        self.change(RecordKind.CERTIFICATE, certificate_id, CertificateRecord(certificate_id, True, policies))

    def command(self, command: Command) -> Reply:
        async def ask() -> Reply:
            return await asyncio.wait_for(self.gateway.command(command), SECONDS)

        return asyncio.run(ask())


class Credentials:
    """A device's certificate and key, as files."""

    def __init__(self, id: str, certificate_pem: str, key_pem: str, gateway: RealGateway) -> None:
        self.id = id
        self.gateway = gateway
        self.certificate_file = gateway.folder / f"{id[:12]}.pem"
        self.key_file = gateway.folder / f"{id[:12]}.key"
        self.certificate_file.write_text(certificate_pem)
        self.key_file.write_text(key_pem)

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.gateway.authority.ca_file)
        context.load_cert_chain(self.certificate_file, self.key_file)
        return context

    def paho(self, client_id: str, **options: Any) -> Paho:
        return Paho(self, client_id, **options)


class Paho:
    """A paho client whose calls return when the broker has answered."""

    def __init__(self, credentials: Credentials, client_id: str, *, v5: bool = False, **options: Any) -> None:
        self.messages: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        self.flags: Any = None
        self.gone = threading.Event()
        self.published: queue.Queue[Any] = queue.Queue()
        self.disconnect_reason: Any = None
        self._connected: queue.Queue[Any] = queue.Queue()
        self._subscribed: queue.Queue[list[Any]] = queue.Queue()
        self.port = credentials.gateway.port
        protocol = mqtt.MQTTv5 if v5 else mqtt.MQTTv311
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id,
            protocol=protocol,
            reconnect_on_failure=False,
            **options,
        )
        self.client.tls_set_context(credentials.context())
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)
        self.client.on_subscribe = lambda _c, _u, _m, reasons, _p: self._subscribed.put(list(reasons))
        self.client.on_publish = lambda _c, _u, _m, reason, _p: self.published.put(reason)

    def connect(self, **options: Any) -> str:
        """The broker's answer, in paho's words."""
        self.gone.clear()
        self.client.connect("127.0.0.1", self.port, **options)
        self.client.loop_start()
        return str(self._connected.get(timeout=SECONDS))

    def online(self, **options: Any) -> Paho:
        assert self.connect(**options) == "Success"
        return self

    def subscribe(self, *args: Any, **options: Any) -> list[str]:
        self.client.subscribe(*args, **options)
        return [str(reason) for reason in self._subscribed.get(timeout=SECONDS)]

    def publish(self, topic: str, payload: bytes | str = b"x", qos: int = 0, **options: Any) -> mqtt.MQTTMessageInfo:
        return self.client.publish(topic, payload, qos, **options)

    def next(self) -> tuple[str, bytes]:
        message = self.messages.get(timeout=SECONDS)
        return message.topic, message.payload

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def break_off(self) -> None:
        """The network breaks, without a DISCONNECT."""
        self.client.loop_stop()
        sock: Any = self.client.socket()
        sock.close()
        self.client._sock = None

    def _on_connect(self, _client: Any, _userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self.flags = flags
        self.properties = properties
        self._connected.put(reason)

    def _on_disconnect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.disconnect_reason = reason
        self.gone.set()


MakeGateway = Callable[..., RealGateway]
