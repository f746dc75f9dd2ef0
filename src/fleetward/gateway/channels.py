"""What a connection's bytes pass through before they are MQTT, sans-IO: who is at the other end is found out here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from fleetward.gateway.identity import Principal, principal_of
from fleetward.gateway.proxy_header import read_header


class Refused(Exception):
    """The other end did not show who it is; says why."""


class Channel(Protocol):
    """Opens with the first bytes that arrive; from then on bytes pass through it both ways."""

    closed: bool
    """The other end said that it will send no more."""

    @property
    def has_answer(self) -> bool: ...

    def open(self, data: bytes) -> Principal | None:
        """Takes bytes until it is known who sends them. Raises Refused, BadHeader or ssl.SSLError."""

    def receive(self, data: bytes) -> bytes:
        """What the bytes off the wire mean; with b"", what came behind the opening."""

    def send(self, data: bytes) -> bytes:
        """The bytes for the wire that say `data`."""

    def answer(self) -> bytes:
        """Bytes for the wire of the channel's own making."""

    def close(self) -> bytes:
        """The goodbye for the wire."""


NewChannel: TypeAlias = Callable[[str], Channel]
"""Makes the channel of a connection that came from an address."""


class Plain:
    """Bytes as they are."""

    __slots__ = ("_address", "_early", "closed", "has_answer")

    def __init__(self, address: str) -> None:
        self.closed = self.has_answer = False
        self._address = address
        self._early = b""

    def receive(self, data: bytes) -> bytes:
        if self._early:
            data, self._early = self._early + data, b""
        return data

    def send(self, data: bytes) -> bytes:
        return data

    def answer(self) -> bytes:
        return b""

    def close(self) -> bytes:
        return b""


class Proxied(Plain):
    """A PROXY header first, which says whose bytes follow. That it is true is the word of the proxy on this host."""

    __slots__ = ()

    def open(self, data: bytes) -> Principal | None:
        self._early += data
        found = read_header(self._early)
        if found is None:
            return None
        header, size = found
        self._early = self._early[size:]
        address = header.address or self._address
        if header.certificate is not None:
            return principal_of(header.certificate, address)
        return Principal(header.certificate_id, address, {"aws:SourceIp": address, "aws:SecureTransport": "true"})


class Assumed(Plain):
    """Every connection counts as holding one certificate: for load generators."""

    __slots__ = ("_certificate_id",)

    def __init__(self, address: str, certificate_id: str) -> None:
        super().__init__(address)
        self._certificate_id = certificate_id

    def open(self, data: bytes) -> Principal | None:
        self._early = data
        context = {"aws:SourceIp": self._address, "aws:SecureTransport": "false"}
        return Principal(self._certificate_id, self._address, context)


def plain_channels(certificate_id: str | None) -> NewChannel:
    """Of the plain listener: the setting alone decides how identity comes, never what a client sends."""
    if certificate_id is None:
        return Proxied
    return lambda address: Assumed(address, certificate_id)
