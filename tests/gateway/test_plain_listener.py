"""The plain listener: whose connection it is, by a proxy's word or by a setting, and nobody else's."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
from both_ends import ALLOW_ALL, policy
from proxy_headers import header, ssl_value, value
from real_gateway import SECONDS, Credentials, MakeGateway, RealGateway

from fleetward.gateway.codec import Reader, encode
from fleetward.gateway.packets import V311, Connack, Connect, Packet, Pingreq, Pingresp, Reason
from fleetward.gateway.service import CannotListen


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


class Plain:
    """A connection to the plain port, for bytes of any kind."""

    def __init__(self, gateway: RealGateway, *first: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", gateway.settings.mqtt_plain_port), SECONDS)
        self._reader = Reader(10_000_000, V311)
        for data in first:
            self.socket.sendall(data)

    def next(self) -> Packet | None:
        """The next packet; None when the connection was closed."""
        while True:
            for packet in self._reader.packets():
                return packet
            data = self.socket.recv(65536)
            if not data:
                return None
            self._reader.feed(data)

    def connect(self, client_id: str) -> int | None:
        """The CONNACK's code; None when the connection is closed without one."""
        self.socket.sendall(encode(Connect(client_id, V311), V311))
        packet = self.next()
        assert packet is None or isinstance(packet, Connack)
        return None if packet is None else packet.reason


@pytest.fixture
def proxied(make_gateway: MakeGateway) -> RealGateway:
    """A gateway whose plain port awaits a PROXY header."""
    return make_gateway(mqtt_plain_port=free_port())


def named(credentials: Credentials, address: str = "192.0.2.7") -> bytes:
    """A header with that certificate."""
    return header(ssl_value(value(0x28, der(credentials))), address)


def der(credentials: Credentials) -> bytes:
    return ssl.PEM_cert_to_DER_cert(credentials.certificate_file.read_text())


# --- identity by a PROXY header ---------------------------------------------------------------------------------------


def test_certificate_in_the_header(proxied: RealGateway) -> None:
    """The certificate in the header is the client's identity, its address the client's address."""
    credentials = proxied.certificate()
    device = Plain(proxied, named(credentials))
    assert device.connect("device") == 0
    presence = proxied.outlets.presences.get(timeout=SECONDS)
    assert (presence.client_id, presence.certificate_id, presence.address) == ("device", credentials.id, "192.0.2.7")


def test_certificate_id_in_the_header(proxied: RealGateway) -> None:
    """The certificate's SHA-256 in the header is as good."""
    credentials = proxied.certificate()
    device = Plain(proxied, header(ssl_value() + value(0xE0, credentials.id.encode())))
    assert device.connect("device") == 0
    assert proxied.outlets.presences.get(timeout=SECONDS).certificate_id == credentials.id


def test_header_in_pieces(proxied: RealGateway) -> None:
    """A header may come byte by byte, and packets may come right behind it."""
    device = Plain(proxied)
    sent = named(proxied.certificate()) + encode(Connect("device", V311), V311) + encode(Pingreq(), V311)
    device.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for position in range(len(sent)):
        device.socket.sendall(sent[position : position + 1])
    assert isinstance(device.next(), Connack)
    assert device.next() == Pingresp()


def test_source_address_in_policies(proxied: RealGateway) -> None:
    """`aws:SourceIp` is the address that the header gives."""
    only_there = policy(("Allow", "iot:*", "*"), Condition={"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}})
    proxied.policy("there", only_there)
    credentials = proxied.certificate("there")
    assert Plain(proxied, named(credentials, "192.0.2.7")).connect("device") == Reason.NOT_AUTHORIZED
    assert Plain(proxied, named(credentials, "198.51.100.9")).connect("device") == 0
    assert Plain(proxied, named(credentials, "::ffff:198.51.100.9")).connect("device") == 0


@pytest.mark.parametrize("state", [{"known": False}, {"active": False}])
def test_only_known_active_certificates(proxied: RealGateway, state: dict[str, bool]) -> None:
    """A certificate counts here as it does over TLS: known to the registry and active, or refused."""
    assert Plain(proxied, named(proxied.certificate(**state))).connect("device") == Reason.NOT_AUTHORIZED


def test_no_identity_no_connection(proxied: RealGateway) -> None:
    """Without a header that names a verified certificate the connection is closed, and others are served."""
    credentials = proxied.certificate()
    for first in (
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        header(b""),
        header(ssl_value()),
        header(ssl_value(value(0x28, der(credentials)), verify=18)),
        header(ssl_value(value(0x28, b"no certificate"))),
    ):
        assert Plain(proxied, first).connect("device") is None
    assert Plain(proxied, named(credentials)).connect("device") == 0


def test_a_taken_plain_port_is_named(proxied: RealGateway, make_gateway: MakeGateway) -> None:
    """Starting on a plain port that is in use fails with a message that names it."""
    port = proxied.settings.mqtt_plain_port
    with pytest.raises(CannotListen, match=f"127.0.0.1 port {port}"):
        make_gateway(mqtt_plain_port=port)


# --- a real proxy in front --------------------------------------------------------------------------------------------


class Proxy:
    """Terminates TLS on a port of its own, on a thread of its own, and passes the bytes on behind a header."""

    def __init__(self, gateway: RealGateway) -> None:
        folder = gateway.authority.folder
        self._broker_port = gateway.settings.mqtt_plain_port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "broker.pem", folder / "broker.key")
        self._context.load_verify_locations(gateway.authority.ca_file)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._started.wait(SECONDS)

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncio.start_server(self._relay, "127.0.0.1", 0, ssl=self._context) as server:
            self.port: int = server.sockets[0].getsockname()[1]
            self._started.set()
            await self._stopping.wait()

    async def _relay(self, device: asyncio.StreamReader, to_device: asyncio.StreamWriter) -> None:
        certificate = to_device.get_extra_info("ssl_object").getpeercert(binary_form=True)
        address, port = to_device.get_extra_info("peername")
        broker, to_broker = await asyncio.open_connection("127.0.0.1", self._broker_port)
        to_broker.write(header(ssl_value(value(0x28, certificate)), address, port))
        with suppress(ConnectionError):
            await asyncio.gather(self._pass_on(device, to_broker), self._pass_on(broker, to_device))

    @staticmethod
    async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
        sink.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(SECONDS)


@pytest.fixture
def proxy(proxied: RealGateway) -> Iterator[Proxy]:
    with closing(Proxy(proxied)) as proxy:
        yield proxy


def test_paho_through_a_proxy(proxied: RealGateway, proxy: Proxy) -> None:
    """A device behind a TLS-terminating proxy publishes to one on the TLS port."""
    credentials = proxied.certificate()
    listener = credentials.paho("listener").online()
    listener.subscribe("t", qos=1)
    device = credentials.paho("device")
    device.port = proxy.port
    device.online()
    device.publish("t", b"21.5", 1).wait_for_publish(SECONDS)
    assert listener.next() == ("t", b"21.5")
    device.close()
    listener.close()


# --- identity by a setting --------------------------------------------------------------------------------------------


def test_assumed_certificate(make_gateway: MakeGateway) -> None:
    """With a certificate named, every connection counts as holding it, under its policies and over no TLS."""
    gateway = make_gateway(mqtt_plain_port=free_port(), mqtt_plain_certificate="ab" * 32)
    assert Plain(gateway).connect("device") == Reason.NOT_AUTHORIZED
    gateway.assume("ab" * 32, "all")
    device = Plain(gateway)
    assert device.connect("device") == 0
    presence = gateway.outlets.presences.get(timeout=SECONDS)
    assert (presence.certificate_id, presence.address) == ("ab" * 32, "127.0.0.1")


def test_assumed_certificate_is_not_secure_transport(make_gateway: MakeGateway) -> None:
    """Policies see that no TLS is in use; and a PROXY header is not listened to."""
    gateway = make_gateway(mqtt_plain_port=free_port(), mqtt_plain_certificate="ab" * 32)
    secure = json.loads(ALLOW_ALL)
    secure["Statement"][0]["Condition"] = {"Bool": {"aws:SecureTransport": "true"}}
    gateway.policy("secure", json.dumps(secure))
    gateway.assume("ab" * 32, "secure")
    assert Plain(gateway).connect("device") == Reason.NOT_AUTHORIZED
    assert Plain(gateway, named(gateway.certificate())).connect("device") is None
