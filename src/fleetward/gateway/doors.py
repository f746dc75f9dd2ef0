"""The four doors: the only ways in and out of the gateway.

1. out: packed observation batches (`meter.batch.Batch`);
2. out: what arrived on reserved topics, and presence events;
3. in: the fleet as `Change`s, first the whole of it, then each step; and what is to be counted;
4. in: commands, each with a reply.

Everything that passes is a picklable value: the gateway is a process of its own (`gateway.remote`), or a thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from fleetward.meter.batch import Batch
from fleetward.model import Demand, Millis
from fleetward.records import Change


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message on a reserved input topic (`$aws/things/…/defender/…`, `…/shadow/…`): consumed, never delivered."""

    device: str
    certificate_id: str
    client_id: str
    topic: str
    payload: bytes
    time: Millis


@dataclass(frozen=True, slots=True)
class Presence:
    """A session began or ended. `reason` is one of AWS's disconnect reasons, and empty for a begin."""

    client_id: str
    certificate_id: str
    device: str
    connected: bool
    address: str
    session: int
    time: Millis
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A CONNECT was refused, and why in words. Not every one is told when there are many."""

    client_id: str
    certificate_id: str
    address: str
    why: str
    time: Millis


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection of `client_id`, and forget its session when `forget`. Reply: whether one was open.

    Its will is published only `with_will`.
    """

    client_id: str
    reason: str = "SERVER_INITIATED_DISCONNECT"
    forget: bool = False
    with_will: bool = True


@dataclass(frozen=True, slots=True)
class Publish:
    """Deliver a message from the house. Reply: to how many sessions it went."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class GetRetained:
    """Reply: the retained `Publish` of that topic, or None."""

    topic: str


@dataclass(frozen=True, slots=True)
class ListRetained:
    """Reply: the first `limit` retained messages whose topics sort behind `after`, as `Retained`s in that order."""

    after: str = ""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Retained:
    """A retained message without its payload."""

    topic: str
    payload_size: int
    qos: int


@dataclass(frozen=True, slots=True)
class CountSessions:
    """Reply: how many clients are connected now."""


@dataclass(frozen=True, slots=True)
class LoadCertificate:
    """Read the files of the server's certificate again; handshakes from now on show what they hold. Reply: None."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Look on at the messages whose topics match, and at what is refused. Reply: whether there was room for it.

    It ends when nobody reads it for a while.
    """

    id: str
    owner: str
    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReadWatch:
    """Reply: what the watch has `Seen` since it was read last, or None when its owner has no such watch."""

    id: str
    owner: str


@dataclass(frozen=True, slots=True)
class Unwatch:
    """Reply: whether its owner had such a watch."""

    id: str
    owner: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """A message that passed. `payload` may be only the beginning of its `size` bytes; the house's have no `sender`."""

    topic: str
    payload: bytes
    size: int
    qos: int
    retain: bool
    sender: str
    time: Millis


@dataclass(frozen=True, slots=True)
class Denial:
    """Refusals that are alike: how many, and when the last one was. `action` is an IoT action, such as `iot:Publish`.

    `topic` is that of the last one, empty when it was about the connection; `device` and `why` are empty when it
    stands for those of many devices.
    """

    device: str
    action: str
    topic: str
    why: str
    count: int
    time: Millis


@dataclass(frozen=True, slots=True)
class Seen:
    """`missed` messages passed too quickly to be kept."""

    filters: tuple[str, ...]
    messages: tuple[Sighting, ...]
    denials: tuple[Denial, ...]
    missed: int


Command: TypeAlias = (
    Drop | Publish | GetRetained | ListRetained | CountSessions | LoadCertificate | Watch | ReadWatch | Unwatch
)
Reply: TypeAlias = "bool | int | Publish | tuple[Retained, ...] | Seen | None"


class Outlets(Protocol):
    """Doors 1 and 2 as the gateway sees them; called on the gateway's thread, must return at once."""

    def batch(self, batch: Batch) -> None: ...
    def arrival(self, arrival: Arrival) -> None: ...
    def presence(self, presence: Presence) -> None: ...
    def refused(self, refused: Refused) -> None: ...


class Inlets(Protocol):
    """Doors 3 and 4 as the house sees them; callable from the house's event loop."""

    def apply(self, changes: Sequence[Change]) -> None:
        """Hands over a step of the change feed and returns at once; it takes effect before any command sent later."""

    def demand(self, demand: Demand) -> None:
        """Says what is to be counted beyond the basic metrics from now on, and returns at once."""

    def command(self, command: Command) -> Awaitable[Reply]: ...


Clock: TypeAlias = Callable[[], Millis]
