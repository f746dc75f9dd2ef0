"""Decoders of PUBLISH and its acknowledgements: the hot path (sections 3.3 to 3.7)."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

from fleetward.gateway.packets import NO_PROPERTIES, Packet, Puback, Pubcomp, Publish, Pubrec, Pubrel, Reason
from fleetward.gateway.properties import PacketType, decode_properties
from fleetward.gateway.reasons import read_reason_and_properties
from fleetward.gateway.wire import Cursor, Decoder, ProtocolViolation, forbidden, malformed, text_of

_CACHED_TOPIC_BYTES = 256


def topic_name(raw: bytes) -> str:
    """A topic to publish to: not empty [MQTT-4.7.3-1], without wildcards [MQTT-3.3.2-2], well-formed."""
    topic = text_of(raw)
    if not topic:
        raise forbidden("the topic is empty")
    if "+" in topic or "#" in topic:
        raise ProtocolViolation(Reason.TOPIC_NAME_INVALID, "the topic has a wildcard")
    return topic


# Devices say the same topics over and over; the cached string also keeps its hash for those who look it up.
_usual_topic_name = lru_cache(maxsize=4096)(topic_name)


def _topic(raw: bytes) -> str:
    return _usual_topic_name(raw) if len(raw) <= _CACHED_TOPIC_BYTES else topic_name(raw)


def publish_311(first: int, data: bytes, start: int, end: int) -> Packet:
    """Section 3.3."""
    qos = (first & 0x06) >> 1
    topic_end = _topic_end(data, start, end)
    topic = _topic(data[start + 2 : topic_end])
    if not qos:
        return Publish(topic, data[topic_end:end], 0, first & 0x01 == 1)
    packet_id = _packet_id(data, topic_end, end)
    return Publish(topic, data[topic_end + 2 : end], qos, first & 0x01 == 1, first & 0x08 == 8, packet_id)


def publish_5(first: int, data: bytes, start: int, end: int) -> Packet:
    """Section 3.3: an empty topic needs a topic alias (3.3.2.1)."""
    qos = (first & 0x06) >> 1
    topic_end = body = _topic_end(data, start, end)
    packet_id = 0
    if qos:
        packet_id = _packet_id(data, topic_end, end)
        body += 2
    properties = NO_PROPERTIES
    if body < end and not data[body]:
        body += 1
    else:
        cursor = Cursor(data, body, end)
        properties = decode_properties(cursor, PacketType.PUBLISH)
        body = cursor.position
    raw = data[start + 2 : topic_end]
    topic = _topic(raw) if raw or "topic_alias" not in properties else ""
    return Publish(topic, data[body:end], qos, first & 0x01 == 1, first & 0x08 == 8, packet_id, properties)


def _topic_end(data: bytes, start: int, end: int) -> int:
    if end - start < 2 or (topic_end := start + 2 + (data[start] << 8 | data[start + 1])) > end:
        raise malformed("the packet ends inside its topic")
    return topic_end


def _packet_id(data: bytes, start: int, end: int) -> int:
    """Never zero [MQTT-2.2.1-3]; in 3.1.1 [MQTT-2.3.1-1]."""
    if start + 2 > end:
        raise malformed("the packet ends inside its packet identifier")
    packet_id = data[start] << 8 | data[start + 1]
    if not packet_id:
        raise malformed("packet identifier 0")
    return packet_id


_Acknowledgement: TypeAlias = type[Puback] | type[Pubrec] | type[Pubrel] | type[Pubcomp]


def acknowledgement_311(packet: _Acknowledgement) -> Decoder:
    """Sections 3.4 to 3.7: nothing but the packet identifier."""

    def decode(first: int, data: bytes, start: int, end: int) -> Packet:
        if end - start != 2:
            raise malformed("an acknowledgement is not two bytes long")
        packet_id = data[start] << 8 | data[start + 1]
        if not packet_id:
            raise malformed("packet identifier 0")
        return packet(packet_id)

    return decode


def acknowledgement_5(packet: _Acknowledgement, kind: PacketType) -> Decoder:
    """Sections 3.4 to 3.7: the reason code, then the properties, may be left out."""

    def decode(first: int, data: bytes, start: int, end: int) -> Packet:
        packet_id = _packet_id(data, start, end)
        if end - start == 2:
            return packet(packet_id)
        return packet(packet_id, *read_reason_and_properties(Cursor(data, start + 2, end), kind))

    return decode
