"""PROPERTIES: MQTT 5's properties, one row each (MQTT 5 table 2-4), and their wire form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from fleetward.gateway.packets import NO_PROPERTIES, Properties, Reason
from fleetward.gateway.wire import (
    MAX_ENTRIES,
    MAX_VARIABLE_INTEGER,
    Cursor,
    ProtocolViolation,
    forbidden,
    malformed,
    pack_binary,
    pack_byte,
    pack_text,
    pack_uint16,
    pack_uint32,
    pack_variable_integer,
)


class PacketType(IntEnum):
    """MQTT control packet types (section 2.1.2); WILL, which is none, stands for the will's properties in CONNECT."""

    WILL = 0
    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


@dataclass(frozen=True, slots=True)
class Kind:
    """A data type of property values: how it is read and written."""

    read: Callable[[Cursor], Any]
    write: Callable[[Any], bytes]


def _read_pair(cursor: Cursor) -> tuple[str, str]:
    return cursor.text(), cursor.text()


def _write_pair(pair: tuple[str, str]) -> bytes:
    name, value = pair
    return pack_text(name) + pack_text(value)


BYTE = Kind(Cursor.byte, pack_byte)
UINT16 = Kind(Cursor.uint16, pack_uint16)
UINT32 = Kind(Cursor.uint32, pack_uint32)
VARIABLE = Kind(Cursor.variable_integer, pack_variable_integer)
BINARY = Kind(Cursor.binary, pack_binary)
TEXT = Kind(Cursor.text, pack_text)
PAIR = Kind(_read_pair, _write_pair)


@dataclass(frozen=True, slots=True)
class Property:
    """One property. Whole numbers outside `minimum`..`maximum` are refused with `out_of_range`.

    A value under `name` in a packet's `properties` is an int, str or bytes as `kind` says; for a packet in `repeats`
    the property may occur more than once and the value is a tuple of such, in their order on the wire.
    """

    id: int
    name: str
    kind: Kind
    packets: frozenset[PacketType]
    minimum: int = 0
    maximum: int = 0xFFFF_FFFF
    repeats: frozenset[PacketType] = frozenset()
    out_of_range: int = Reason.PROTOCOL_ERROR


def _in(*packets: PacketType) -> frozenset[PacketType]:
    return frozenset(packets)


_P = PacketType
_MESSAGE = _in(_P.PUBLISH, _P.WILL)
_CONNECTING = _in(_P.CONNECT, _P.CONNACK)
_SETTING_UP = _in(_P.CONNECT, _P.CONNACK, _P.AUTH)
_CONNACK = _in(_P.CONNACK)
_ANSWER = _in(
    _P.CONNACK, _P.PUBACK, _P.PUBREC, _P.PUBREL, _P.PUBCOMP, _P.SUBACK, _P.UNSUBACK, _P.DISCONNECT, _P.AUTH
)  # fmt: skip
_ALL = frozenset(_P) - {_P.PINGREQ, _P.PINGRESP}

PROPERTIES = (
    Property(0x01, "payload_format_indicator", BYTE, _MESSAGE, maximum=1),
    Property(0x02, "message_expiry_interval", UINT32, _MESSAGE),
    Property(0x03, "content_type", TEXT, _MESSAGE),
    Property(0x08, "response_topic", TEXT, _MESSAGE),
    Property(0x09, "correlation_data", BINARY, _MESSAGE),
    Property(
        0x0B, "subscription_identifier", VARIABLE, _in(_P.PUBLISH, _P.SUBSCRIBE),
        minimum=1, maximum=MAX_VARIABLE_INTEGER, repeats=_in(_P.PUBLISH),
    ),
    Property(0x11, "session_expiry_interval", UINT32, _in(_P.CONNECT, _P.CONNACK, _P.DISCONNECT)),
    Property(0x12, "assigned_client_identifier", TEXT, _CONNACK),
    Property(0x13, "server_keep_alive", UINT16, _CONNACK),
    Property(0x15, "authentication_method", TEXT, _SETTING_UP),
    Property(0x16, "authentication_data", BINARY, _SETTING_UP),
    Property(0x17, "request_problem_information", BYTE, _in(_P.CONNECT), maximum=1),
    Property(0x18, "will_delay_interval", UINT32, _in(_P.WILL)),
    Property(0x19, "request_response_information", BYTE, _in(_P.CONNECT), maximum=1),
    Property(0x1A, "response_information", TEXT, _CONNACK),
    Property(0x1C, "server_reference", TEXT, _in(_P.CONNACK, _P.DISCONNECT)),
    Property(0x1F, "reason_string", TEXT, _ANSWER),
    Property(0x21, "receive_maximum", UINT16, _CONNECTING, minimum=1),
    Property(0x22, "topic_alias_maximum", UINT16, _CONNECTING),
    Property(0x23, "topic_alias", UINT16, _in(_P.PUBLISH), minimum=1, out_of_range=Reason.TOPIC_ALIAS_INVALID),
    Property(0x24, "maximum_qos", BYTE, _CONNACK, maximum=1),
    Property(0x25, "retain_available", BYTE, _CONNACK, maximum=1),
    Property(0x26, "user_property", PAIR, _ALL, repeats=_ALL),
    Property(0x27, "maximum_packet_size", UINT32, _CONNECTING, minimum=1),
    Property(0x28, "wildcard_subscription_available", BYTE, _CONNACK, maximum=1),
    Property(0x29, "subscription_identifier_available", BYTE, _CONNACK, maximum=1),
    Property(0x2A, "shared_subscription_available", BYTE, _CONNACK, maximum=1),
)  # fmt: skip

BY_ID = {row.id: row for row in PROPERTIES}
BY_NAME = {row.name: row for row in PROPERTIES}


def decode_properties(cursor: Cursor, packet: PacketType) -> Properties:
    """The properties at the cursor (section 2.2.2); raises ProtocolViolation for one that `packet` may not carry."""
    length = cursor.variable_integer()
    if not length:
        return NO_PROPERTIES
    section = cursor.section(length)
    single: dict[str, object] = {}
    repeated: dict[str, list[object]] = {}
    entries = 0
    while not section.at_end:
        row = _row(section.variable_integer(), packet)
        value = _checked(row, row.kind.read(section))
        if packet in row.repeats:
            repeated.setdefault(row.name, []).append(value)
        elif row.name in single:
            raise forbidden(f"{row.name} occurs twice")
        else:
            single[row.name] = value
        entries += 1
        if entries > MAX_ENTRIES:
            raise ProtocolViolation(Reason.QUOTA_EXCEEDED, f"more than {MAX_ENTRIES} properties in one packet")
    if "authentication_data" in single and "authentication_method" not in single:
        raise forbidden("authentication_data without authentication_method")
    return single | {name: tuple(values) for name, values in repeated.items()}


def encode_properties(properties: Properties, packet: PacketType) -> bytes:
    """The wire form, with its length in front; raises ValueError for a property that `packet` may not carry."""
    if not properties:
        return b"\0"
    packed = bytearray()
    for name, value in properties.items():
        row = BY_NAME.get(name)
        if row is None or packet not in row.packets:
            raise ValueError(f"{packet.name} has no property {name}")
        values: Any = value if packet in row.repeats else (value,)
        for each in values:
            packed.append(row.id)
            packed += row.kind.write(each)
    return pack_variable_integer(len(packed)) + packed


def _row(identifier: int, packet: PacketType) -> Property:
    row = BY_ID.get(identifier)
    if row is None:
        raise malformed(f"property 0x{identifier:02X} does not exist")
    if packet not in row.packets:
        raise malformed(f"{row.name} does not belong in {packet.name}")
    return row


def _checked(row: Property, value: Any) -> Any:
    if isinstance(value, int) and not row.minimum <= value <= row.maximum:
        raise ProtocolViolation(row.out_of_range, f"{row.name} is {value}")
    if row.name == "response_topic" and ("+" in value or "#" in value):
        raise forbidden("response_topic has a wildcard")  # [MQTT-3.3.2-14]
    return value
