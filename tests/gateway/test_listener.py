"""The listener and the service: TLS, hostile bytes on real sockets, and the gateway's thread."""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from both_ends import ARNS
from real_gateway import SECONDS, Awaited, Credentials, MakeGateway, RealGateway, clock

from fleetward.gateway.codec import Reader, encode
from fleetward.gateway.doors import CountSessions, Publish
from fleetward.gateway.limits import LIMITS
from fleetward.gateway.packets import (
    V5,
    V311,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Subscribe,
    Subscription,
    Will,
)
from fleetward.gateway.packets import Publish as PublishPacket
from fleetward.gateway.service import CannotListen, Gateway, GatewayStopped, TlsFiles
from fleetward.meter.batch import TICK_MILLIS
from fleetward.records import RecordKind
from fleetward.registry.authority import Authority
from fleetward.settings import Settings


class Raw:
    """A TLS connection with a device's certificate, for bytes of any kind."""

    def __init__(
        self,
        credentials: Credentials,
        version: int = V311,
        context: ssl.SSLContext | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        plain = socket.socket()
        plain.settimeout(SECONDS)
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.connect(("127.0.0.1", credentials.gateway.port))
        self.version = version
        self.socket = (context or credentials.context()).wrap_socket(plain, server_hostname="localhost")
        self._reader = Reader(10_000_000, version)

    def send(self, *packets: Packet) -> None:
        self.socket.sendall(b"".join(encode(packet, self.version) for packet in packets))

    def next(self) -> Packet | None:
        """The next packet; None when the connection was closed."""
        while True:
            for packet in self._reader.packets():
                return packet
            try:
                data = self.socket.recv(65536)
            except (ConnectionError, ssl.SSLError):
                return None
            if not data:
                return None
            self._reader.feed(data)

    def online(self, client_id: str, **options: object) -> Raw:
        self.send(Connect(client_id, self.version, **options))  # type: ignore[arg-type]
        packet = self.next()
        assert isinstance(packet, Connack)
        assert packet.reason == 0
        return self

    def close(self) -> None:
        self.socket.close()


def is_serving(gateway: RealGateway) -> bool:
    """Another client still gets its answers."""
    device = Raw(gateway.certificate()).online("still-served")
    device.close()
    return True


def is_turned_away(gateway: RealGateway, context: ssl.SSLContext) -> bool:
    """The connection ends without an answer; with TLS 1.3 a client learns that after its own half of the handshake."""
    with socket.create_connection(("127.0.0.1", gateway.port), SECONDS) as plain:
        try:
            tls = context.wrap_socket(plain, server_hostname="localhost")
            tls.sendall(encode(Connect("x"), V311))
            return tls.recv(1) == b""
        except (ssl.SSLError, ConnectionError):
            return True


# --- TLS --------------------------------------------------------------------------------------------------------------


def test_no_certificate_no_connection(gateway: RealGateway) -> None:
    """A client without a certificate does not get past the handshake."""
    assert is_turned_away(gateway, ssl.create_default_context(cafile=gateway.authority.ca_file))
    assert is_serving(gateway)


def test_another_authority_s_certificate(gateway: RealGateway, tmp_path: Path) -> None:
    """A certificate that our authority did not sign does not get past the handshake."""
    issued = Authority.open(tmp_path / "other", clock()).issue_device(clock(), key="ec")
    assert issued.private_key_pem is not None
    credentials = Credentials(issued.id, issued.certificate_pem, issued.private_key_pem, gateway)
    assert is_turned_away(gateway, credentials.context())


@pytest.mark.parametrize(("asked", "chosen"), [(["x-amzn-mqtt-ca"], "x-amzn-mqtt-ca"), (["mqtt"], "mqtt"), ([], None)])
def test_alpn(gateway: RealGateway, asked: list[str], chosen: str | None) -> None:
    """ALPN is answered when asked for, and not needed."""
    credentials = gateway.certificate()
    context = credentials.context()
    if asked:
        context.set_alpn_protocols(asked)
    device = Raw(credentials, context=context)
    assert device.socket.selected_alpn_protocol() == chosen
    device.online("device").close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_versions(gateway: RealGateway, version: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3 are spoken; no server name is needed."""
    credentials = gateway.certificate()
    context = credentials.context()
    context.minimum_version = context.maximum_version = version
    device = Raw(credentials, context=context).online("device")
    assert device.socket.version() == {771: "TLSv1.2", 772: "TLSv1.3"}[version]
    device.close()


def test_dawdlers_make_room(make_gateway: MakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that never shake hands neither keep others out nor stay."""
    monkeypatch.setitem(LIMITS, "standard", replace(LIMITS["standard"], handshakes=4, handshake_seconds=1))
    gateway = make_gateway()
    idle = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(20)]
    assert is_serving(gateway)
    for each in idle:
        each.settimeout(SECONDS)
        assert each.recv(1) == b""
        each.close()


def test_max_connections(make_gateway: MakeGateway) -> None:
    """No more connections are open at once than the setting says."""
    gateway = make_gateway(mqtt_max_connections=2)
    credentials = gateway.certificate()
    devices = [Raw(credentials).online(f"device{i}") for i in range(2)]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Raw(credentials)
    devices.pop().close()
    assert gateway.outlets.ended("device1")
    Raw(credentials).online("another").close()


def test_who_sends_no_connect_makes_room(make_gateway: MakeGateway) -> None:
    """Connections that nobody was admitted on do not keep others out, and never push out a client."""
    gateway = make_gateway(mqtt_max_connections=3)
    credentials = gateway.certificate()
    client = Raw(credentials).online("client")
    silent = [Raw(credentials) for _ in range(2)]
    other = Raw(credentials).online("other")
    assert silent[0].next() is None
    third = Raw(credentials).online("third")
    assert silent[1].next() is None
    with pytest.raises(OSError):
        Raw(credentials)
    for each in (client, other, third):
        each.send(Pingreq())
        assert each.next() == Pingresp()
        each.close()


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff", encode(Connect("x"), V311)])
def test_no_tls_no_connection(gateway: RealGateway, data: bytes) -> None:
    """Bytes that are not TLS end the connection they came on, at once."""
    with socket.create_connection(("127.0.0.1", gateway.port), SECONDS) as plain:
        plain.sendall(data)
        while plain.recv(100):  # OpenSSL's alert
            pass
    assert is_serving(gateway)


def test_a_refusal_is_heard(gateway: RealGateway) -> None:
    """A client that sends on behind a CONNECT that is refused gets the answer all the same."""
    device = Raw(gateway.certificate(known=False))
    device.socket.sendall(encode(Connect("x"), V311) + encode(PublishPacket("t", bytes(100_000)), V311))
    device.socket.sendall(bytes(100_000))
    packet = device.next()
    assert isinstance(packet, Connack)
    assert packet.reason
    assert device.next() is None


# --- hostile bytes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00",
        b"\xf0\x00",
        b"\x10\xff\xff\xff\xff\xff",
        b"\x10\xff\xff\xff\x7f",
        b"\x30\x03\x00\x01a",
        encode(Connect("x"), V311) + b"\x30\x80\x80\x80\x40",
        encode(Connect("x"), V311) * 2,
        encode(Connect("x"), V311) + b"\x36\x05\x00\x01a\x00\x01",
        encode(Connect("x"), V311) + encode(Connack(), V311),
    ],
)
def test_malformed_bytes_end_that_connection_only(gateway: RealGateway, data: bytes) -> None:
    """Bytes that are not MQTT, or not allowed here, end the connection they came on and no other."""
    other = Raw(gateway.certificate()).online("other")
    device = Raw(gateway.certificate())
    device.socket.sendall(data)
    while device.next() is not None:
        pass
    other.send(Subscribe(1, (Subscription("t"),)))
    assert other.next() is not None
    other.close()


def test_half_sent_packets_stall_nobody(make_gateway: MakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that stop in the middle of a packet wait alone, and not for ever."""
    monkeypatch.setitem(LIMITS, "standard", replace(LIMITS["standard"], connect_seconds=1, packet_seconds=1))
    gateway = make_gateway()
    credentials = gateway.certificate()
    before = Raw(credentials)
    before.socket.sendall(encode(Connect("before"), V311)[:-1])
    after = Raw(credentials).online("after")
    after.socket.sendall(encode(PublishPacket("t", b"x" * 100_000), V311)[:50_000])
    assert is_serving(gateway)
    assert before.next() is None
    assert after.next() is None


def test_a_subscriber_that_stops_reading_stalls_nobody(
    make_gateway: MakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It loses messages and in the end its connection; the sender and the other subscriber notice nothing."""
    monkeypatch.setitem(LIMITS, "standard", replace(LIMITS["standard"], stalled_seconds=1))
    gateway = make_gateway()
    credentials = gateway.certificate()
    stuck = Raw(credentials, receive_buffer=4096).online("stuck")
    stuck.send(Subscribe(1, (Subscription("t", 0),)))
    assert stuck.next() is not None
    reader = credentials.paho("reader").online()
    reader.subscribe("t", qos=1)
    sender = credentials.paho("sender").online()
    for i in range(200):
        sender.publish("t", i.to_bytes(4, "big") + bytes(100_000), 1).wait_for_publish(SECONDS)
    assert [int.from_bytes(reader.next()[1][:4], "big") for _ in range(200)] == list(range(200))
    assert gateway.outlets.ended("stuck").reason == "CONNECTION_LOST"
    sender.close()
    reader.close()


def test_a_client_that_never_reads_its_answers(gateway: RealGateway) -> None:
    """A client that sends without end and reads nothing is held back, and others are served."""
    credentials = gateway.certificate()
    device = Raw(credentials, receive_buffer=4096).online("greedy")
    device.socket.settimeout(1)
    with pytest.raises((TimeoutError, ConnectionError, ssl.SSLError)):
        device.socket.sendall(b"\xc0\x00" * 20_000_000)
    assert is_serving(gateway)
    device.close()


def test_a_failure_ends_that_connection_only(gateway: RealGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong while one connection is served ends that one, as the server's error."""

    def fail(arrival: object) -> None:
        raise RuntimeError("made to fail")

    monkeypatch.setattr(gateway.outlets, "arrival", fail)
    other = Raw(gateway.certificate()).online("other")
    device = Raw(gateway.certificate(), V5).online("device")
    device.send(PublishPacket("$aws/things/device/shadow/get", b""))
    while device.next() is not None:
        pass
    assert gateway.outlets.ended("device").reason == "SERVER_ERROR"
    other.send(Subscribe(1, (Subscription("t"),)))
    assert other.next() is not None
    other.close()


# --- the service ------------------------------------------------------------------------------------------------------


def test_a_taken_port_is_named(gateway: RealGateway, tmp_path: Path) -> None:
    """Starting on a port that is in use fails with a message that names it."""
    certificate, key = gateway.authority.issue_server(("localhost", "127.0.0.1"), clock())
    settings = Settings(data_dir=tmp_path, mqtt_port=gateway.port)
    tls = TlsFiles(certificate, key, gateway.authority.ca_file)
    with pytest.raises(CannotListen, match=f"127.0.0.1 port {gateway.port}"):
        Gateway(settings, clock, ARNS, tls, None, Awaited()).start()


def test_stop_says_goodbye(gateway: RealGateway) -> None:
    """Stopping tells MQTT 5 clients, publishes no wills, ends every session's presence, and is quick."""
    credentials = gateway.certificate()
    watcher = Raw(credentials).online("watcher")
    watcher.send(Subscribe(1, (Subscription("will"),)))
    assert watcher.next() is not None
    device = Raw(credentials, V5).online("device", will=Will("will", b"x"))
    idle = socket.create_connection(("127.0.0.1", gateway.port))
    started = time.monotonic()
    gateway.stop()
    assert time.monotonic() - started < 3
    assert device.next() == Disconnect(0x8B)
    assert device.next() is None
    assert watcher.next() is None
    assert gateway.outlets.ended("device").reason == "SERVER_INITIATED_DISCONNECT"
    idle.close()


def test_batches_are_gapless(gateway: RealGateway) -> None:
    """Each tick hands over one batch; they join without gaps on tick boundaries, and hold what was published."""
    device = gateway.certificate().paho("device").online()
    for _ in range(10):
        device.publish("t", b"12345", 1).wait_for_publish(SECONDS)
        time.sleep(0.05)
    device.close()
    gateway.stop()
    batches = gateway.outlets.batches
    assert [batch.sequence for batch in batches] == list(range(len(batches)))
    assert all(later.start == earlier.end for earlier, later in pairwise(batches))
    assert all(batch.end % TICK_MILLIS == 0 for batch in batches)
    sizes = [
        batch.cells["aws:message-byte-size", ""] for batch in batches if batch.cells.get(("aws:message-byte-size", ""))
    ]
    assert sum(cells.total.sum() for cells in sizes) == 60
    assert len(sizes) >= 2


def test_a_tick_holds_nothing_that_came_after_it(make_gateway: MakeGateway) -> None:
    """What is seen after a tick's end is in a later batch, even when the timer did not fire in between."""
    now = [clock() // TICK_MILLIS * TICK_MILLIS + 10]
    gateway = make_gateway(clock=lambda: now[0])
    device = gateway.certificate().paho("device").online()
    device.publish("t", b"1", 1).wait_for_publish(SECONDS)
    assert gateway.outlets.batches == []
    now[0] += TICK_MILLIS
    device.publish("t", b"1", 1).wait_for_publish(SECONDS)
    device.close()
    gateway.stop()
    first, last = gateway.outlets.batches
    assert [batch.cells["aws:num-messages-sent", ""].total.sum() for batch in (first, last)] == [1, 1]
    assert first.end == last.start == now[0] - 10


def test_each_run_has_a_name_of_its_own(gateway: RealGateway) -> None:
    """Batches of two runs are told apart, and each run counts from 0."""
    gateway.stop()
    before = gateway.outlets.batches[-1]
    gateway.start()
    gateway.stop()
    assert gateway.outlets.batches[0].gateway != before.gateway
    assert gateway.outlets.batches[0].sequence == 0


async def test_commands_need_a_running_gateway(gateway: RealGateway) -> None:
    """A command to a gateway that was stopped fails, and does not wait for ever."""
    gateway.stop()
    with pytest.raises(GatewayStopped):
        await gateway.gateway.command(CountSessions())


def test_changes_before_the_start_count(make_gateway: MakeGateway) -> None:
    """Commands come after the changes that were applied before them, also across a restart."""
    gateway = make_gateway()
    gateway.stop()
    credentials = gateway.certificate()
    gateway.start()
    device = Raw(credentials).online("device")
    assert gateway.command(CountSessions()) == 1
    device.send(Subscribe(1, (Subscription("t"),)))
    assert device.next() is not None
    gateway.change(RecordKind.CERTIFICATE, credentials.id, None)
    assert gateway.command(Publish("t", b"x")) == 0
    assert device.next() is None
