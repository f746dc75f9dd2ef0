"""The four doors: the only ways in and out of the gateway.

1. out: packed observation batches (`meter.batch.Batch`);
2. out: what arrived on reserved topics, and presence events;
3. in: the fleet as `Change`s, first the whole of it, then each step;
4. in: commands, each with a reply.

Everything that passes is a picklable value, so that the gateway can become a process of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from fleetward.meter.batch import Batch
from fleetward.model import Change, Millis


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
class Drop:
    """Close the connection of `client_id`, and forget its session when `forget`. Reply: whether one was open."""

    client_id: str
    reason: str = "SERVER_INITIATED_DISCONNECT"
    forget: bool = False


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
class CountSessions:
    """Reply: how many clients are connected now."""


Command: TypeAlias = Drop | Publish | GetRetained | CountSessions
Reply: TypeAlias = "bool | int | Publish | None"


class Outlets(Protocol):
    """Doors 1 and 2 as the gateway sees them; called on the gateway's thread, must return at once."""

    def batch(self, batch: Batch) -> None: ...
    def arrival(self, arrival: Arrival) -> None: ...
    def presence(self, presence: Presence) -> None: ...


class Inlets(Protocol):
    """Doors 3 and 4 as the house sees them; callable from the house's event loop."""

    def apply(self, changes: Sequence[Change]) -> None:
        """Hands over a step of the change feed and returns at once; it takes effect before any command sent later."""

    def command(self, command: Command) -> Awaitable[Reply]: ...


Clock: TypeAlias = Callable[[], Millis]
