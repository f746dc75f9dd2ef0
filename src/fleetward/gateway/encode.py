"""ENCODERS: packets to bytes, for both protocol versions.

What cannot be said on the wire (a string too long, a property in the wrong packet, packet identifier 0) is the caller's
mistake and raises ValueError.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any

from fleetward.gateway.packets import (
    NO_PROPERTIES,
    V5,
    V311,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Properties,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from fleetward.gateway.properties import PacketType, encode_properties
from fleetward.gateway.reasons import connack_return_code, suback_return_code
from fleetward.gateway.wire import pack_binary, pack_byte, pack_text, pack_uint16, pack_variable_integer


def encode(packet: Packet, version: int) -> bytes:
    """The bytes of `packet` on a connection of `version` (V311 or V5).

    A 3.1.1 CONNACK translates `reason` by `reasons.V311_RETURN_CODES`; a reason below 0x80 is sent as it stands.
    """
    return ENCODERS[type(packet)](packet, version)


def encode_publish(
    topic: str | bytes,
    payload: bytes,
    qos: int = 0,
    retain: bool = False,
    duplicate: bool = False,
    packet_id: int = 0,
    version: int = V311,
    properties: Properties = NO_PROPERTIES,
) -> bytes:
    """A PUBLISH (section 3.3) without a packet object; a topic in bytes is taken as well-formed UTF-8."""
    if qos and not 0 < packet_id < 0x10000:
        raise ValueError(f"packet identifier {packet_id}")
    head, tail = publish_around_id(topic, payload, qos, retain, duplicate, version, properties)
    return b"".join((head, packet_id.to_bytes(2, "big") if qos else b"", tail))


def publish_around_id(
    topic: str | bytes,
    payload: bytes,
    qos: int,
    retain: bool,
    duplicate: bool,
    version: int,
    properties: Properties = NO_PROPERTIES,
) -> tuple[bytes, bytes]:
    """A PUBLISH in two: what stands before its packet identifier and what stands behind it; QoS 0 has none there."""
    raw = topic.encode() if isinstance(topic, str) else topic
    first = 0x30 | qos << 1 | retain
    size = len(raw)
    length = 2 + size + len(payload)
    if qos:
        first |= duplicate << 3
        length += 2
    if version == V5:
        packed = encode_properties(properties, PacketType.PUBLISH) if properties else b"\0"
        length += len(packed)
        payload = packed + payload
    if length < 0x80:
        header = _HEADER_1(first, length, size)
    elif length < 0x4000:
        header = _HEADER_2(first, length & 0x7F | 0x80, length >> 7, size)
    else:
        header = pack_byte(first) + pack_variable_integer(length) + pack_uint16(size)
    return header + raw, payload


# A PUBLISH up to its topic's length, with one and with two bytes of remaining length; a whole acknowledgement.
_HEADER_1 = _ACKNOWLEDGEMENT = Struct(">BBH").pack
_HEADER_2 = Struct(">BBBH").pack


def _frame(first: int, *parts: bytes) -> bytes:
    """The fixed header (section 2.1) in front of the parts."""
    body = b"".join(parts)
    return pack_byte(first) + pack_variable_integer(len(body)) + body


def _properties(packet: Any, version: int, kind: PacketType) -> bytes:
    return encode_properties(packet.properties, kind) if version == V5 else b""


def _packet_id(packet: Any) -> bytes:
    if not packet.packet_id:
        raise ValueError("packet identifier 0")
    return pack_uint16(packet.packet_id)


def _connect(packet: Connect, version: int) -> bytes:
    """Section 3.1."""
    will = packet.will
    flags = packet.clean_start << 1 | (packet.username is not None) << 7 | (packet.password is not None) << 6
    if will:
        flags |= 0x04 | will.qos << 3 | will.retain << 5
    return _frame(
        0x10,
        pack_text("MQTT"),
        bytes((version, flags)),
        pack_uint16(packet.keep_alive),
        _properties(packet, version, PacketType.CONNECT),
        pack_text(packet.client_id),
        _will(will, version) if will else b"",
        b"" if packet.username is None else pack_text(packet.username),
        b"" if packet.password is None else pack_binary(packet.password),
    )


def _will(will: Will, version: int) -> bytes:
    return _properties(will, version, PacketType.WILL) + pack_text(will.topic) + pack_binary(will.payload)


def _connack(packet: Connack, version: int) -> bytes:
    """Section 3.2; a refusal never has a session."""
    reason = packet.reason if version == V5 else connack_return_code(packet.reason)
    session_present = packet.session_present and not reason
    return _frame(0x20, bytes((session_present, reason)), _properties(packet, version, PacketType.CONNACK))


def _publish(packet: Publish, version: int) -> bytes:
    return encode_publish(
        packet.topic,
        packet.payload,
        packet.qos,
        packet.retain,
        packet.duplicate,
        packet.packet_id,
        version,
        packet.properties,
    )


def _acknowledgement(first: int, kind: PacketType) -> Callable[[Any, int], bytes]:
    """Sections 3.4 to 3.7. On 3.1.1 PUBACK and PUBREC can only say yes: a refusal must not be sent as one."""

    def encode(packet: Puback | Pubrec | Pubrel | Pubcomp, version: int) -> bytes:
        if version == V5 and (packet.reason or packet.properties):
            return _frame(first, _packet_id(packet), *_reason_and_properties(packet, kind))
        if packet.reason >= 0x80 and kind in (PacketType.PUBACK, PacketType.PUBREC):
            raise ValueError(f"a 3.1.1 {kind.name} cannot refuse (reason 0x{packet.reason:02X})")
        if not 0 < packet.packet_id < 0x10000:
            raise ValueError(f"packet identifier {packet.packet_id}")
        return _ACKNOWLEDGEMENT(first, 2, packet.packet_id)

    return encode


def _reason_and_properties(packet: Any, kind: PacketType) -> tuple[bytes, bytes]:
    properties = encode_properties(packet.properties, kind) if packet.properties else b""
    return pack_byte(packet.reason), properties


def _subscribe(packet: Subscribe, version: int) -> bytes:
    """Section 3.8."""
    entries = (pack_text(each.filter) + pack_byte(_options(each, version)) for each in packet.subscriptions)
    return _frame(0x82, _packet_id(packet), _properties(packet, version, PacketType.SUBSCRIBE), *entries)


def _options(each: Subscription, version: int) -> int:
    if version == V311:
        return each.qos
    return each.qos | each.no_local << 2 | each.retain_as_published << 3 | each.retain_handling << 4


def _suback(packet: Suback, version: int) -> bytes:
    """Section 3.9."""
    reasons = packet.reasons if version == V5 else map(suback_return_code, packet.reasons)
    return _frame(0x90, _packet_id(packet), _properties(packet, version, PacketType.SUBACK), bytes(reasons))


def _unsubscribe(packet: Unsubscribe, version: int) -> bytes:
    """Section 3.10."""
    filters = map(pack_text, packet.filters)
    return _frame(0xA2, _packet_id(packet), _properties(packet, version, PacketType.UNSUBSCRIBE), *filters)


def _unsuback(packet: Unsuback, version: int) -> bytes:
    """Section 3.11; on 3.1.1 it has no payload."""
    reasons = bytes(packet.reasons) if version == V5 else b""
    return _frame(0xB0, _packet_id(packet), _properties(packet, version, PacketType.UNSUBACK), reasons)


def _disconnect(packet: Disconnect, version: int) -> bytes:
    """Section 3.14."""
    if version == V5 and (packet.reason or packet.properties):
        return _frame(0xE0, *_reason_and_properties(packet, PacketType.DISCONNECT))
    return b"\xe0\0"


ENCODERS: dict[type[Packet], Callable[[Any, int], bytes]] = {
    Connect: _connect,
    Connack: _connack,
    Publish: _publish,
    Puback: _acknowledgement(0x40, PacketType.PUBACK),
    Pubrec: _acknowledgement(0x50, PacketType.PUBREC),
    Pubrel: _acknowledgement(0x62, PacketType.PUBREL),
    Pubcomp: _acknowledgement(0x70, PacketType.PUBCOMP),
    Subscribe: _subscribe,
    Suback: _suback,
    Unsubscribe: _unsubscribe,
    Unsuback: _unsuback,
    Pingreq: lambda packet, version: b"\xc0\0",
    Pingresp: lambda packet, version: b"\xd0\0",
    Disconnect: _disconnect,
}
