"""The codec against the standard's byte tables, and against what the standard forbids."""

from __future__ import annotations

import tracemalloc

import pytest

from fleetward.gateway.codec import ProtocolViolation, Reader, UnsupportedProtocolVersion, encode, encode_publish
from fleetward.gateway.packets import (
    V5,
    V311,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Reason,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from fleetward.gateway.wire import MAX_ENTRIES, Cursor, pack_variable_integer

LIMIT = 1 << 20


def decode(data: bytes, version: int = 0, limit: int = LIMIT) -> list[Packet]:
    reader = Reader(limit, version)
    reader.feed(data)
    return list(reader.packets())


def violation(data: bytes, version: int = 0, limit: int = LIMIT) -> ProtocolViolation:
    with pytest.raises(ProtocolViolation) as caught:
        decode(data, version, limit)
    return caught.value


def hexed(text: str) -> bytes:
    return bytes.fromhex(text)


ALIAS, REASON = {"topic_alias": 1}, {"reason_string": "x"}

# Written by hand from the byte tables of the packets' sections.
VECTORS: list[tuple[str, int, str, Packet]] = [
    ("3.1.1 CONNECT, clean", V311, "10 0d 0004 4d515454 04 02 003c 0001 61", Connect("a", V311, True, 60)),
    (
        "3.1.1 CONNECT, all fields",
        V311,
        "10 1c 0004 4d515454 04 ee 000a 0001 61 0001 77 0002 6869 0001 75 0003 70ff00",
        Connect("a", V311, True, 10, Will("w", b"hi", 1, True), "u", b"p\xff\0"),
    ),
    (
        "5 CONNECT, all fields",
        V5,
        "10 2d 0004 4d515454 05 d4 000a 08 1100000e10 210014 0001 61 0b 1800000005 26 0001 6b 0000"
        "0001 77 0000 0001 75 0001 70",
        Connect(
            "a",
            V5,
            False,
            10,
            Will("w", b"", 2, False, {"will_delay_interval": 5, "user_property": (("k", ""),)}),
            "u",
            b"p",
            {"session_expiry_interval": 3600, "receive_maximum": 20},
        ),
    ),
    ("3.1.1 CONNACK, accepted", V311, "20 02 01 00", Connack(True, 0)),
    ("3.1.1 CONNACK, not authorized", V311, "20 02 00 05", Connack(False, Reason.NOT_AUTHORIZED)),
    ("3.1.1 CONNACK, a code of AWS's own", V311, "20 02 00 07", Connack(False, 7)),
    ("5 CONNACK", V5, "20 06 00 87 03 22 0000", Connack(False, Reason.NOT_AUTHORIZED, {"topic_alias_maximum": 0})),
    ("PUBLISH QoS 0", V311, "30 06 0003 612f62 21", Publish("a/b", b"!")),
    ("PUBLISH QoS 1", V311, "3b 08 0003 612f62 000a 21", Publish("a/b", b"!", 1, True, True, 10)),
    ("PUBLISH QoS 2", V311, "34 07 0003 612f62 ffff", Publish("a/b", b"", 2, False, False, 65535)),
    ("5 PUBLISH", V5, "30 05 0001 61 00 21", Publish("a", b"!")),
    (
        "5 PUBLISH by alias",
        V5,
        "32 09 0000 000a 03 230001 21",
        Publish("", b"!", 1, False, False, 10, {"topic_alias": 1}),
    ),
    ("PUBACK", V311, "40 02 1234", Puback(0x1234)),
    ("PUBREC", V311, "50 02 1234", Pubrec(0x1234)),
    ("PUBREL", V311, "62 02 1234", Pubrel(0x1234)),
    ("PUBCOMP", V311, "70 02 1234", Pubcomp(0x1234)),
    ("5 PUBACK, short", V5, "40 02 0001", Puback(1)),
    ("5 PUBACK, reason", V5, "40 03 0001 10", Puback(1, Reason.NO_MATCHING_SUBSCRIBERS)),
    (
        "5 PUBREC, properties",
        V5,
        "50 08 0001 87 04 1f 0001 78",
        Pubrec(1, Reason.NOT_AUTHORIZED, REASON),
    ),
    ("5 PUBREL", V5, "62 03 0001 92", Pubrel(1, Reason.PACKET_IDENTIFIER_NOT_FOUND)),
    (
        "SUBSCRIBE",
        V311,
        "82 0e 000a 0003 612f62 01 0003 632f64 02",
        Subscribe(10, (Subscription("a/b", 1), Subscription("c/d", 2))),
    ),
    (
        "5 SUBSCRIBE",
        V5,
        "82 09 000a 02 0b01 0001 23 2d",
        Subscribe(10, (Subscription("#", 1, True, True, 2),), {"subscription_identifier": 1}),
    ),
    ("SUBACK", V311, "90 05 000a 00 02 80", Suback(10, (0, 2, 0x80))),
    ("5 SUBACK", V5, "90 05 000a 00 02 87", Suback(10, (2, Reason.NOT_AUTHORIZED))),
    ("UNSUBSCRIBE", V311, "a2 07 000a 0003 612f62", Unsubscribe(10, ("a/b",))),
    ("5 UNSUBSCRIBE", V5, "a2 08 000a 00 0003 612f62", Unsubscribe(10, ("a/b",))),
    ("UNSUBACK", V311, "b0 02 000a", Unsuback(10)),
    ("5 UNSUBACK", V5, "b0 05 000a 00 00 11", Unsuback(10, (0, Reason.NO_SUBSCRIPTION_EXISTED))),
    ("PINGREQ", V311, "c0 00", Pingreq()),
    ("PINGRESP", V311, "d0 00", Pingresp()),
    ("DISCONNECT", V311, "e0 00", Disconnect()),
    ("5 DISCONNECT, short", V5, "e0 00", Disconnect()),
    ("5 DISCONNECT, reason", V5, "e0 01 8e", Disconnect(Reason.SESSION_TAKEN_OVER)),
    ("5 DISCONNECT, properties", V5, "e0 07 00 05 1100000000", Disconnect(0, {"session_expiry_interval": 0})),
]


@pytest.mark.parametrize(("version", "wire", "packet"), [row[1:] for row in VECTORS], ids=[row[0] for row in VECTORS])
def test_vectors(version: int, wire: str, packet: Packet) -> None:
    """A packet's bytes are those of the standard's tables, in both directions."""
    data = hexed(wire)
    assert decode(data, 0 if isinstance(packet, Connect) else version) == [packet]
    assert encode(packet, version) == data


MALFORMED, PROTOCOL_ERROR = Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR

# (what is wrong, version, bytes, reason code)
VIOLATIONS: list[tuple[str, int, str, int]] = [
    # fixed header
    ("packet type 0", V311, "00 00", MALFORMED),
    ("3.1.1 packet type 15", V311, "f1 00", MALFORMED),
    ("AUTH", V5, "f0 00", PROTOCOL_ERROR),
    ("a second CONNECT", V311, "10 0d 0004 4d515454 04 02 003c 0001 61", PROTOCOL_ERROR),
    ("not CONNECT first", 0, "c0 00", PROTOCOL_ERROR),
    ("CONNECT with flags", 0, "11 0d 0004 4d515454 04 02 003c 0001 61", PROTOCOL_ERROR),
    ("PUBREL without flag 2", V311, "60 02 0001", MALFORMED),
    ("SUBSCRIBE without flag 2", V311, "80 06 0001 0001 61 00", MALFORMED),
    ("UNSUBSCRIBE without flag 2", V311, "a0 05 0001 0001 61", MALFORMED),
    ("PUBACK with flags", V311, "41 02 0001", MALFORMED),
    ("PINGREQ with flags", V5, "c1 00", MALFORMED),
    ("remaining length of five bytes", V311, "30 ff ff ff ff 01", MALFORMED),
    ("remaining length of five bytes, half come", V311, "30 80 80 80 80", MALFORMED),
    ("5 remaining length with a needless byte", V5, "c0 80 00", MALFORMED),
    # PUBLISH
    ("QoS 3", V311, "36 07 0003 612f62 0001", MALFORMED),
    ("DUP on QoS 0", V311, "38 05 0003 612f62", MALFORMED),
    ("packet id 0", V311, "32 07 0003 612f62 0000", MALFORMED),
    ("empty topic", V311, "30 02 0000", PROTOCOL_ERROR),
    ("5 empty topic without alias", V5, "30 03 0000 00", PROTOCOL_ERROR),
    ("5 topic alias 0", V5, "30 06 0000 03 230000", Reason.TOPIC_ALIAS_INVALID),
    ("topic with #", V311, "30 05 0003 612f23", Reason.TOPIC_NAME_INVALID),
    ("topic with +", V5, "30 06 0003 612f2b 00", Reason.TOPIC_NAME_INVALID),
    ("topic with U+0000", V311, "30 05 0003 610062", MALFORMED),
    ("topic with a surrogate", V311, "30 05 0003 eda080", MALFORMED),
    ("topic in overlong UTF-8", V311, "30 04 0002 c0af", MALFORMED),
    ("topic longer than the packet", V311, "30 05 0004 612f62", MALFORMED),
    ("no topic", V311, "30 00", MALFORMED),
    ("half a topic length", V311, "30 01 00", MALFORMED),
    ("no packet id", V311, "32 06 0003 612f62 00", MALFORMED),
    ("5 no properties", V5, "30 03 0001 61", MALFORMED),
    ("5 properties longer than the packet", V5, "30 05 0001 61 02 01", MALFORMED),
    ("5 response topic with a wildcard", V5, "30 08 0001 61 04 08 0001 23", PROTOCOL_ERROR),
    # acknowledgements
    ("PUBACK packet id 0", V311, "40 02 0000", MALFORMED),
    ("PUBACK too short", V311, "40 01 00", MALFORMED),
    ("PUBACK too long", V311, "40 03 0001 00", MALFORMED),
    ("5 PUBACK unknown reason", V5, "40 03 0001 01", PROTOCOL_ERROR),
    ("5 PUBACK bytes behind", V5, "40 05 0001 00 00 00", MALFORMED),
    ("5 PUBREL not found is legal, 0x80 is not", V5, "62 03 0001 80", PROTOCOL_ERROR),
    # CONNECT
    ("reserved connect flag", 0, "10 0d 0004 4d515454 04 03 003c 0001 61", MALFORMED),
    ("will QoS without a will", 0, "10 0d 0004 4d515454 04 0a 003c 0001 61", MALFORMED),
    ("will retain without a will", 0, "10 0d 0004 4d515454 04 22 003c 0001 61", MALFORMED),
    ("will QoS 3", 0, "10 12 0004 4d515454 04 1e 003c 0001 61 0001 77 0000", MALFORMED),
    ("will topic with a wildcard", 0, "10 12 0004 4d515454 04 06 003c 0001 61 0001 23 0000", Reason.TOPIC_NAME_INVALID),
    ("will topic empty", 0, "10 11 0004 4d515454 04 06 003c 0001 61 0000 0000", PROTOCOL_ERROR),
    ("3.1.1 password without user name", 0, "10 10 0004 4d515454 04 42 003c 0001 61 0001 70", MALFORMED),
    ("no client id", 0, "10 0a 0004 4d515454 04 02 003c", MALFORMED),
    ("bytes behind CONNECT", 0, "10 0e 0004 4d515454 04 02 003c 0001 61 00", MALFORMED),
    ("5 receive maximum 0", 0, "10 11 0004 4d515454 05 02 003c 03 210000 0001 61", PROTOCOL_ERROR),
    ("5 maximum packet size 0", 0, "10 13 0004 4d515454 05 02 003c 05 2700000000 0001 61", PROTOCOL_ERROR),
    ("5 request problem information 2", 0, "10 10 0004 4d515454 05 02 003c 02 1702 0001 61", PROTOCOL_ERROR),
    ("5 authentication data alone", 0, "10 11 0004 4d515454 05 02 003c 03 160000 0001 61", PROTOCOL_ERROR),
    # CONNACK
    ("CONNACK reserved flags", V311, "20 02 02 00", MALFORMED),
    ("5 CONNACK refused with a session", V5, "20 03 01 87 00", PROTOCOL_ERROR),
    # subscriptions
    ("SUBSCRIBE without filters", V311, "82 02 000a", PROTOCOL_ERROR),
    ("SUBSCRIBE empty filter", V311, "82 05 000a 0000 00", PROTOCOL_ERROR),
    ("SUBSCRIBE QoS 3", V311, "82 06 000a 0001 61 03", MALFORMED),
    ("3.1.1 SUBSCRIBE with options of 5", V311, "82 06 000a 0001 61 04", MALFORMED),
    ("5 SUBSCRIBE QoS 3", V5, "82 07 000a 00 0001 61 03", PROTOCOL_ERROR),
    ("5 SUBSCRIBE retain handling 3", V5, "82 07 000a 00 0001 61 30", PROTOCOL_ERROR),
    ("5 SUBSCRIBE reserved options", V5, "82 07 000a 00 0001 61 40", MALFORMED),
    ("5 no local on a shared subscription", V5, "82 10 000a 00 000a 2473686172652f672f61 04", PROTOCOL_ERROR),
    ("SUBSCRIBE packet id 0", V311, "82 06 0000 0001 61 00", MALFORMED),
    ("SUBSCRIBE filter without options", V311, "82 05 000a 0001 61", MALFORMED),
    ("UNSUBSCRIBE without filters", V5, "a2 03 000a 00", PROTOCOL_ERROR),
    ("UNSUBSCRIBE empty filter", V311, "a2 04 000a 0000", PROTOCOL_ERROR),
    ("5 subscription identifier 0", V5, "82 09 000a 02 0b00 0001 61 00", PROTOCOL_ERROR),
    ("SUBACK reserved code", V311, "90 03 000a 03", MALFORMED),
    ("5 UNSUBACK empty", V5, "b0 03 000a 00", PROTOCOL_ERROR),
    # properties
    ("unknown property", V5, "30 06 0001 61 02 0400", MALFORMED),
    ("property of another packet", V5, "30 09 0001 61 05 1100000000", MALFORMED),
    ("property twice", V5, "30 08 0001 61 04 0100 0101", PROTOCOL_ERROR),
    ("property cut off", V5, "30 06 0001 61 02 0200", MALFORMED),
    ("properties length of five bytes", V5, "30 08 0001 61 8080808001", MALFORMED),
    # the rest
    ("PINGREQ with a body", V311, "c0 01 00", MALFORMED),
    ("3.1.1 DISCONNECT with a body", V311, "e0 01 00", MALFORMED),
    ("5 DISCONNECT unknown reason", V5, "e0 01 01", PROTOCOL_ERROR),
]


@pytest.mark.parametrize(
    ("version", "wire", "reason"), [row[1:] for row in VIOLATIONS], ids=[row[0] for row in VIOLATIONS]
)
def test_violations(version: int, wire: str, reason: int) -> None:
    """What the standard forbids is refused, with the reason code to close the connection with."""
    assert violation(hexed(wire), version).reason == reason


@pytest.mark.parametrize(
    ("wire", "version"),
    [
        ("10 0d 0004 4d515454 03 02 003c 0001 61", V311),
        ("10 0f 0006 4d5149736470 03 02 003c 0001 61", V311),
        ("10 0d 0004 4d515454 06 02 003c 0001 61", V5),
        ("10 0d 0004 4d515454 84 02 003c 0001 61", V311),
        ("10 0d 0004 6d717474 04 02 003c 0001 61", V311),
    ],
    ids=["level 3", "MQIsdp", "level 6", "bridge", "mqtt"],
)
def test_unsupported_version(wire: str, version: int) -> None:
    """Another protocol name or level is refused as such, and says in which version to answer."""
    refusal = violation(hexed(wire))
    assert isinstance(refusal, UnsupportedProtocolVersion)
    assert (refusal.reason, refusal.version) == (Reason.UNSUPPORTED_PROTOCOL_VERSION, version)


def test_version_follows_connect() -> None:
    """A reader takes its version from the CONNECT, and reads what follows in the same read by it."""
    reader = Reader(LIMIT)
    assert reader.version == 0
    reader.feed(encode(Connect("a", V5), V5) + encode(Puback(1, Reason.NO_MATCHING_SUBSCRIBERS), V5))
    assert [type(packet) for packet in reader.packets()] == [Connect, Puback]
    assert reader.version == V5


def test_packets_before_a_violation() -> None:
    """What came before a bad packet is delivered before the violation is raised."""
    reader = Reader(LIMIT, V311)
    reader.feed(encode_publish("a", b"1") + b"\x00\x00")
    packets = reader.packets()
    assert next(packets) == Publish("a", b"1")
    with pytest.raises(ProtocolViolation):
        next(packets)


def test_feeding_while_reading() -> None:
    """A caller may stop in the middle of the packets, feed more, and go on."""
    reader = Reader(LIMIT, V311)
    stream = b"".join(encode_publish("a", bytes([n])) for n in range(4))
    reader.feed(stream[:-3])
    packets = reader.packets()
    taken = [next(packets), next(packets)]
    reader.feed(stream[-3:])
    taken += packets
    assert [packet.payload for packet in taken if isinstance(packet, Publish)] == [b"\0", b"\1", b"\2", b"\3"]


def test_limit_is_inclusive() -> None:
    """A packet of exactly the limit passes, header included; one byte more is refused."""
    data = encode_publish("a", bytes(100))
    assert decode(data, V311, len(data)) == [Publish("a", bytes(100))]
    assert violation(data, V311, len(data) - 1).reason == Reason.PACKET_TOO_LARGE


def test_too_large_is_refused_at_its_header() -> None:
    """A length over the limit is refused before a byte of the body has come."""
    assert violation(hexed("30 ff ff ff 7f"), V311).reason == Reason.PACKET_TOO_LARGE


def test_bad_first_byte_is_refused_at_once() -> None:
    """A first byte that starts no packet is refused without waiting for the rest."""
    assert violation(b"\x16", V311).reason == MALFORMED
    assert violation(b"GET / HTTP/1.1\r\n").reason == PROTOCOL_ERROR


def test_partial_packet_is_held_in_its_own_size() -> None:
    """A packet that trickles in byte by byte costs about its own size, whatever the number of reads."""
    data = encode_publish("a", bytes(200_000))
    reader = Reader(LIMIT, V311)
    tracemalloc.start()
    try:
        for position in range(len(data) - 1):
            reader.feed(data[position : position + 1])
            assert next(reader.packets(), None) is None
        assert tracemalloc.get_traced_memory()[1] < 2 * len(data)
    finally:
        tracemalloc.stop()
    reader.feed(data[-1:])
    assert list(reader.packets()) == [Publish("a", bytes(200_000))]


def test_idle_reader_holds_nothing() -> None:
    """When all packets are taken, nothing of what was fed is held."""
    reader = Reader(LIMIT, V311)
    reader.feed(encode_publish("a", bytes(50_000)))
    list(reader.packets())
    assert (reader._data, reader._held) == (b"", bytearray())
    assert not reader.is_partial
    reader.feed(b"\x30")
    assert list(reader.packets()) == []
    assert reader.is_partial


@pytest.mark.parametrize("version", [V311, V5])
def test_entries_are_bounded(version: int) -> None:
    """A packet with more topic filters, or properties, than is sensible is refused."""
    filters = tuple(str(n) for n in range(MAX_ENTRIES + 1))
    assert violation(encode(Unsubscribe(1, filters), version), version).reason == Reason.QUOTA_EXCEEDED
    assert decode(encode(Unsubscribe(1, filters[1:]), version), version) == [Unsubscribe(1, filters[1:])]
    pairs = tuple(("", "") for _ in range(MAX_ENTRIES + 1))
    assert violation(encode(Publish("a", b"", properties={"user_property": pairs}), V5), V5).reason == 0x97


@pytest.mark.parametrize(
    ("reason", "code"),
    [(0, 0), (0x84, 1), (0x85, 2), (0x88, 3), (0x86, 4), (0x87, 5), (0x89, 3), (0x97, 3), (0x8A, 5), (7, 7)],
)
def test_connack_return_codes(reason: int, code: int) -> None:
    """A 3.1.1 CONNACK translates reason codes to return codes, and never has a session beside a refusal."""
    assert encode(Connack(True, reason), V311) == bytes((0x20, 2, not reason, code))


def test_suback_return_codes() -> None:
    """A 3.1.1 SUBACK says 0x80 for every refusal."""
    assert encode(Suback(1, (0, 1, 2, Reason.NOT_AUTHORIZED, Reason.TOPIC_FILTER_INVALID)), V311)[-5:] == bytes(
        (0, 1, 2, 0x80, 0x80)
    )


@pytest.mark.parametrize("packet", [Puback(1, Reason.NOT_AUTHORIZED), Pubrec(1, Reason.NOT_AUTHORIZED)])
def test_a_refused_publish_is_never_acknowledged_as_success(packet: Packet) -> None:
    """3.1.1 has no way to refuse in a PUBACK or PUBREC, so one that refuses cannot be encoded."""
    with pytest.raises(ValueError, match="cannot refuse"):
        encode(packet, V311)


@pytest.mark.parametrize(
    "packet",
    [
        Publish("a", b"", 1),
        Publish("a", b"", 1, packet_id=65536),
        Publish("a" * 65536, b""),
        Publish("a", b"", properties={"receive_maximum": 1}),
        Publish("a", b"", properties={"topic_alias": 65536}),
        Publish("a", b"", properties={"no_such": 1}),
        Puback(0),
        Unsubscribe(1, ("\0",)),
        Connect("\udc00", V5),
    ],
)
def test_what_cannot_be_said_is_refused(packet: Packet) -> None:
    """A packet that would be malformed is the caller's mistake and raises ValueError."""
    with pytest.raises(ValueError):
        encode(packet, V5)


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (2_097_151, "ffff7f"),
        (2_097_152, "80808001"),
        (268_435_455, "ffffff7f"),
    ],
)
def test_variable_integers(value: int, wire: str) -> None:
    """Variable byte integers are those of the standard's table 1-1."""
    data = hexed(wire)
    assert pack_variable_integer(value) == data
    assert Cursor(data, 0, len(data)).variable_integer() == value


def test_payload_may_be_long_and_empty() -> None:
    """PUBLISH has one, two, three and four bytes of remaining length as its size asks for."""
    for size in (0, 120, 130, 16_370, 16_390, 2_097_140, 2_097_160):
        data = encode_publish("topic", bytes(size), 1, packet_id=9)
        assert decode(data, V311, 1 << 22) == [Publish("topic", bytes(size), 1, packet_id=9)]
