"""Devices with certificates of other makers, over real TLS: who gets through, and who gets in."""

from __future__ import annotations

import socket

import pytest
from cryptography import x509
from real_gateway import Credentials, MakeGateway, RealGateway

from fleetward.records import AuthorityRecord, CertificateRecord, RecordKind
from fleetward.registry.foreign import identity
from foreign_ca import ForeignCa


def device(gateway: RealGateway, ca: ForeignCa, name: str = "device", names_key: bool = False) -> Credentials:
    """A certificate that the gateway does not know of."""
    pem, key = ca.leaf(name, names_key=names_key)
    return Credentials(identity(x509.load_pem_x509_certificate(pem.encode())), pem, key, gateway)


def trust(gateway: RealGateway, ca: ForeignCa) -> None:
    certificate = x509.load_pem_x509_certificate(ca.pem.encode())
    gateway.change(RecordKind.AUTHORITY, identity(certificate), AuthorityRecord(identity(certificate), ca.pem))


def register(gateway: RealGateway, known: Credentials, alone: bool, active: bool = True) -> None:
    text = known.certificate_file.read_text() if alone else None
    record = CertificateRecord(known.id, active, ("all",), pem=text)
    gateway.change(RecordKind.CERTIFICATE, known.id, record)


def connack(credentials: Credentials) -> bytes:
    """What the broker answers to a CONNECT; nothing when it breaks off, as it does with a client it does not trust."""
    address = ("127.0.0.1", credentials.gateway.port)
    try:
        with (
            socket.create_connection(address, 10) as raw,
            credentials.context().wrap_socket(raw, server_hostname="localhost") as secure,
        ):
            secure.sendall(b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03abc")
            return secure.recv(4)
    except OSError:
        return b""


@pytest.mark.parametrize("v5", [False, True])
def test_certificate_that_stands_alone(gateway: RealGateway, v5: bool) -> None:
    """A certificate registered without its CA connects at once, while the gateway runs; its siblings do not."""
    ca = ForeignCa()
    known, sibling = device(gateway, ca), device(gateway, ca)
    register(gateway, known, alone=True)
    client = known.paho("device", v5=v5).online()
    client.subscribe("t")
    client.publish("t", b"hello")
    assert client.next() == ("t", b"hello")
    assert connack(sibling) == b""
    client.close()


def test_certificate_of_a_registered_ca(gateway: RealGateway) -> None:
    """A leaf of a registered CA gets through TLS, and in only when it is registered and active itself."""
    ca = ForeignCa()
    stranger, known, idle = (device(gateway, ca, name) for name in ("stranger", "known", "idle"))
    trust(gateway, ca)
    register(gateway, known, alone=False)
    register(gateway, idle, alone=False, active=False)
    assert known.paho("device").connect() == "Success"
    assert stranger.paho("other").connect() == "Not authorized"
    assert idle.paho("third").connect() == "Not authorized"


def test_intermediate_ca(gateway: RealGateway) -> None:
    """A registered CA need not be a root: what it signed passes although its own issuer is unknown."""
    ca = ForeignCa("Factory 7", issuer=ForeignCa("Vendor root"))
    trust(gateway, ca)
    known = device(gateway, ca)
    register(gateway, known, alone=False)
    assert known.paho("device").connect() == "Success"


def test_two_cas_of_one_name(gateway: RealGateway) -> None:
    """Registered CAs may share their subject; a certificate that names its issuer's key finds the right one."""
    for number, ca in enumerate((ForeignCa(), ForeignCa())):
        trust(gateway, ca)
        known = device(gateway, ca, names_key=True)
        register(gateway, known, alone=False)
        assert known.paho(f"device{number}").connect() == "Success"


@pytest.mark.parametrize("alone", [True, False])
def test_deactivation_drops_the_live_session(gateway: RealGateway, alone: bool) -> None:
    """A certificate that is deactivated, whoever made it, loses its session at once and cannot come back."""
    ca = ForeignCa()
    trust(gateway, ca)
    known = device(gateway, ca)
    register(gateway, known, alone)
    client = known.paho("device").online()
    register(gateway, known, alone, active=False)
    assert client.gone.wait(10)
    assert gateway.outlets.ended("device").reason == "FORBIDDEN_ACCESS"
    assert known.paho("device").connect() == "Not authorized"


def test_trust_is_there_from_the_start(make_gateway: MakeGateway) -> None:
    """A gateway that starts on a fleet with foreign certificates lets them in like one that saw them come."""
    gateway = make_gateway()
    ca = ForeignCa()
    alone, signed = device(gateway, ForeignCa("Another CA")), device(gateway, ca)
    trust(gateway, ca)
    register(gateway, alone, alone=True)
    register(gateway, signed, alone=False)
    gateway.stop()
    gateway.start()
    assert alone.paho("a").connect() == "Success"
    assert signed.paho("b").connect() == "Success"


def test_text_that_is_no_certificate_changes_nothing(gateway: RealGateway) -> None:
    """A record that TLS cannot take is no reason to miss what else it says, or what comes after it."""
    own = gateway.certificate()
    client = own.paho("own").online()
    broken = CertificateRecord(own.id, False, ("all",), pem="no certificate")
    gateway.change(RecordKind.CERTIFICATE, own.id, broken)
    assert client.gone.wait(10)
    assert gateway.certificate().paho("other").connect() == "Success"


def test_what_a_lone_certificate_signs_is_not_let_in(gateway: RealGateway) -> None:
    """A self-signed certificate that stands alone vouches for itself, not for what its key signed."""
    ca = ForeignCa("device")
    certificate = x509.load_pem_x509_certificate(ca.pem.encode())
    record = CertificateRecord(identity(certificate), True, ("all",), pem=ca.pem)
    gateway.change(RecordKind.CERTIFICATE, record.id, record)
    assert connack(device(gateway, ca)) in (b"", b"\x20\x02\x00\x05")
