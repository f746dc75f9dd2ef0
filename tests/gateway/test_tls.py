"""TLS over memory: the channel below MQTT, against OpenSSL's own client, whatever the network does to the bytes."""

from __future__ import annotations

import ssl
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_gateway import clock

from fleetward.gateway.channels import Refused
from fleetward.gateway.codec import Reader, encode
from fleetward.gateway.packets import V311, Connect, Packet, Pingreq, Publish
from fleetward.gateway.tls import RECORD, Tls, server_context
from fleetward.registry.authority import Authority

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
PACKETS: list[Packet] = [Connect("device", V311), Publish("t", b"x" * 40_000, 1, packet_id=1), Pingreq()]


class Ends:
    """Both ends' contexts, and the certificate's id."""

    def __init__(self, authority: Authority, folder: Path) -> None:
        issued = authority.issue_device(clock(), key="ec")
        (folder / "device.pem").write_text(issued.certificate_pem)
        (folder / "device.key").write_text(issued.private_key_pem or "")
        self.id = issued.id
        self.server = server_context(*authority.issue_server(("localhost",), clock()), authority.ca_file)
        self._authority, self._folder = authority, folder

    def device(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, *, certificate: bool = True) -> Device:
        context = ssl.create_default_context(cafile=self._authority.ca_file)
        context.minimum_version = context.maximum_version = version
        if certificate:
            context.load_cert_chain(self._folder / "device.pem", self._folder / "device.key")
        return Device(context)

    def connected(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> tuple[Tls, Device]:
        channel, device = Tls(self.server, "192.0.2.1"), self.device(version)
        for _ in range(3):
            sent = device.shake()
            if sent:
                channel.open(sent)
            device.incoming.write(channel.answer())
        return channel, device


class Device:
    """The client's end, as OpenSSL has it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self._outgoing, server_hostname="localhost")

    def shake(self) -> bytes:
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self._outgoing.read()

    def send(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self._outgoing.read()

    def goodbye(self) -> bytes:
        with suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self._outgoing.read()

    def receive(self, data: bytes) -> bytes:
        self.incoming.write(data)
        found = b""
        with suppress(ssl.SSLWantReadError):
            while chunk := self.tls.read(65536):
                found += chunk
        return found


@pytest.fixture(scope="module")
def ends(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Ends:
    return Ends(authority, tmp_path_factory.mktemp("ends"))


def chopped(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % len(data) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


cuts = st.lists(st.integers(0, 2**20), max_size=40)


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=40)
@given(opening=cuts, rest=cuts)
def test_any_chopping_gives_the_same_packets(
    ends: Ends, version: ssl.TLSVersion, opening: list[int], rest: list[int]
) -> None:
    """However the network cuts the bytes, the certificate and the packets that arrive are the same."""
    channel, device = Tls(ends.server, "192.0.2.1"), ends.device(version)
    reader = Reader(1_000_000)
    found: list[Packet] = []

    def take(data: bytes) -> None:
        reader.feed(channel.receive(data))
        found.extend(reader.packets())

    principals = []
    for flight in range(2):
        sent = device.shake()
        if flight and version == ssl.TLSVersion.TLSv1_3:  # a client need not wait before it goes on
            sent += device.send(encode(PACKETS[0], V311))
        for piece in chopped(sent, opening):
            if principals:
                take(piece)
            elif (principal := channel.open(piece)) is not None:
                principals.append(principal)
                take(b"")
        device.incoming.write(channel.answer())
    device.shake()
    left = PACKETS[len(found) :]
    for piece in chopped(device.send(b"".join(encode(packet, V311) for packet in left)), rest):
        take(piece)
    assert [principal.certificate_id for principal in principals] == [ends.id]
    assert found == PACKETS


@settings(max_examples=20)
@given(sizes=st.lists(st.integers(1, 3 * RECORD), min_size=1, max_size=4), cuts=cuts)
def test_what_is_sent_arrives(ends: Ends, sizes: list[int], cuts: list[int]) -> None:
    """What the server sends reaches the device whole and in order, in records of any size."""
    channel, device = ends.connected()
    data = [bytes([i]) * size for i, size in enumerate(sizes)]
    wire = b"".join(map(channel.send, data))
    assert b"".join(map(device.receive, chopped(wire, cuts))) == b"".join(data)


@pytest.mark.parametrize("version", VERSIONS)
def test_goodbyes(ends: Ends, version: ssl.TLSVersion) -> None:
    """Each end learns that the other said goodbye, and what came before it is kept."""
    channel, device = ends.connected(version)
    assert channel.receive(device.send(b"last") + device.goodbye()) == b"last"
    assert channel.closed
    device.incoming.write(channel.close())
    assert device.tls.unwrap() is None


def test_goodbye_of_the_server(ends: Ends) -> None:
    """The device can tell the server's goodbye from a connection that was cut."""
    channel, device = ends.connected()
    device.incoming.write(channel.send(b"last") + channel.close())
    assert device.tls.read(10) == b"last"
    assert device.tls.read(10) == b""


def test_no_certificate(ends: Ends) -> None:
    """A device without a certificate is told so, and nobody is there."""
    channel, device = Tls(ends.server, "192.0.2.1"), ends.device(certificate=False)
    assert channel.open(device.shake()) is None
    device.incoming.write(channel.answer())
    with pytest.raises(ssl.SSLError):
        channel.open(device.shake())
    with pytest.raises(ssl.SSLError, match="certificate required"):
        device.receive(channel.close())


def test_no_tickets(ends: Ends) -> None:
    """With TLS 1.3 every connection proves anew that it holds its key: nothing is given out to resume by."""
    channel, device = ends.connected()
    assert channel.answer() == b""
    device.receive(channel.send(b"x"))
    assert device.tls.session is None or not device.tls.session.has_ticket


@given(data=st.binary(max_size=600))
def test_garbage_opens_nothing(ends: Ends, data: bytes) -> None:
    """Bytes that are not TLS are refused or awaited, and open nothing."""
    channel = Tls(ends.server, "192.0.2.1")
    with suppress(ssl.SSLError, Refused):
        assert channel.open(data) is None
    channel.close()


@settings(max_examples=30)
@given(place=st.integers(0, 2**16), change=st.integers(1, 255))
def test_a_changed_byte_is_noticed(ends: Ends, place: int, change: int) -> None:
    """Nothing that was changed on its way reaches MQTT."""
    channel, device = ends.connected()
    wire = bytearray(device.send(b"x" * 100))
    wire[place % len(wire)] ^= change
    with suppress(ssl.SSLError):
        assert channel.receive(bytes(wire)) == b""
    channel.close()


def test_a_cut_connection_loses_only_what_was_cut(ends: Ends) -> None:
    """Of a record that is not whole nothing arrives; the end of the connection is then no goodbye."""
    channel, device = ends.connected()
    wire = device.send(b"first") + device.send(b"second")
    assert channel.receive(wire[:-1]) == b"first"
    assert not channel.closed
