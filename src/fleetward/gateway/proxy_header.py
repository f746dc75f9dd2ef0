"""The PROXY protocol header, version 2, that a TLS-terminating proxy sends ahead of a client's bytes.

Source of the format: HAProxy's "The PROXY protocol, Versions 1 & 2" (proxy-protocol.txt), section 2.2. Read strictly: a
header that does not say whose certificate the proxy has verified is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
FIXED_SIZE = 16
MAX_SIZE = 16 * 1024
"""Of the whole header: room for a client certificate."""

LOCAL, PROXY = 0x20, 0x21
UNSPECIFIED, TCP4, TCP6 = 0x00, 0x11, 0x21
ADDRESS_SIZES = {UNSPECIFIED: 0, TCP4: 4, TCP6: 16}
PORTS_SIZE = 4

UNIQUE_ID = 0x05
SSL = 0x20
SSL_CLIENT_CERT = 0x28
"""In the SSL value: the client's certificate in DER form (of the format since January 2026)."""

CERTIFICATE_ID = 0xE0
"""Ours, from the range for applications: the certificate's SHA-256 in hex, for proxies that cannot send it whole."""

CLIENT_SSL, CLIENT_CERT_CONN, CLIENT_CERT_SESS = 0x01, 0x02, 0x04
VERIFIED = 0

_SHA256 = re.compile(rb"[0-9a-fA-F]{64}")


class BadHeader(Exception):
    """The header is malformed, or does not name a verified client certificate; says why."""


class NoClient(BadHeader):
    """The connection is the proxy's own, made to see whether the server is well."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a header says: where the client came from (None: unknown) and the certificate that the proxy verified.

    `certificate_id` is its SHA-256 in hex, given where `certificate`, its DER form, is None.
    """

    address: str | None
    certificate: bytes | None
    certificate_id: str


def read_header(data: bytes) -> tuple[ProxyHeader, int] | None:
    """The header at the start of `data`, and how many bytes it took; None while more are needed. Raises BadHeader."""
    if data[: len(SIGNATURE)] != SIGNATURE[: len(data)]:
        raise BadHeader("the connection does not begin with a PROXY protocol v2 header")
    if len(data) < FIXED_SIZE:
        return None
    command, family = data[12], data[13]
    size = FIXED_SIZE + int.from_bytes(data[14:FIXED_SIZE], "big")
    if size > MAX_SIZE:
        raise BadHeader(f"the PROXY header has {size} bytes, more than {MAX_SIZE}")
    if command == LOCAL:
        raise NoClient("the PROXY header says LOCAL: the proxy's own connection, without a client")
    if command != PROXY:
        raise BadHeader(f"the PROXY header's version and command are {command:#04x}, not {PROXY:#04x}")
    if family not in ADDRESS_SIZES:
        raise BadHeader(f"the PROXY header's address family {family:#04x} is not TCP over IPv4 or IPv6")
    return (_read_body(family, data[FIXED_SIZE:size]), size) if len(data) >= size else None


def _read_body(family: int, body: bytes) -> ProxyHeader:
    width = ADDRESS_SIZES[family]
    start = 2 * width + PORTS_SIZE if width else 0
    if len(body) < start:
        raise BadHeader("the PROXY header is too short for its addresses")
    address = _readable(ip_address(body[:width])) if width else None
    values = _read_values(body[start:])
    ssl = values.get(SSL)
    if ssl is None:
        raise BadHeader("the PROXY header says nothing of TLS; the proxy must send its SSL value")
    certificate = _read_ssl(ssl).get(SSL_CLIENT_CERT)
    return ProxyHeader(address, certificate, "" if certificate else _certificate_id(values))


def _read_ssl(value: bytes) -> Mapping[int, bytes]:
    """The values inside the SSL value, of a client that showed a certificate which the proxy verified."""
    if len(value) < 5:
        raise BadHeader("the PROXY header's SSL value is too short")
    client, verify = value[0], int.from_bytes(value[1:5], "big")
    if not client & CLIENT_SSL or not client & (CLIENT_CERT_CONN | CLIENT_CERT_SESS):
        raise BadHeader("the client showed the proxy no certificate")
    if verify != VERIFIED:
        raise BadHeader(f"the proxy could not verify the client's certificate (code {verify})")
    return _read_values(value[5:])


def _read_values(data: bytes) -> dict[int, bytes]:
    """Type-length-value triples, each type once."""
    found: dict[int, bytes] = {}
    position = 0
    while position < len(data):
        start = position + 3
        end = start + int.from_bytes(data[position + 1 : start], "big")
        if start > len(data) or end > len(data):
            raise BadHeader("a value of the PROXY header is cut off")
        kind = data[position]
        if kind in found and kind in (SSL, SSL_CLIENT_CERT, CERTIFICATE_ID, UNIQUE_ID):
            raise BadHeader(f"the PROXY header has a value of type {kind:#04x} twice")
        found[kind] = data[start:end]
        position = end
    return found


def _certificate_id(values: Mapping[int, bytes]) -> str:
    """From our own value, or from the unique id, the only thing older proxies let one choose."""
    given = values.get(CERTIFICATE_ID, values.get(UNIQUE_ID, b""))
    if not _SHA256.fullmatch(given):
        raise BadHeader("the PROXY header has neither the client's certificate nor its SHA-256")
    return given.decode().lower()


def _readable(address: IPv4Address | IPv6Address) -> str:
    """As a socket would show it; an IPv4 address that was mapped to IPv6 as the IPv4 address it is."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
