"""MQTT's data representations (MQTT 5 section 1.5) and the one error that bad bytes raise.

`Cursor` reads them from a packet and never looks past its end; the `pack_…` functions write them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from fleetward.gateway.packets import V5, V311, Packet, Reason

MAX_VARIABLE_INTEGER = 268_435_455
MAX_ENTRIES = 1000
"""Topic filters, or user properties, that one packet may carry. The standard sets no bound; without one a single packet
of a megabyte holds a quarter of a million of them and the event loop for half a second."""

Decoder: TypeAlias = Callable[[int, bytes, int, int], Packet]
"""Takes a packet's first byte and where its body lies, data[start:end]."""


class ProtocolViolation(Exception):
    """Bytes that are not MQTT, or a packet that MQTT forbids: the connection must be closed (section 4.13).

    `reason` is the reason code to close with on MQTT 5; the text says what was wrong.
    """

    def __init__(self, reason: int, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class UnsupportedProtocolVersion(ProtocolViolation):
    """A CONNECT with another protocol name or level [MQTT-3.1.2-1], [MQTT-3.1.2-2].

    `version` is the protocol version its sender will best understand a CONNACK in.
    """

    def __init__(self, name: str, level: int) -> None:
        super().__init__(Reason.UNSUPPORTED_PROTOCOL_VERSION, f"protocol {name!r} level {level} is not supported")
        # Bridges set the top bit of the level and fall back when they are refused in the version below it.
        self.version = V5 if level & 0x7F >= V5 else V311


def malformed(text: str) -> ProtocolViolation:
    """The packet cannot be parsed as the standard says."""
    return ProtocolViolation(Reason.MALFORMED_PACKET, text)


def forbidden(text: str) -> ProtocolViolation:
    """The packet can be parsed, and holds what the standard does not allow."""
    return ProtocolViolation(Reason.PROTOCOL_ERROR, text)


def text_of(raw: bytes) -> str:
    """A UTF-8 encoded string without U+0000; surrogates are ill-formed [MQTT-1.5.4-1], [MQTT-1.5.4-2]."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise malformed("a string is not well-formed UTF-8") from None
    if "\0" in text:
        raise malformed("a string contains U+0000")
    return text


class Cursor:
    """A position in the packet that lies in data[position:end]; everything it reads lies before `end`."""

    __slots__ = ("data", "end", "position")

    def __init__(self, data: bytes, position: int, end: int) -> None:
        self.data = data
        self.position = position
        self.end = end

    @property
    def at_end(self) -> bool:
        return self.position == self.end

    def take(self, length: int) -> bytes:
        start = self.position
        stop = start + length
        if stop > self.end:
            raise malformed("the packet ends inside a field")
        self.position = stop
        return self.data[start:stop]

    def byte(self) -> int:
        position = self.position
        if position >= self.end:
            raise malformed("the packet ends inside a field")
        self.position = position + 1
        return self.data[position]

    def uint16(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def uint32(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def variable_integer(self) -> int:
        """One to four bytes, seven bits each, as few as possible [MQTT-1.5.5-1]."""
        value = 0
        for shift in (0, 7, 14, 21):
            digit = self.byte()
            value |= (digit & 0x7F) << shift
            if digit < 0x80:
                if digit == 0 and shift:
                    raise malformed("a variable byte integer is longer than it need be")
                return value
        raise malformed("a variable byte integer is longer than four bytes")

    def binary(self) -> bytes:
        start = self.position + 2
        if start > self.end:
            raise malformed("the packet ends inside a field")
        stop = start + (self.data[start - 2] << 8 | self.data[start - 1])
        if stop > self.end:
            raise malformed("the packet ends inside a field")
        self.position = stop
        return self.data[start:stop]

    def text(self) -> str:
        return text_of(self.binary())

    def packet_id(self) -> int:
        """Never zero [MQTT-2.2.1-3]; in 3.1.1 [MQTT-2.3.1-1]."""
        packet_id = self.uint16()
        if not packet_id:
            raise malformed("packet identifier 0")
        return packet_id

    def section(self, length: int) -> Cursor:
        """A cursor over the next `length` bytes; this one goes on behind them."""
        start = self.position
        if start + length > self.end:
            raise malformed("the packet ends inside its properties")
        self.position = start + length
        return Cursor(self.data, start, start + length)

    def finish(self) -> None:
        if self.position != self.end:
            raise malformed("bytes follow the last field of the packet")


def _pack(value: int, size: int) -> bytes:
    if not 0 <= value < 1 << 8 * size:
        raise ValueError(f"{value} does not fit {size} bytes")
    return value.to_bytes(size, "big")


def pack_byte(value: int) -> bytes:
    return _pack(value, 1)


def pack_uint16(value: int) -> bytes:
    return _pack(value, 2)


def pack_uint32(value: int) -> bytes:
    return _pack(value, 4)


def pack_variable_integer(value: int) -> bytes:
    if not 0 <= value <= MAX_VARIABLE_INTEGER:
        raise ValueError(f"{value} does not fit a variable byte integer")
    packed = bytearray()
    while value > 0x7F:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    packed.append(value)
    return bytes(packed)


def pack_binary(value: bytes) -> bytes:
    if len(value) > 0xFFFF:
        raise ValueError(f"a field of {len(value)} bytes is longer than MQTT's 65,535")
    return len(value).to_bytes(2, "big") + value


def pack_text(value: str) -> bytes:
    if "\0" in value:
        raise ValueError("U+0000 cannot be sent in an MQTT string")
    return pack_binary(value.encode())
