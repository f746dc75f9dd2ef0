"""DECODERS: for each protocol version, what to do with a packet by its first byte.

A decoder gets that byte and where the packet's body lies, data[start:end], and returns the packet or raises
ProtocolViolation. First bytes that the standard forbids (reserved types and flags, QoS 3, DUP on QoS 0) have no decoder
of their own and end in a refusal.
"""

from __future__ import annotations

from fleetward.gateway.decode_publish import acknowledgement_5, acknowledgement_311, publish_5, publish_311
from fleetward.gateway.decode_session import (
    connack_5,
    connack_311,
    connect,
    disconnect_5,
    empty,
    suback_5,
    suback_311,
    subscribe,
    unsuback_5,
    unsuback_311,
    unsubscribe,
)
from fleetward.gateway.packets import V5, V311, Disconnect, Packet, Pingreq, Pingresp, Puback, Pubcomp, Pubrec, Pubrel
from fleetward.gateway.properties import PacketType
from fleetward.gateway.wire import Decoder, forbidden, malformed

UNKNOWN = 0
"""The version of a connection that has not sent its CONNECT."""


def _refuse_before_connect(first: int, data: bytes, start: int, end: int) -> Packet:
    raise forbidden("the first packet is not CONNECT")  # [MQTT-3.1.0-1]


def _refuse(first: int, data: bytes, start: int, end: int) -> Packet:
    if first == 0x10:
        raise forbidden("a second CONNECT")  # [MQTT-3.1.0-2]
    if first == 0xF0:
        raise forbidden("AUTH is not supported")  # section 4.12: never sent to a server that did not ask for it
    if first & 0xF6 == 0x36:
        raise malformed("QoS 3")  # [MQTT-3.3.1-4]
    if first & 0xF0 == 0x30:
        raise malformed("DUP on QoS 0")  # [MQTT-3.3.1-2]
    raise malformed(f"packet type {first >> 4} with flags {first & 0x0F}")  # [MQTT-2.1.3-1]; in 3.1.1 [MQTT-2.2.2-2]


REFUSALS = frozenset((_refuse, _refuse_before_connect))


def _table(refuse: Decoder, rows: dict[int, Decoder]) -> tuple[Decoder, ...]:
    return tuple(rows.get(first, refuse) for first in range(256))


_PUBLISH_FIRST_BYTES = tuple(0x30 | flags for flags in (0, 1, 2, 3, 4, 5, 10, 11, 12, 13))

DECODERS: dict[int, tuple[Decoder, ...]] = {
    UNKNOWN: _table(_refuse_before_connect, {0x10: connect}),
    V311: _table(
        _refuse,
        dict.fromkeys(_PUBLISH_FIRST_BYTES, publish_311)
        | {
            0x20: connack_311,
            0x40: acknowledgement_311(Puback),
            0x50: acknowledgement_311(Pubrec),
            0x62: acknowledgement_311(Pubrel),
            0x70: acknowledgement_311(Pubcomp),
            0x82: subscribe(V311),
            0x90: suback_311,
            0xA2: unsubscribe(V311),
            0xB0: unsuback_311,
            0xC0: empty(Pingreq),
            0xD0: empty(Pingresp),
            0xE0: empty(Disconnect),
        },
    ),
    V5: _table(
        _refuse,
        dict.fromkeys(_PUBLISH_FIRST_BYTES, publish_5)
        | {
            0x20: connack_5,
            0x40: acknowledgement_5(Puback, PacketType.PUBACK),
            0x50: acknowledgement_5(Pubrec, PacketType.PUBREC),
            0x62: acknowledgement_5(Pubrel, PacketType.PUBREL),
            0x70: acknowledgement_5(Pubcomp, PacketType.PUBCOMP),
            0x82: subscribe(V5),
            0x90: suback_5,
            0xA2: unsubscribe(V5),
            0xB0: unsuback_5,
            0xC0: empty(Pingreq),
            0xD0: empty(Pingresp),
            0xE0: disconnect_5,
        },
    ),
}
