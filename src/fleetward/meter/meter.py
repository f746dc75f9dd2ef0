"""The meter counts what devices do, on the gateway's thread, and packs one `Batch` per tick.

Counts live in the meter's columns, one row per device that did something in this tick; a `DeviceMeter` only knows its
row. So a flush is a handful of array operations however many devices there are, and a device that was idle costs
nothing.
"""

from __future__ import annotations

from array import array
from weakref import WeakValueDictionary

import numpy as np

from fleetward.meter import metrics
from fleetward.meter.batch import Batch, Cells, Column, Ids, TopicCells
from fleetward.meter.on_demand import OnDemand, digest, network_of
from fleetward.model import Demand, Millis

MAX_TOPICS = 8
"""Topic counters per device and tick."""

MAX_TOPIC_LENGTH = 256
"""Characters of a topic that are told apart; AWS's own topics end there."""

_MAX_MENTIONED = 500_000
_MENTION_MILLIS = 12 * 3_600_000
_UNSEEN = 2**63 - 1


class DeviceMeter:
    """Counts for one device; every call is one observation. Held by the device's session, forgotten with it."""

    __slots__ = ("__weakref__", "_meter", "_row", "_tick", "_topics", "address", "client_id", "id", "name")

    def __init__(self, meter: Meter, id: int, name: str) -> None:
        self.id = id
        self.name = name
        self.client_id = name  # the last one it used, and below the address it came from
        self.address = ""
        self._meter = meter
        self._tick = -1
        self._row = 0
        self._topics: dict[str, int] = {}

    def published(self, topic: str, size: int) -> None:
        """The device sent a message that was accepted; `size` is topic plus payload, in bytes."""
        meter = self._meter
        row = self._row if self._tick == meter._tick else meter._enter(self)
        meter._sent[row] += 1
        meter._bytes[row] += size
        if size > meter._largest[row]:
            meter._largest[row] = size
        if size < meter._smallest[row]:
            meter._smallest[row] = size
        shown = topic if len(topic) <= MAX_TOPIC_LENGTH else topic[:MAX_TOPIC_LENGTH]
        cell = self._topics.get(shown)
        if cell is None:
            cell = meter._enter_topic(self, shown)
        meter._topic_messages[cell] += 1
        meter._topic_bytes[cell] += size
        if meter.on_demand is not None:
            _published(meter.on_demand, self, topic, size)

    def received(self, topic: str, size: int) -> None:
        """A message was delivered to the device."""
        meter = self._meter
        meter._received[self._row if self._tick == meter._tick else meter._enter(self)] += 1
        if meter.on_demand is not None:
            meter.on_demand.about(metrics.MESSAGES_RECEIVED, self.id, topic, self.client_id)

    def denied(self, topic: str) -> None:
        """Policy denied the device something; `topic` is "" when it was not about a topic."""
        meter = self._meter
        meter._denied[self._row if self._tick == meter._tick else meter._enter(self)] += 1
        if meter.on_demand is not None:
            meter.on_demand.about(metrics.AUTHORIZATION_FAILURES, self.id, topic, self.client_id)

    def attempted(self) -> None:
        """The device sent a CONNECT, whatever became of it."""
        meter = self._meter
        meter._attempted[self._row if self._tick == meter._tick else meter._enter(self)] += 1

    def connected(self, address: str = "") -> None:
        """A session of the device began, from an address that may be unknown."""
        meter = self._meter
        self.address = address
        meter._connected[self._row if self._tick == meter._tick else meter._enter(self)] += 1
        if meter.on_demand is not None and address:
            meter.on_demand.note(metrics.SOURCE_IP, self.id, address)
            meter.on_demand.note(metrics.NEW_NETWORK, self.id, network_of(address))

    def disconnected(self) -> None:
        """A session of the device ended."""
        meter = self._meter
        meter._disconnected[self._row if self._tick == meter._tick else meter._enter(self)] += 1

    # --- counted only on demand ---

    def spoke(self) -> None:
        """The device sent a packet other than PINGREQ and an accepted PUBLISH, which tells by itself."""
        if self._meter.on_demand is not None:
            self._more(metrics.SILENCE)

    def tried(self, topic: str) -> None:
        """The device asked for a topic, whatever the answer; an accepted PUBLISH tells by itself."""
        if self._meter.on_demand is not None:
            self._more(metrics.TOPICS_TRIED, digest(topic))

    def undelivered(self) -> None:
        """The device published what nobody subscribes to."""
        self._more(metrics.UNDELIVERABLE)

    def idled(self) -> None:
        """A connection of the device ended without a packet after its CONNECT."""
        self._more(metrics.IDLE_CONNECTIONS)

    def identified(self, client_id: str) -> None:
        """The device is a certificate, which was used with this client id."""
        self._more(metrics.CLIENT_IDS, digest(client_id))

    def _more(self, metric: str, item: str = "") -> None:
        meter = self._meter
        if meter.on_demand is None or not meter.on_demand.wants(metric):
            return
        if self._tick != meter._tick:
            meter._enter(self)
        if item:
            meter.on_demand.note(metric, self.id, item)
        else:
            meter.on_demand.count(metric, self.id)


def _published(on_demand: OnDemand, device: DeviceMeter, topic: str, size: int) -> None:
    id, client_id = device.id, device.client_id
    on_demand.about(metrics.MESSAGE_SIZE, id, topic, client_id, size)
    on_demand.about(metrics.MESSAGES_SENT, id, topic, client_id)
    on_demand.note_about(metrics.SOURCE_IP, id, topic, client_id, device.address)
    on_demand.count(metrics.SILENCE, id)
    if on_demand.wants(metrics.TOPICS_TRIED):
        on_demand.note(metrics.TOPICS_TRIED, id, digest(topic))


class Meter:
    """All device meters of one gateway run. Not thread-safe: it belongs to the gateway's thread.

    `on_demand` counts what is not basic; None while nobody asks for any.
    """

    def __init__(self, gateway: str, now: Millis) -> None:
        self.gateway = gateway
        self._start = now
        self._tick = 0
        self._devices: WeakValueDictionary[int, DeviceMeter] = WeakValueDictionary()
        self._mentioned = _Mentioned(now)
        self.on_demand: OnDemand | None = None
        self._clear()

    def device(self, id: int, name: str) -> DeviceMeter:
        """The meter of a device; the same object while somebody holds it, and to the end of the tick."""
        device = self._devices.get(id)
        if device is None:
            device = self._devices[id] = DeviceMeter(self, id, name)
        return device

    def meet(self, demand: Demand) -> None:
        """From now on counts what `demand` says besides the basic metrics; what is unchanged goes on."""
        if self.on_demand is None or self.on_demand.demand != demand:
            self.on_demand = OnDemand(demand) if demand.columns else None

    def flush(self, end: Millis) -> Batch:
        """Everything since the last flush, as the batch of [last end, end). `end` must not go back."""
        ids, disconnected = _view(self._ids), _view(self._disconnected)
        batch = Batch(
            gateway=self.gateway,
            sequence=self._tick,
            start=self._start,
            end=max(end, self._start),
            names=self._names,
            connected=np.repeat(ids, _view(self._connected)),
            disconnected=np.repeat(ids, disconnected),
            cells=self._pack_cells(ids, disconnected) | (self.on_demand.pack() if self.on_demand else {}),
            topics=self._pack_topics(),
        )
        self._start = batch.end
        self._tick += 1
        self._mentioned.age(batch.end)
        self._clear()
        return batch

    def _clear(self) -> None:
        self._names: dict[int, str] = {}
        self._touched: list[DeviceMeter] = []  # keeps them through the tick, so that a device has one row in it
        self._ids = array("q")
        self._sent, self._bytes, self._smallest, self._largest = array("q"), array("q"), array("q"), array("q")
        self._received, self._denied, self._attempted = array("q"), array("q"), array("q")
        self._connected, self._disconnected = array("q"), array("q")
        self._topic_names: list[str] = []
        self._topic_devices, self._topic_messages, self._topic_bytes = array("q"), array("q"), array("q")

    def _enter(self, device: DeviceMeter) -> int:
        """Gives a device its row in this tick."""
        row = len(self._ids)
        device._tick, device._row = self._tick, row
        device._topics.clear()
        self._touched.append(device)
        self._ids.append(device.id)
        self._smallest.append(_UNSEEN)
        for column in (self._sent, self._bytes, self._largest, self._received, self._denied):
            column.append(0)
        for column in (self._attempted, self._connected, self._disconnected):
            column.append(0)
        if self._mentioned.first(device.id):
            self._names[device.id] = device.name
        return row

    def _enter_topic(self, device: DeviceMeter, topic: str) -> int:
        """Gives a topic a counter; when all are taken the smallest one, counts and all (Space-Saving)."""
        topics = device._topics
        if len(topics) < MAX_TOPICS:
            cell = topics[topic] = len(self._topic_names)
            self._topic_names.append(topic)
            self._topic_devices.append(device.id)
            self._topic_messages.append(0)
            self._topic_bytes.append(0)
            return cell
        evicted = min(topics, key=lambda name: self._topic_bytes[topics[name]])
        cell = topics[topic] = topics.pop(evicted)
        self._topic_names[cell] = topic
        return cell

    def _pack_cells(self, ids: Ids, disconnected: Ids) -> dict[Column, Cells]:
        cells: dict[Column, Cells] = {}
        sent = _view(self._sent)
        senders = sent > 0
        if senders.any():
            size, low, high = (_view(column)[senders] for column in (self._bytes, self._smallest, self._largest))
            cells[metrics.MESSAGE_SIZE, ""] = Cells(ids[senders], sent[senders], size, low, high)
        for metric, count in (
            (metrics.MESSAGES_SENT, sent),
            (metrics.MESSAGES_RECEIVED, _view(self._received)),
            (metrics.AUTHORIZATION_FAILURES, _view(self._denied)),
            (metrics.CONNECTION_ATTEMPTS, _view(self._attempted)),
            (metrics.DISCONNECTS, disconnected),
        ):
            if count.any():
                cells[metric, ""] = _counted(ids, count)
        return cells

    def _pack_topics(self) -> TopicCells | None:
        if not self._topic_names:
            return None
        return TopicCells(
            topics=tuple(self._topic_names),
            device=_view(self._topic_devices),
            topic=np.arange(len(self._topic_names), dtype=np.int64),
            messages=_view(self._topic_messages),
            bytes=_view(self._topic_bytes),
        )


class _Mentioned:
    """Which ids had their name sent, in two generations: an id idle for a day is forgotten, so its name comes again.

    That is sooner than detection forgets a name (two days), and keeps the memory bounded.
    """

    def __init__(self, now: Millis) -> None:
        self._young: set[int] = set()
        self._old: set[int] = set()
        self._turned = now

    def first(self, id: int) -> bool:
        if id in self._young:
            return False
        self._young.add(id)
        return id not in self._old

    def age(self, now: Millis) -> None:
        if len(self._young) >= _MAX_MENTIONED or now - self._turned >= _MENTION_MILLIS:
            self._young, self._old, self._turned = set(), self._young, now


def _view(column: array[int]) -> Ids:
    return np.frombuffer(column, dtype=np.int64)


def _counted(ids: Ids, count: Ids) -> Cells:
    """The cells of a counter: each observation weighs 1."""
    seen = count > 0
    ones = np.ones(int(seen.sum()), dtype=np.int64)
    return Cells(ids[seen], count[seen], count[seen], ones, ones)
