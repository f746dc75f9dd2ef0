"""Decoders of all but PUBLISH: CONNECT, SUBSCRIBE, UNSUBSCRIBE, what answers them, PINGREQ, PINGRESP, DISCONNECT.

Topic filters are only checked to be non-empty strings: MQTT 5 can answer a bad one on its own.
"""

from __future__ import annotations

from fleetward.gateway.decode_publish import topic_name
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
    Reason,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from fleetward.gateway.properties import PacketType, decode_properties
from fleetward.gateway.reasons import LEGAL_REASONS, V311_TO_REASON, read_reason, read_reason_and_properties
from fleetward.gateway.wire import (
    MAX_ENTRIES,
    Cursor,
    Decoder,
    ProtocolViolation,
    UnsupportedProtocolVersion,
    forbidden,
    malformed,
)

# --- CONNECT and CONNACK ----------------------------------------------------------------------------------------------


def connect(first: int, data: bytes, start: int, end: int) -> Packet:
    """Section 3.1. A password without a user name is 3.1.1's alone to forbid [MQTT-3.1.2-22]."""
    cursor = Cursor(data, start, end)
    name, version = cursor.text(), cursor.byte()
    if name != "MQTT" or version not in (V311, V5):
        raise UnsupportedProtocolVersion(name, version)
    flags = cursor.byte()
    _check_connect_flags(flags, version)
    keep_alive = cursor.uint16()
    properties = decode_properties(cursor, PacketType.CONNECT) if version == V5 else NO_PROPERTIES
    packet = Connect(
        client_id=cursor.text(),
        version=version,
        clean_start=flags & 0x02 != 0,
        keep_alive=keep_alive,
        will=_will(cursor, flags, version) if flags & 0x04 else None,
        username=cursor.text() if flags & 0x80 else None,
        password=cursor.binary() if flags & 0x40 else None,
        properties=properties,
    )
    cursor.finish()
    return packet


def _check_connect_flags(flags: int, version: int) -> None:
    if flags & 0x01:
        raise malformed("the reserved CONNECT flag is set")  # [MQTT-3.1.2-3]
    if flags & 0x18 == 0x18:
        raise malformed("will QoS 3")  # [MQTT-3.1.2-12]; in 3.1.1 [MQTT-3.1.2-14]
    if flags & 0x38 and not flags & 0x04:
        raise malformed("will QoS or will retain without a will")  # [MQTT-3.1.2-11], [MQTT-3.1.2-13]
    if version == V311 and flags & 0xC0 == 0x40:
        raise malformed("a password without a user name")


def _will(cursor: Cursor, flags: int, version: int) -> Will:
    properties = decode_properties(cursor, PacketType.WILL) if version == V5 else NO_PROPERTIES
    topic = topic_name(cursor.binary())
    return Will(topic, cursor.binary(), (flags & 0x18) >> 3, flags & 0x20 != 0, properties)


def connack_311(first: int, data: bytes, start: int, end: int) -> Packet:
    """Section 3.2; return codes the standard does not know stay as they are, if no reason code is meant by them."""
    cursor = Cursor(data, start, end)
    session_present, code = _session_present(cursor), cursor.byte()
    cursor.finish()
    if code >= 0x80 or (session_present and code):
        raise malformed("a return code that does not exist, or a refused connection with a session")  # [MQTT-3.2.2-4]
    return Connack(session_present, V311_TO_REASON.get(code, code))


def connack_5(first: int, data: bytes, start: int, end: int) -> Packet:
    """Section 3.2; a refusal never has a session [MQTT-3.2.2-6]."""
    cursor = Cursor(data, start, end)
    session_present, reason = _session_present(cursor), read_reason(cursor, PacketType.CONNACK)
    properties = decode_properties(cursor, PacketType.CONNACK)
    cursor.finish()
    if session_present and reason:
        raise forbidden("a refused connection with a session")
    return Connack(session_present, reason, properties)


def _session_present(cursor: Cursor) -> bool:
    flags = cursor.byte()
    if flags > 1:
        raise malformed("a reserved CONNACK flag is set")  # [MQTT-3.2.2-1]
    return flags == 1


# --- subscriptions ----------------------------------------------------------------------------------------------------


def _filter(cursor: Cursor, entries: int) -> str:
    topic_filter = cursor.text()
    if not topic_filter:
        raise forbidden("a topic filter is empty")  # [MQTT-4.7.3-1]
    if entries >= MAX_ENTRIES:
        raise ProtocolViolation(Reason.QUOTA_EXCEEDED, f"more than {MAX_ENTRIES} topic filters in one packet")
    return topic_filter


def _subscription_311(topic_filter: str, options: int) -> Subscription:
    if options > 2:
        raise malformed("subscription options above QoS 2")  # [MQTT-3-8.3-4]
    return Subscription(topic_filter, options)


def _subscription_5(topic_filter: str, options: int) -> Subscription:
    """Section 3.8.3.1."""
    qos, retain_handling = options & 0x03, options >> 4 & 0x03
    if options & 0xC0:
        raise malformed("reserved subscription options are set")  # [MQTT-3.8.3-5]
    if qos == 3 or retain_handling == 3:
        raise forbidden("QoS 3 or retain handling 3 in subscription options")
    no_local = options & 0x04 != 0
    if no_local and topic_filter.startswith("$share/"):
        raise forbidden("no local on a shared subscription")  # [MQTT-3.8.3-4]
    return Subscription(topic_filter, qos, no_local, options & 0x08 != 0, retain_handling)


def subscribe(version: int) -> Decoder:
    """Section 3.8: at least one filter [MQTT-3.8.3-2], in 3.1.1 [MQTT-3.8.3-3]."""
    subscription = _subscription_5 if version == V5 else _subscription_311

    def decode(first: int, data: bytes, start: int, end: int) -> Packet:
        cursor = Cursor(data, start, end)
        packet_id = cursor.packet_id()
        properties = decode_properties(cursor, PacketType.SUBSCRIBE) if version == V5 else NO_PROPERTIES
        subscriptions: list[Subscription] = []
        while not cursor.at_end:
            topic_filter = _filter(cursor, len(subscriptions))
            subscriptions.append(subscription(topic_filter, cursor.byte()))
        if not subscriptions:
            raise forbidden("SUBSCRIBE without a topic filter")
        return Subscribe(packet_id, tuple(subscriptions), properties)

    return decode


def unsubscribe(version: int) -> Decoder:
    """Section 3.10: at least one filter [MQTT-3.10.3-2]."""

    def decode(first: int, data: bytes, start: int, end: int) -> Packet:
        cursor = Cursor(data, start, end)
        packet_id = cursor.packet_id()
        properties = decode_properties(cursor, PacketType.UNSUBSCRIBE) if version == V5 else NO_PROPERTIES
        filters: list[str] = []
        while not cursor.at_end:
            filters.append(_filter(cursor, len(filters)))
        if not filters:
            raise forbidden("UNSUBSCRIBE without a topic filter")
        return Unsubscribe(packet_id, tuple(filters), properties)

    return decode


def suback_311(first: int, data: bytes, start: int, end: int) -> Packet:
    """Section 3.9: return codes 0, 1, 2 and 0x80 [MQTT-3.9.3-2]."""
    cursor = Cursor(data, start, end)
    packet_id, reasons = cursor.packet_id(), tuple(cursor.take(end - cursor.position))
    if not reasons or not {0, 1, 2, 0x80}.issuperset(reasons):
        raise malformed("SUBACK with a reserved return code, or none")
    return Suback(packet_id, reasons)


def suback_5(first: int, data: bytes, start: int, end: int) -> Packet:
    return Suback(*_reasons_5(Cursor(data, start, end), PacketType.SUBACK))


def unsuback_311(first: int, data: bytes, start: int, end: int) -> Packet:
    """Section 3.11: no payload."""
    cursor = Cursor(data, start, end)
    packet_id = cursor.packet_id()
    cursor.finish()
    return Unsuback(packet_id)


def unsuback_5(first: int, data: bytes, start: int, end: int) -> Packet:
    return Unsuback(*_reasons_5(Cursor(data, start, end), PacketType.UNSUBACK))


def _reasons_5(cursor: Cursor, kind: PacketType) -> tuple[int, tuple[int, ...], Properties]:
    """Sections 3.9 and 3.11."""
    packet_id = cursor.packet_id()
    properties = decode_properties(cursor, kind)
    reasons = tuple(cursor.take(cursor.end - cursor.position))
    if not reasons or not LEGAL_REASONS[kind].issuperset(reasons):
        raise forbidden(f"{kind.name} with an unknown reason code, or none")
    return packet_id, reasons, properties


# --- the rest ---------------------------------------------------------------------------------------------------------


def empty(packet: type[Pingreq] | type[Pingresp] | type[Disconnect]) -> Decoder:
    def decode(first: int, data: bytes, start: int, end: int) -> Packet:
        if start != end:
            raise malformed(f"{packet.__name__} has a body")
        return packet()

    return decode


def disconnect_5(first: int, data: bytes, start: int, end: int) -> Packet:
    """Section 3.14."""
    return Disconnect(*read_reason_and_properties(Cursor(data, start, end), PacketType.DISCONNECT))
