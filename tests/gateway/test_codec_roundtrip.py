"""Properties of the codec: every packet survives the wire, and no bytes do harm."""

from __future__ import annotations

import sys
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward.gateway.codec import ProtocolViolation, Reader, encode
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
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from fleetward.gateway.properties import (
    BINARY,
    BYTE,
    PAIR,
    PROPERTIES,
    TEXT,
    UINT16,
    UINT32,
    VARIABLE,
    PacketType,
    Property,
)
from fleetward.gateway.reasons import LEGAL_REASONS

LIMIT = 1 << 20
LARGEST = {BYTE: 0xFF, UINT16: 0xFFFF, UINT32: 0xFFFF_FFFF, VARIABLE: 268_435_455}

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
topics = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=12)
filters = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
payloads = st.binary(max_size=300)
packet_ids = st.integers(1, 0xFFFF)
qualities = st.integers(0, 2)


def property_values(row: Property) -> st.SearchStrategy[object]:
    if row.name == "response_topic":
        return topics
    if row.kind in LARGEST:
        return st.integers(row.minimum, min(row.maximum, LARGEST[row.kind]))
    return {TEXT: texts, BINARY: st.binary(max_size=12), PAIR: st.tuples(texts, texts)}[row.kind]


def properties_of(packet: PacketType) -> st.SearchStrategy[dict[str, object]]:
    rows = {row.name: row for row in PROPERTIES if packet in row.packets}
    values = {
        name: st.lists(property_values(row), min_size=1, max_size=3).map(tuple)
        if packet in row.repeats
        else property_values(row)
        for name, row in rows.items()
    }
    return st.fixed_dictionaries({}, optional=values).filter(
        lambda chosen: "authentication_method" in chosen or "authentication_data" not in chosen
    )


def publishes(properties: st.SearchStrategy[dict[str, object]]) -> st.SearchStrategy[Packet]:
    flags = st.booleans()
    common = (topics, payloads)
    return st.one_of(
        st.builds(Publish, *common, st.just(0), flags, st.just(False), st.just(0), properties),
        st.builds(Publish, *common, st.integers(1, 2), flags, flags, packet_ids, properties),
    )


def connects(version: int) -> st.SearchStrategy[Packet]:
    none = st.just({})
    will = st.builds(
        Will, topics, payloads, qualities, st.booleans(), properties_of(PacketType.WILL) if version == V5 else none
    )
    usernames, passwords = st.none() | texts, st.none() | payloads
    credentials = st.tuples(usernames, passwords)
    if version == V311:
        credentials = credentials.filter(lambda pair: pair[0] is not None or pair[1] is None)
    return st.builds(
        lambda client_id, clean, keep_alive, will, credentials, properties: Connect(
            client_id, version, clean, keep_alive, will, credentials[0], credentials[1], properties
        ),
        texts,
        st.booleans(),
        st.integers(0, 0xFFFF),
        st.none() | will,
        credentials,
        properties_of(PacketType.CONNECT) if version == V5 else none,
    )


def packets_311() -> st.SearchStrategy[Packet]:
    none = st.just({})
    subscriptions = st.builds(Subscription, filters, qualities)
    return st.one_of(
        st.builds(Connack, st.booleans(), st.just(0)),
        st.builds(Connack, st.just(False), st.sampled_from((0, 0x84, 0x85, 0x86, 0x87, 0x88, 7))),
        publishes(none),
        *(st.builds(kind, packet_ids) for kind in (Puback, Pubrec, Pubrel, Pubcomp, Unsuback)),
        st.builds(Subscribe, packet_ids, st.lists(subscriptions, min_size=1, max_size=4).map(tuple)),
        st.builds(Suback, packet_ids, st.lists(st.sampled_from((0, 1, 2, 0x80)), min_size=1).map(tuple)),
        st.builds(Unsubscribe, packet_ids, st.lists(filters, min_size=1, max_size=4).map(tuple)),
        *(st.builds(kind) for kind in (Pingreq, Pingresp, Disconnect)),
    )


def packets_5() -> st.SearchStrategy[Packet]:
    def reasons(kind: PacketType) -> st.SearchStrategy[int]:
        return st.sampled_from(sorted(LEGAL_REASONS[kind]))

    def reason_lists(kind: PacketType) -> st.SearchStrategy[tuple[int, ...]]:
        return st.lists(reasons(kind), min_size=1, max_size=4).map(tuple)

    subscriptions = st.builds(Subscription, filters, qualities, st.booleans(), st.booleans(), st.integers(0, 2)).filter(
        lambda each: not (each.no_local and each.filter.startswith("$share/"))
    )
    acknowledgements = {
        Puback: PacketType.PUBACK,
        Pubrec: PacketType.PUBREC,
        Pubrel: PacketType.PUBREL,
        Pubcomp: PacketType.PUBCOMP,
    }
    subscribing, unsubscribing = properties_of(PacketType.SUBSCRIBE), properties_of(PacketType.UNSUBSCRIBE)
    return st.one_of(
        st.builds(Connack, st.booleans(), st.just(0), properties_of(PacketType.CONNACK)),
        st.builds(Connack, st.just(False), reasons(PacketType.CONNACK), properties_of(PacketType.CONNACK)),
        publishes(properties_of(PacketType.PUBLISH)),
        *(st.builds(cls, packet_ids, reasons(kind), properties_of(kind)) for cls, kind in acknowledgements.items()),
        st.builds(Subscribe, packet_ids, st.lists(subscriptions, min_size=1, max_size=4).map(tuple), subscribing),
        st.builds(Suback, packet_ids, reason_lists(PacketType.SUBACK), properties_of(PacketType.SUBACK)),
        st.builds(Unsubscribe, packet_ids, st.lists(filters, min_size=1, max_size=4).map(tuple), unsubscribing),
        st.builds(Unsuback, packet_ids, reason_lists(PacketType.UNSUBACK), properties_of(PacketType.UNSUBACK)),
        st.builds(Disconnect, reasons(PacketType.DISCONNECT), properties_of(PacketType.DISCONNECT)),
        *(st.builds(kind) for kind in (Pingreq, Pingresp)),
    )


PACKETS = {V311: packets_311(), V5: packets_5()}
CONNECTS = {V311: connects(V311), V5: connects(V5)}
versions = pytest.mark.parametrize("version", [V311, V5])


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@versions
@settings(max_examples=150)
@given(data=st.data())
def test_round_trip(version: int, data: st.DataObject) -> None:
    """A connection's packets arrive as they were sent, wherever the stream is cut."""
    sent = [data.draw(CONNECTS[version]), *data.draw(st.lists(PACKETS[version], max_size=6))]
    stream = b"".join(encode(packet, version) for packet in sent)
    reader, received = Reader(LIMIT), []
    for piece in pieces(stream, data.draw(st.lists(st.integers(0, 1 << 16), max_size=8))):
        reader.feed(piece)
        received += reader.packets()
    assert received == sent
    assert reader.version == version


@versions
@settings(max_examples=100)
@given(data=st.data())
def test_truncated_packets(version: int, data: st.DataObject) -> None:
    """A packet that lost its end, its length made to fit, is refused or read as another that is whole."""
    whole = encode(data.draw(PACKETS[version].filter(lambda packet: not isinstance(packet, Publish))), version)
    start = 2 if whole[1] < 0x80 else 3
    body = whole[start : data.draw(st.integers(start, len(whole)))][:127]
    reread(bytes((whole[0], len(body))) + body, version)


@pytest.mark.parametrize("version", [0, V311, V5])
@settings(max_examples=150)
@given(chunks=st.lists(st.binary(max_size=60), max_size=5))
def test_arbitrary_bytes(version: int, chunks: list[bytes]) -> None:
    """Arbitrary bytes raise nothing but ProtocolViolation and are never held beyond the limit."""
    reader = Reader(64, version)
    with suppress(ProtocolViolation):
        for chunk in chunks:
            reader.feed(chunk)
            list(reader.packets())
            assert len(reader._held) <= 64
            assert sys.getsizeof(reader._held) <= sys.getsizeof(bytearray()) + 2 * (64 + 60)


@versions
@settings(max_examples=300)
@given(data=st.data())
def test_damaged_packets(version: int, data: st.DataObject) -> None:
    """A packet with damaged bytes is refused, or read as one that is itself sound."""
    damaged = bytearray(encode(data.draw(PACKETS[version]), version))
    for position, byte in data.draw(st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=3)):
        damaged[position % len(damaged)] = byte
    reread(bytes(damaged), version)


def reread(data: bytes, version: int) -> None:
    """Whatever is read from `data` can be written and read again, unchanged."""
    reader = Reader(LIMIT, version)
    reader.feed(data)
    try:
        packets = list(reader.packets())
    except ProtocolViolation:
        return
    again = Reader(LIMIT, version)
    again.feed(b"".join(encode(packet, version) for packet in packets))
    assert list(again.packets()) == packets
