"""Reason codes: which a packet may carry on MQTT 5, and what 3.1.1 can say of them."""

from __future__ import annotations

from fleetward.gateway.packets import NO_PROPERTIES, Properties, Reason
from fleetward.gateway.properties import PacketType, decode_properties
from fleetward.gateway.wire import Cursor, forbidden

_PUBLISH = (0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)
_RELEASE = (0x00, 0x92)

LEGAL_REASONS: dict[PacketType, frozenset[int]] = {
    PacketType.CONNACK: frozenset((
        0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C,
        0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
    )),
    PacketType.PUBACK: frozenset(_PUBLISH),
    PacketType.PUBREC: frozenset(_PUBLISH),
    PacketType.PUBREL: frozenset(_RELEASE),
    PacketType.PUBCOMP: frozenset(_RELEASE),
    PacketType.SUBACK: frozenset((0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2)),
    PacketType.UNSUBACK: frozenset((0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91)),
    PacketType.DISCONNECT: frozenset((
        0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95,
        0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
    )),
}  # fmt: skip
"""The reason codes a packet may carry (MQTT 5 table 2-6 and the packets' own sections)."""

V311_RETURN_CODES: dict[int, int] = {
    Reason.UNSUPPORTED_PROTOCOL_VERSION: 1,
    Reason.CLIENT_IDENTIFIER_NOT_VALID: 2,
    Reason.SERVER_UNAVAILABLE: 3,
    Reason.BAD_USER_NAME_OR_PASSWORD: 4,
    Reason.NOT_AUTHORIZED: 5,
    Reason.BAD_AUTHENTICATION_METHOD: 4,
    Reason.BANNED: 5,
    Reason.TOPIC_NAME_INVALID: 5,
    Reason.PACKET_TOO_LARGE: 5,
    Reason.PAYLOAD_FORMAT_INVALID: 5,
    Reason.RETAIN_NOT_SUPPORTED: 5,
    Reason.QOS_NOT_SUPPORTED: 5,
}
"""CONNACK return codes (3.1.1 table 3.1) by reason code: 5 where trying again is of no use, and 3 for the rest."""

V311_TO_REASON = {code: reason for reason, code in reversed(V311_RETURN_CODES.items())}


def connack_return_code(reason: int) -> int:
    """What a 3.1.1 CONNACK says for `reason`; below 0x80 it is a return code already (AWS refuses with 7)."""
    return reason if reason < 0x80 else V311_RETURN_CODES.get(reason, 3)


def suback_return_code(reason: int) -> int:
    """What a 3.1.1 SUBACK says for `reason`: a refusal is 0x80 whatever its cause."""
    return min(reason, 0x80)


def read_reason_and_properties(cursor: Cursor, kind: PacketType) -> tuple[int, Properties]:
    if cursor.at_end:
        return Reason.SUCCESS, NO_PROPERTIES
    reason = read_reason(cursor, kind)
    if cursor.at_end:
        return reason, NO_PROPERTIES
    properties = decode_properties(cursor, kind)
    cursor.finish()
    return reason, properties


def read_reason(cursor: Cursor, kind: PacketType) -> int:
    reason = cursor.byte()
    if reason not in LEGAL_REASONS[kind]:
        raise forbidden(f"{kind.name} with reason code 0x{reason:02X}")
    return reason
