"""Both ends of MQTT in one process without sockets: our codec as the device against the guard and the broker core."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import count
from typing import Any, TypeVar

from fleetward.arn import Arns
from fleetward.gateway.broker import Broker
from fleetward.gateway.client import Client
from fleetward.gateway.codec import Reader, encode
from fleetward.gateway.doors import Arrival, Presence, Refused
from fleetward.gateway.durable import Durable, NullDurable
from fleetward.gateway.guard import Guard
from fleetward.gateway.identity import Principal
from fleetward.gateway.limits import Limits
from fleetward.gateway.packets import (
    V5,
    V311,
    Connack,
    Connect,
    Packet,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Will,
)
from fleetward.meter.batch import Batch
from fleetward.meter.meter import Meter
from fleetward.records import (
    CertificateRecord,
    Change,
    GroupRecord,
    PolicyRecord,
    Record,
    RecordKind,
    ThingRecord,
)
from fleetward.registry.view import FleetView

ARNS = Arns("us-east-1", "123456789012")
NOW = 1_700_000_000_000
Kind = TypeVar("Kind", bound=Packet)


def policy(*statements: tuple[str, str | list[str], str | list[str]], **condition: Any) -> str:
    """The text of a policy; resources are the last part of an IoT ARN (`topic/a`), or `*`."""
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": effect, "Action": actions, "Resource": _arns(resources), **condition}
                for effect, actions, resources in statements
            ],
        }
    )


def _arns(resources: str | list[str]) -> list[str]:
    listed = [resources] if isinstance(resources, str) else resources
    return [each if each == "*" else f"arn:aws:iot:us-east-1:123456789012:{each}" for each in listed]


ALLOW_ALL = policy(("Allow", "iot:*", "*"))
DENY_ALL = policy(("Deny", "iot:*", "*"))


class Outbox:
    """The `Outlets`, kept in lists."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.arrivals: list[Arrival] = []
        self.presences: list[Presence] = []
        self.refusals: list[Refused] = []

    def batch(self, batch: Batch) -> None:
        self.batches.append(batch)

    def arrival(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)

    def presence(self, presence: Presence) -> None:
        self.presences.append(presence)

    def refused(self, refused: Refused) -> None:
        self.refusals.append(refused)


class World:
    """A gateway core with a fleet, at a time that only moves when told to."""

    def __init__(self, limits: Limits | None = None, durable: Durable | None = None, **options: Any) -> None:
        self.now = NOW
        self.outbox = Outbox()
        self.meter = Meter("test", self.now)
        self.durable = durable or NullDurable()
        self.limits = limits or Limits()
        self.broker = Broker(self.limits, self.durable)
        self.broker.restore(self.durable.load(), self.now)
        self.view = FleetView(ARNS)
        self.guard = Guard(self.view, ARNS, self.meter, self.broker, self.limits, self.outbox, **options)
        self.certificates: dict[str, CertificateRecord] = {}
        self._versions = count(1)
        self._ids = count(1)

    # --- the fleet ----------------------------------------------------------------------------------------------------

    def change(self, kind: RecordKind, key: str, record: Record | None) -> None:
        self.guard.apply(Change(next(self._versions), kind, key, record))
        while self.guard.sweep(self.now):
            pass

    def policy(self, name: str, text: str) -> None:
        self.change(RecordKind.POLICY, name, PolicyRecord(name, text))

    def group(self, name: str, *policies: str, parent: str | None = None) -> None:
        self.change(RecordKind.GROUP, name, GroupRecord(name, parent, policies))

    def thing(self, name: str, *groups: str) -> int:
        known = self.view.thing(name)
        number = known.id if known else next(self._ids)
        self.change(RecordKind.THING, name, ThingRecord(name, number, groups=groups))
        return number

    def certificate(
        self, name: str, *policies: str, things: Iterable[str] = (), active: bool = True, exclusive: str | None = None
    ) -> str:
        self.change(
            RecordKind.CERTIFICATE, name, CertificateRecord(name, active, policies, frozenset(things), exclusive)
        )
        return name

    def permissive(self, name: str = "cert", things: Iterable[str] = ()) -> str:
        """A certificate that may do everything."""
        self.policy("all", ALLOW_ALL)
        return self.certificate(name, "all", things=things)

    # --- devices ------------------------------------------------------------------------------------------------------

    def device(self, certificate: str = "cert", version: int = V311) -> Device:
        return Device(self, certificate, version)

    def online(self, client_id: str, certificate: str = "cert", version: int = V311, **options: Any) -> Device:
        """A device that is connected."""
        device = self.device(certificate, version)
        connack = device.connect(client_id, **options)
        assert connack is not None
        assert connack.reason == 0
        return device

    def pass_time(self, millis: int) -> None:
        """In steps, as the ticks do."""
        end = self.now + millis
        while self.now < end:
            self.now = min(end, self.now + 250)
            self.guard.tick(self.now)

    def counted(self) -> dict[str, dict[str, int]]:
        """What was metered since the last call: device name → metric without its prefix → total."""
        batch = self.meter.flush(self.now)
        self._names = getattr(self, "_names", {}) | dict(batch.names)
        found: dict[str, dict[str, int]] = {}
        for (metric, _), cells in batch.cells.items():
            for device, total in zip(cells.device.tolist(), cells.total.tolist(), strict=True):
                counts = found.setdefault(self._names[device], {})
                assert metric.removeprefix("aws:") not in counts
                counts[metric.removeprefix("aws:")] = total
        return found


class Device:
    """A device's end of one connection; also the `Link` of the other end."""

    def __init__(self, world: World, certificate: str, version: int) -> None:
        self.congested = False
        self.closed = False
        self.reading = True
        self.version = version
        self.world = world
        self.raw = bytearray()
        self._reader = Reader(10_000_000, version)
        self._packets: list[Packet] = []
        self._woken = False
        self._ids = count(1)
        self.client: Client = world.guard.open(self, Principal(certificate, "192.0.2.1"), world.now)

    # --- Link ---------------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.raw += data
        self._reader.feed(data)
        self._packets += self._reader.packets()

    def close(self) -> None:
        self.closed = True

    def wake(self) -> None:
        self._woken = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    # --- device -------------------------------------------------------------------------------------------------------

    def send(self, *packets: Packet) -> None:
        self.feed(b"".join(encode(packet, self.version) for packet in packets))

    def feed(self, data: bytes) -> None:
        self.client.receive(data, self.world.now)
        self.turn()

    def turn(self) -> None:
        """The turns of the loop that the connection asked for."""
        while self._woken:
            self._woken = False
            self.client.work(self.world.now)

    def got(self, kind: type[Kind]) -> list[Kind]:
        """Takes out what came of that kind."""
        self.turn()
        found = [packet for packet in self._packets if isinstance(packet, kind)]
        self._packets = [packet for packet in self._packets if not isinstance(packet, kind)]
        return found

    def got_one(self, kind: type[Kind]) -> Kind:
        (packet,) = self.got(kind)
        return packet

    def messages(self) -> list[tuple[str, bytes]]:
        return [(packet.topic, packet.payload) for packet in self.got(Publish)]

    def connect(
        self,
        client_id: str,
        clean: bool = True,
        will: Will | None = None,
        keep_alive: int = 0,
        **properties: Any,
    ) -> Connack | None:
        self.send(Connect(client_id, self.version, clean, keep_alive, will, properties=properties))
        answers = self.got(Connack)
        return answers[0] if answers else None

    def subscribe(self, *filters: str | Subscription, qos: int = 1, **properties: Any) -> tuple[int, ...]:
        subscriptions = tuple(each if isinstance(each, Subscription) else Subscription(each, qos) for each in filters)
        self.send(Subscribe(next(self._ids), subscriptions, properties))
        return self.got_one(Suback).reasons

    def publish(
        self,
        topic: str,
        payload: bytes = b"x",
        qos: int = 0,
        retain: bool = False,
        packet_id: int = 0,
        **properties: Any,
    ) -> int:
        packet_id = packet_id or (next(self._ids) if qos else 0)
        self.send(Publish(topic, payload, qos, retain, False, packet_id, properties))
        return packet_id

    def lose(self) -> None:
        """The network breaks."""
        self.closed = True
        self.client.lost(self.world.now)


VERSIONS = (V311, V5)


OTHER = "f" * 64
"""The id of a certificate that is not the usual one."""


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


def packet_ids(device: Device) -> list[int]:
    """Of the PUBLISH packets that came."""
    return [packet.packet_id for packet in device.got(Publish)]
