"""PROXY protocol v2 headers, as a TLS-terminating proxy makes them."""

from __future__ import annotations

from ipaddress import ip_address

from fleetward.gateway.proxy_header import SIGNATURE


def value(kind: int, data: bytes) -> bytes:
    """A type-length-value triple."""
    return bytes([kind]) + len(data).to_bytes(2, "big") + data


def ssl_value(inner: bytes = b"", *, client: int = 0x07, verify: int = 0) -> bytes:
    return value(0x20, bytes([client]) + verify.to_bytes(4, "big") + inner)


def header(
    values: bytes, address: str | None = "192.0.2.7", port: int = 50_000, *, command: int = 0x21, family: int = 0
) -> bytes:
    """A header from `address` (None: unspecified) with these values; `family` replaces the address's own."""
    ends, own = b"", 0x00
    if address is not None:
        source = ip_address(address)
        ends = source.packed * 2 + port.to_bytes(2, "big") * 2
        own = {4: 0x11, 6: 0x21}[source.version]
    body = ends + values
    return SIGNATURE + bytes([command, family or own]) + len(body).to_bytes(2, "big") + body
