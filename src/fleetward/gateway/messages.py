"""Messages: what was published, and its bytes on the wire, made once for all who receive it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from fleetward.gateway.codec import publish_around_id
from fleetward.gateway.packets import NO_PROPERTIES, V5, Properties, Publish, Will
from fleetward.gateway.saved import SavedMessage
from fleetward.model import Millis

FORWARDED = frozenset(
    ("payload_format_indicator", "content_type", "response_topic", "correlation_data", "user_property")
)
"""The properties of a PUBLISH that belong to the message and go to every receiver (§3.3.2.3)."""


class Frame:
    """A PUBLISH on the wire, `whole` at QoS 0; for QoS 1 and 2 with a gap where each receiver's packet id goes."""

    __slots__ = ("_head", "_tail", "size", "whole")

    def __init__(self, head: bytes, tail: bytes, qos: int) -> None:
        self._head, self._tail = head, tail
        self.whole = b"" if qos else head + tail
        self.size = len(head) + len(tail) + (2 if qos else 0)

    def bytes(self, packet_id: int, duplicate: bool) -> bytes:
        head = self._head
        if duplicate:
            head = bytes((head[0] | 0x08,)) + head[1:]
        return b"".join((head, packet_id.to_bytes(2, "big"), self._tail))


FREE_TEXT = ("content_type", "response_topic", "correlation_data")
"""With the user properties, those among FORWARDED that carry what the sender likes."""

OBJECT_BYTES = 512
PROPERTY_BYTES = 160
"""What a message and each of its user properties cost in memory beside their contents, about."""


def message_size(topic: str, payload: bytes, properties: Properties = NO_PROPERTIES) -> int:
    """Topic bytes plus payload bytes: what metering counts. What MQTT 5 properties carry counts too, or a device would
    send in them what it must not send in a payload."""
    size = text_bytes(topic) + len(payload)
    return size + properties_size(properties) if properties else size


def message_weight(size: int, properties: Properties) -> int:
    """About what a message of that size takes in memory, in bytes."""
    return OBJECT_BYTES + size + PROPERTY_BYTES * len(user_properties(properties) if properties else ())


def properties_size(properties: Properties) -> int:
    """Bytes of what the free properties of a message say."""
    said: list[Any] = [properties.get(name, "") for name in FREE_TEXT]
    said += [text for pair in user_properties(properties) for text in pair]
    return sum(text_bytes(each) if isinstance(each, str) else len(each) for each in said)


def user_properties(properties: Properties) -> Sequence[tuple[str, str]]:
    return cast(Sequence[tuple[str, str]], properties.get("user_property", ()))


def text_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


class Message:
    """What was published: immutable, shared by all who receive it, encoded once for each form it is sent in.

    `weight` is about what it takes in memory.
    """

    __slots__ = ("_frames", "expires_at", "payload", "properties", "qos", "retain", "sender", "size", "topic", "weight")

    def __init__(
        self,
        topic: str,
        payload: bytes,
        qos: int = 0,
        retain: bool = False,
        properties: Properties = NO_PROPERTIES,
        sender: str | None = None,
        expires_at: Millis | None = None,
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties
        self.sender = sender
        self.expires_at = expires_at
        self.size = message_size(topic, payload, properties)
        self.weight = message_weight(self.size, properties)
        self._frames: dict[tuple[int, int, bool, tuple[int, ...]], Frame] = {}

    def bare(self) -> Message:
        """The same message without its encoded forms: what is kept for long keeps none of them."""
        return Message(self.topic, self.payload, self.qos, self.retain, self.properties, self.sender, self.expires_at)

    def has_expired(self, now: Millis) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def frame(self, version: int, qos: int, retain: bool, identifiers: tuple[int, ...], now: Millis) -> Frame:
        """Its PUBLISH on the wire; `identifiers` are the subscription identifiers that apply (MQTT 5)."""
        key = (version, qos, retain, identifiers)
        frame = self._frames.get(key)
        if frame is None:
            properties = self._properties(identifiers, now) if version == V5 else NO_PROPERTIES
            head, tail = publish_around_id(self.topic, self.payload, qos, retain, False, version, properties)
            frame = Frame(head, tail, qos)
            if self.expires_at is None:
                self._frames[key] = frame
        return frame

    def _properties(self, identifiers: tuple[int, ...], now: Millis) -> Properties:
        properties = self.properties
        if self.expires_at is not None:  # what is left of it [MQTT-3.3.2-6]
            properties = {**properties, "message_expiry_interval": max(1, (self.expires_at - now + 999) // 1000)}
        if identifiers:
            properties = {**properties, "subscription_identifier": identifiers}
        return properties

    def saved(self) -> SavedMessage:
        return SavedMessage(
            self.topic,
            self.payload,
            self.qos,
            self.retain,
            properties=dict(self.properties),
            expires_at=self.expires_at,
        )

    @classmethod
    def restored(cls, saved: SavedMessage) -> Message:
        return cls(
            saved.topic,
            saved.payload,
            saved.qos,
            saved.retain,
            saved.properties or NO_PROPERTIES,
            None,
            saved.expires_at,
        )


def received_message(packet: Publish | Will, sender: str | None, now: Millis) -> Message:
    """The message in a PUBLISH or a will."""
    properties = packet.properties
    if not properties:
        return Message(packet.topic, packet.payload, packet.qos, packet.retain, sender=sender)
    lifetime = properties.get("message_expiry_interval")
    forwarded = {name: value for name, value in properties.items() if name in FORWARDED}
    expires_at = now + lifetime * 1000 if isinstance(lifetime, int) else None
    return Message(packet.topic, packet.payload, packet.qos, packet.retain, forwarded, sender, expires_at)


def number_of(properties: Properties, name: str, default: int) -> int:
    """A whole number among the properties."""
    value = properties.get(name, default)
    return value if isinstance(value, int) else default
