"""A session, and what it and its connection know of each other: the broker's state as plain objects.

A session outlives its connections (MQTT 5 §4.1). `Peer` is the connection it has at the moment, seen from the broker:
the guard stands behind it and says for each message whether it may pass.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from fleetward.gateway.messages import Message, number_of, received_message
from fleetward.gateway.packets import Packet, Subscription, Will
from fleetward.gateway.saved import SavedMessage, SavedSession
from fleetward.model import Millis

MAX_PACKET_ID = 65_535


@dataclass(slots=True, eq=False)
class Outgoing:
    """One QoS 1 or 2 message on its way to one session. `order` is its place in that session's life.

    `packet_id` is 0 until it was first sent; `released` means PUBREC came and PUBREL went (QoS 2, §4.3.3).
    """

    message: Message
    qos: int
    retain: bool = False
    identifiers: tuple[int, ...] = ()
    order: int = 0
    packet_id: int = 0
    released: bool = False

    def saved(self) -> SavedMessage:
        return replace(
            self.message.saved(), qos=self.qos, retain=self.retain, packet_id=self.packet_id, released=self.released
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """A subscription as granted, and its MQTT 5 subscription identifier (0: none)."""

    subscription: Subscription
    identifier: int = 0


@dataclass(slots=True)
class Replay:
    """Retained messages still to be sent for a new subscription; `messages` is lazy and gives None to be polite."""

    grant: Grant
    messages: Iterator[Message | None]


class Peer(Protocol):
    """The connection of a session, with the guard behind it."""

    version: int

    @property
    def congested(self) -> bool:
        """Whether so much waits to be written that QoS 0 is dropped and other messages wait."""

    def admit(self, message: Message, now: Millis) -> bool:
        """Whether policy lets this client receive the message; counts the delivery, or the refusal."""

    def admit_will(self, message: Message, now: Millis) -> bool:
        """Whether policy still lets this client publish its will; counts it."""

    def write(self, data: bytes) -> None: ...

    def send(self, packet: Packet) -> None: ...

    def taken_over(self, now: Millis) -> None:
        """Another connection has the client id: this one ends, which detaches it from its session."""

    def wake(self) -> None:
        """Asks to be pumped again on the next turn of the loop."""


@dataclass(slots=True, eq=False)
class Testament:
    """A will, and the client and connection on whose behalf it is published."""

    will: Will
    client_id: str
    peer: Peer

    @property
    def delay_seconds(self) -> int:
        return number_of(self.will.properties, "will_delay_interval", 0)

    def message(self, now: Millis) -> Message:
        """Its life begins when it is published (§3.1.3.2.4)."""
        return received_message(self.will, self.client_id, now)


@dataclass(slots=True, eq=False)
class Session:
    """The state of one client (§4.1). `owner` is the id of the certificate that made it."""

    client_id: str
    owner: str
    version: int
    expiry_seconds: int | None = 0
    """How long it outlives its connection; None: for ever."""

    persistent: bool = False
    """Whether it outlives its connection at all: then it is kept on disk."""

    window: int = MAX_PACKET_ID
    """How many messages may be in flight to it: no more than it takes (§3.1.2.11.3)."""

    maximum_packet: int | None = None
    """The largest packet the client takes, in bytes."""

    disconnected_at: Millis | None = None
    connected_at: Millis = 0
    peer: Peer | None = None
    discarded: bool = False
    grants: dict[str, Grant] = field(default_factory=dict)
    grant_bytes: int = 0
    awaiting_release: set[int] = field(default_factory=set)
    """Inbound QoS 2 packet ids between PUBLISH and PUBREL."""

    queue: deque[Outgoing] = field(default_factory=deque)
    inflight: dict[int, Outgoing] = field(default_factory=dict)
    held_bytes: int = 0
    """Of the messages in `queue` and `inflight`."""

    replays: dict[str, Replay] = field(default_factory=dict)
    testament: Testament | None = None
    last_order: int = 0
    last_packet_id: int = 0

    def lasts(self, seconds: int | None) -> None:
        """Sets how long it outlives its connection."""
        self.expiry_seconds = seconds
        self.persistent = seconds != 0

    def allocate_packet_id(self) -> int:
        """An id that no message in flight has [MQTT-2.2.1-3]; in flight are always fewer than there are ids."""
        packet_id = self.last_packet_id
        while True:
            packet_id = packet_id + 1 if packet_id < MAX_PACKET_ID else 1
            if packet_id not in self.inflight:
                self.last_packet_id = packet_id
                return packet_id

    def saved(self) -> SavedSession:
        return SavedSession(
            self.client_id,
            self.owner,
            self.version,
            self.expiry_seconds,
            self.disconnected_at,
            tuple(grant.subscription for grant in self.grants.values()),
            tuple(self.awaiting_release),
        )
