"""What the gateway's durable file holds, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleetward.gateway.packets import Subscription
from fleetward.model import Millis


@dataclass(frozen=True, slots=True)
class SavedSession:
    """A persistent session. `awaiting_release` are inbound QoS 2 packet ids between PUBLISH and PUBREL.

    `expires_after_seconds` None means never; `disconnected_at` is None while its client is connected.
    """

    client_id: str
    certificate_id: str
    version: int
    expires_after_seconds: int | None
    disconnected_at: Millis | None
    subscriptions: tuple[Subscription, ...] = ()
    awaiting_release: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SavedMessage:
    """An outbound message of a session, or a retained message.

    `packet_id` 0 means queued, not yet sent; `released` means PUBREC came and PUBREL went (QoS 2). `properties` are
    those of a PUBLISH, by the names of `properties.PROPERTIES`.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    packet_id: int = 0
    released: bool = False
    properties: dict[str, object] = field(default_factory=dict)
    expires_at: Millis | None = None


@dataclass(frozen=True, slots=True)
class DurableState:
    """All of it. `messages` gives each session's (order, message) pairs by client id, in ascending order."""

    sessions: tuple[SavedSession, ...] = ()
    messages: Mapping[str, tuple[tuple[int, SavedMessage], ...]] = field(default_factory=dict)
    retained: tuple[SavedMessage, ...] = ()
