"""The MQTT codec, sans-IO: a `Reader` turns bytes into packets, `encode` and `encode_publish` turn packets into bytes.

One codec for both protocol versions and both directions; which packets a server may be sent is the broker's concern.
"""

from __future__ import annotations

from collections.abc import Iterator

from fleetward.gateway.decode import DECODERS, REFUSALS, UNKNOWN
from fleetward.gateway.encode import encode, encode_publish, publish_around_id
from fleetward.gateway.packets import V5, Connect, Packet, Reason
from fleetward.gateway.properties import PROPERTIES
from fleetward.gateway.wire import ProtocolViolation, UnsupportedProtocolVersion, malformed

__all__ = [
    "PROPERTIES",
    "ProtocolViolation",
    "Reader",
    "UnsupportedProtocolVersion",
    "encode",
    "encode_publish",
    "publish_around_id",
]

_CONNECT = 0x10


class Reader:
    """Packets out of the bytes of one connection.

    `version` is UNKNOWN (0) until a CONNECT was decoded; given at the start, it reads what follows a CONNECT, from
    either side. A packet may have `max_packet_size` bytes, header included; a longer one is refused at its header,
    before any of it is kept. After a ProtocolViolation the reader is of no further use. `is_partial` says whether the
    beginning of a packet is held and its rest is awaited.
    """

    __slots__ = ("_data", "_held", "_position", "_wanted", "is_partial", "max_packet_size", "version")

    def __init__(self, max_packet_size: int, version: int = UNKNOWN) -> None:
        self.max_packet_size = max_packet_size
        self.version = version
        self._data = b""  # bytes to decode, from _position
        self._position = 0
        self._held = bytearray()  # the beginning of a packet, which will be _wanted bytes long
        self._wanted = 0
        self.is_partial = False

    def feed(self, data: bytes) -> None:
        """Takes what arrived; take the packets out of it before feeding more."""
        if self.is_partial:
            self._held += data
            if len(self._held) < self._wanted:
                return
            data = bytes(self._held)
            self._held = bytearray()
            self.is_partial = False
        if self._position < len(self._data):
            data = self._data[self._position :] + data
        self._data = data
        self._position = 0

    def packets(self) -> Iterator[Packet]:
        """The complete packets so far; the rest waits for more bytes. Raises ProtocolViolation.

        A caller may stop in the middle, feed more, and go on with this iterator or a new one.
        """
        while len(self._data) - self._position >= 2:
            data, position = self._data, self._position
            first, length, start = data[position], data[position + 1], position + 2
            if length >= 0x80:
                digit = data[start] if start < len(data) else 0
                if 0 < digit < 0x80:  # two bytes, as most often
                    length, start = length & 0x7F | digit << 7, start + 1
                elif (header := _remaining_length(data, position + 1, self.version)) is not None:
                    length, start = header
                else:
                    break
            end = start + length
            if end > len(data) or end - position > self.max_packet_size:
                break
            packet = DECODERS[self.version][first](first, data, start, end)
            self._position = end
            if first == _CONNECT and isinstance(packet, Connect):
                self.version = packet.version
            yield packet
        self._hold_rest()

    def _hold_rest(self) -> None:
        """Puts the beginning of a packet aside, unless its header shows already that it will be refused."""
        data, position = self._data, self._position
        rest = len(data) - position
        if not rest:
            self._data, self._position = b"", 0  # an idle connection keeps nothing
            return
        first = data[position]
        if (decoder := DECODERS[self.version][first]) in REFUSALS:
            decoder(first, data, position, position)
        header = _remaining_length(data, position + 1, self.version)
        self._wanted = rest + 1 if header is None else sum(header) - position
        if self._wanted > self.max_packet_size:
            text = f"a packet of {self._wanted} bytes is over the limit of {self.max_packet_size}"
            raise ProtocolViolation(Reason.PACKET_TOO_LARGE, text)
        self._held = bytearray(memoryview(data)[position:])
        self.is_partial = True
        self._data, self._position = b"", 0


def _remaining_length(data: bytes, position: int, version: int) -> tuple[int, int] | None:
    """The remaining length at `position` (section 2.1.4) and where the body starts; None while bytes are missing.

    Only MQTT 5 forbids to write it longer than need be [MQTT-1.5.5-1].
    """
    length = shift = 0
    for index in range(position, min(position + 4, len(data))):
        digit = data[index]
        if digit < 0x80:
            if digit == 0 and shift and version == V5:
                raise malformed("the remaining length is longer than it need be")
            return length | digit << shift, index + 1
        length |= (digit & 0x7F) << shift
        shift += 7
    if shift == 28:
        raise malformed("the remaining length is longer than four bytes")
    return None
