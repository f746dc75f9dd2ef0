"""TLS over memory: OpenSSL turns bytes into bytes, and the socket below it is a plain one."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

from fleetward.gateway.channels import Refused
from fleetward.gateway.identity import Principal, principal_of

ALPN = ("x-amzn-mqtt-ca", "mqtt")
"""What device SDKs may ask for (AWS IoT developer guide, "Protocols, port mappings, and authentication")."""

RECORD = 16 * 1024
"""The most that one TLS record carries (RFC 8446 §5.1). OpenSSL's buffers never shrink: more is fed in slices."""

LEAST_READ = 512


def server_context(certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """TLS 1.2 or newer, and no client without a certificate that `authority` signed, or that `Trust` adds.

    TLS 1.3 gives out no session tickets: each would cost a connection memory and CPU for what device SDKs rarely use.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_REQUIRED
    # Else OpenSSL refuses what does not end in a self-signed root: intermediate CAs, certificates that stand alone.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority)
    context.set_alpn_protocols(list(ALPN))
    return context


class Tls:
    """A `Channel` of mutual TLS, the server's end."""

    __slots__ = ("_address", "_incoming", "_outgoing", "_tls", "closed")

    def __init__(self, context: ssl.SSLContext, address: str) -> None:
        self.closed = False
        self._address = address
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def open(self, data: bytes) -> Principal | None:
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return None
        der = self._tls.getpeercert(binary_form=True)
        if der is None:
            raise Refused("no certificate")
        return principal_of(der, self._address)

    def receive(self, data: bytes) -> bytes:
        if len(data) <= RECORD:
            return self._decrypt(data)
        return b"".join(self._decrypt(data[start : start + RECORD]) for start in range(0, len(data), RECORD))

    def _decrypt(self, data: bytes) -> bytes:
        incoming, tls = self._incoming, self._tls
        incoming.write(data)
        chunks: list[bytes] = []
        while incoming.pending or tls.pending():
            try:
                chunk = tls.read(max(tls.pending(), len(data), LEAST_READ))
            except ssl.SSLWantReadError:
                break
            if not chunk:
                self.closed = True
                break
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def send(self, data: bytes) -> bytes:
        if len(data) <= RECORD:
            return self._encrypt(data)
        return b"".join(self._encrypt(data[start : start + RECORD]) for start in range(0, len(data), RECORD))

    def _encrypt(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self._outgoing.read()

    @property
    def has_answer(self) -> bool:
        return self._outgoing.pending > 0

    def answer(self) -> bytes:
        return self._outgoing.read() if self._outgoing.pending else b""

    def close(self) -> bytes:
        with suppress(ssl.SSLError):  # the other end's goodbye is not waited for
            self._tls.unwrap()
        return self._outgoing.read()
