"""The PROXY protocol v2 header: what it says of the client, and what is refused."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proxy_headers import header, ssl_value, value

from fleetward.gateway.proxy_header import MAX_SIZE, SIGNATURE, BadHeader, NoClient, ProxyHeader, read_header

DER = b"\x30\x03\x02\x01\x01"
ID = "0123456789abcdef" * 4

addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


def with_certificate(certificate: bytes = DER) -> bytes:
    return header(ssl_value(value(0x28, certificate)))


@given(address=addresses, port=st.integers(0, 65535), der=st.binary(min_size=1, max_size=4000), rest=st.binary())
def test_address_and_certificate(address: object, port: int, der: bytes, rest: bytes) -> None:
    """A header gives the client's address and certificate, and leaves what follows it alone."""
    sent = header(ssl_value(value(0x21, b"TLSv1.3") + value(0x28, der)), str(address), port)
    found = read_header(sent + rest)
    assert found is not None
    read, size = found
    mapped = getattr(address, "ipv4_mapped", None)
    assert (read.certificate, read.certificate_id) == (der, "")
    assert ip_address(read.address or "") == (mapped or address)
    assert size == len(sent)


@given(cut=st.integers(0, len(with_certificate()) - 1))
def test_more_is_awaited(cut: int) -> None:
    """As long as a header is not whole, more bytes are awaited."""
    assert read_header(with_certificate()[:cut]) is None


@given(data=st.binary(max_size=64))
def test_anything_else_is_refused_at_once(data: bytes) -> None:
    """What cannot become a header is refused as soon as that is certain, not when enough has come."""
    if not SIGNATURE.startswith(data[: len(SIGNATURE)]):
        with pytest.raises(BadHeader):
            read_header(data)


@given(data=st.binary(max_size=300), position=st.integers(0, 200))
def test_mangled_headers_never_break_the_reader(data: bytes, position: int) -> None:
    """Whatever a header holds, it is read, awaited or refused."""
    sent = bytearray(with_certificate())
    sent[12 + position : 12 + position + len(data)] = data
    try:
        found = read_header(bytes(sent))
    except BadHeader:
        return
    assert found is None or isinstance(found[0], ProxyHeader)


@pytest.mark.parametrize("kind", [0xE0, 0x05])
@pytest.mark.parametrize("text", [ID, ID.upper()])
def test_certificate_id(kind: int, text: str) -> None:
    """A proxy that cannot send the certificate may send its SHA-256, in our own value or as the unique id."""
    found = read_header(header(ssl_value() + value(kind, text.encode())))
    assert found is not None
    assert (found[0].certificate, found[0].certificate_id) == (None, ID)


def test_the_certificate_itself_counts_first() -> None:
    """Where the certificate is there, no other value says whose it is."""
    found = read_header(header(ssl_value(value(0x28, DER)) + value(0x05, ID.encode())))
    assert found is not None
    assert (found[0].certificate, found[0].certificate_id) == (DER, "")


def test_unspecified_address() -> None:
    """A client whose address the proxy does not know has none."""
    found = read_header(header(ssl_value(value(0x28, DER)), None))
    assert found is not None
    assert found[0].address is None


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "does not begin"),
        (b"\x10\x0c\x00\x04MQTT", "does not begin"),
        (header(b""), "says nothing of TLS"),
        (header(value(0xE0, ID.encode())), "says nothing of TLS"),
        (header(ssl_value()), "neither the client's certificate nor its SHA-256"),
        (header(ssl_value() + value(0xE0, ID.encode()[1:])), "neither the client's certificate nor its SHA-256"),
        (header(ssl_value(value(0x28, DER), verify=1)), "could not verify"),
        (header(ssl_value(value(0x28, DER), client=0x01)), "showed the proxy no certificate"),
        (header(ssl_value(value(0x28, DER), client=0x06)), "showed the proxy no certificate"),
        (header(value(0x20, b"\x07\x00\x00")), "too short"),
        (header(ssl_value(value(0x28, DER)) * 2), "twice"),
        (header(ssl_value(value(0x28, DER) * 2)), "twice"),
        (header(ssl_value(value(0x28, DER)) + b"\x04\x00"), "cut off"),
        (header(ssl_value(value(0x28, DER)[:-1])), "cut off"),
        (header(ssl_value(value(0x28, DER)), family=0x12), "not TCP"),
        (header(ssl_value(value(0x28, DER)), family=0x31), "not TCP"),
        (header(ssl_value(value(0x28, DER)), command=0x22), "version and command"),
        (header(ssl_value(value(0x28, DER)), command=0x11), "version and command"),
        (SIGNATURE + b"\x21\x11\x00\x04abcd", "too short for its addresses"),
        (SIGNATURE + b"\x21\x11" + MAX_SIZE.to_bytes(2, "big"), "more than"),
    ],
)
def test_refusals(sent: bytes, why: str) -> None:
    """A header that does not name a verified certificate is refused, with the reason."""
    with pytest.raises(BadHeader, match=why):
        read_header(sent)


def test_health_checks() -> None:
    """A connection that the proxy makes for itself has no client."""
    with pytest.raises(NoClient):
        read_header(header(b"", None, command=0x20))
