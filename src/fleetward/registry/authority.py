"""The local certificate authority: the house's root, the broker's certificate and the devices' certificates.

Its folder (0700) holds four files (0600): `ca.pem`, `ca.key`, `broker.pem`, `broker.key`. A device's private key is
handed out once and never kept. Every certificate carries what RFC 5280 asks for (key identifiers, key usage), so that
it passes OpenSSL's X509_STRICT, Python's default from 3.13.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fleetward import errors
from fleetward.model import Millis
from fleetward.registry.certificate_context import certificate_context as certificate_context
from fleetward.registry.issuing import (
    STRONG_HASHES,
    PrivateKey,
    PublicKey,
    Validity,
    belong_together,
    issue,
    new_key,
    private_pem,
    read_certificate,
    read_key,
    self_signed,
    strong,
    write_private,
)

CLOCK_SKEW = timedelta(days=1)
"""How long before its making a certificate is valid: devices without a battery know the time only roughly."""

CA_VALIDITY = timedelta(days=20 * 365 + 5)
SERVER_VALIDITY = timedelta(days=824)
"""With the skew 825 days, the most that common clients accept."""

RENEW_BEFORE = SERVER_VALIDITY / 3
"""A server's certificate is made anew when no more than this of its life is left."""

DEVICE_NOT_AFTER = datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
DEVICE_SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AWS IoT Certificate")])
"""Validity and subject as CreateKeysAndCertificate gives them."""

SERVER_SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fleetward broker")])

MAX_CSR = 16_384
"""Characters of a signing request."""


class DamagedAuthority(RuntimeError):
    """The authority's files do not belong together; making new ones would cut off every device."""


@dataclass(frozen=True, slots=True)
class DeviceCertificate:
    """A device's certificate; `id` as `certificate_id`. The private key is None where the device made it itself."""

    id: str
    certificate_pem: str
    public_key_pem: str
    private_key_pem: str | None = field(repr=False)
    not_before: Millis
    not_after: Millis


def certificate_id(der: bytes) -> str:
    """A certificate's id, as AWS makes it: the SHA-256 of its DER form in hex."""
    return hashlib.sha256(der).hexdigest()


@dataclass(frozen=True, slots=True)
class Authority:
    """Issues certificates. Its methods block (an RSA key takes about 100 ms): call them in a thread."""

    folder: Path
    certificate: x509.Certificate = field(repr=False)
    key: PrivateKey = field(repr=False)

    @classmethod
    def open(cls, folder: Path, now: Millis) -> Authority:
        """The authority in `folder`, made when there is none. Raises DamagedAuthority when half of it is missing."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        certificate_file, key_file = folder / "ca.pem", folder / "ca.key"
        try:
            certificate, key = read_certificate(certificate_file), read_key(key_file)
        except ValueError as error:
            raise DamagedAuthority(f"{folder} cannot be read, restore it from a backup: {error}") from error
        if certificate is not None:
            if key is None or not belong_together(certificate, key):
                raise DamagedAuthority(f"{key_file} is not the key of {certificate_file}: restore it from a backup")
            return cls(folder, certificate, key)
        # A key without a certificate is a first start that was cut short: it goes on from there.
        key = key or new_key("ec")
        write_private(key_file, private_pem(key))
        certificate = self_signed(key, _validity(now, _time(now) + CA_VALIDITY))
        write_private(certificate_file, certificate.public_bytes(Encoding.PEM))
        return cls(folder, certificate, key)

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def ca_pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def issue_server(self, names: Sequence[str], now: Millis) -> tuple[Path, Path]:
        """(certificate file, key file) of the broker's certificate for `names`: host names and IP addresses.

        It is made anew when the names are others, when less than a third of its life is left, or when it is not ours.
        """
        certificate_file, key_file = self.folder / "broker.pem", self.folder / "broker.key"
        wanted = _alternative_names(names)
        certificate = key = None
        with suppress(ValueError):
            certificate, key = read_certificate(certificate_file), read_key(key_file)
        if certificate is None or key is None or not self._serves(certificate, key, wanted, now):
            key = new_key("ec")
            certificate = self._issue_server(key.public_key(), wanted, now)
            write_private(key_file, private_pem(key))
            write_private(certificate_file, certificate.public_bytes(Encoding.PEM))
        return certificate_file, key_file

    def issue_device(self, now: Millis, key: Literal["rsa", "ec"] = "rsa") -> DeviceCertificate:
        """A device certificate with a new key pair: RSA of 2048 bits, as AWS gives, or ECDSA P-256."""
        private = new_key(key)
        return self._issue_device(DEVICE_SUBJECT, private.public_key(), now, private_pem(private).decode())

    def sign_csr(self, csr_pem: str, now: Millis) -> DeviceCertificate:
        """A device certificate for the key in a signing request, under its subject; InvalidRequest when it is no good.

        Of the request only subject and key count: an alternative name would let a device pose as the broker.
        """
        try:
            subject, public = _read_csr(csr_pem)
            return self._issue_device(subject, public, now, None)
        except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.InvalidVersion) as error:
            raise errors.InvalidRequest(f"The certificate signing request is invalid: {error}") from error

    def _issue_device(
        self, subject: x509.Name, public: PublicKey, now: Millis, private_key_pem: str | None
    ) -> DeviceCertificate:
        certificate = issue(
            self.certificate,
            self.key,
            subject,
            public,
            _validity(now, DEVICE_NOT_AFTER),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
        )
        return DeviceCertificate(
            certificate_id(certificate.public_bytes(Encoding.DER)),
            certificate.public_bytes(Encoding.PEM).decode(),
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
            private_key_pem,
            _millis(certificate.not_valid_before_utc),
            _millis(certificate.not_valid_after_utc),
        )

    def _issue_server(self, public: PublicKey, names: x509.SubjectAlternativeName, now: Millis) -> x509.Certificate:
        return issue(
            self.certificate,
            self.key,
            SERVER_SUBJECT,
            public,
            _validity(now, _time(now) + SERVER_VALIDITY),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
            names,
        )

    def _serves(
        self, certificate: x509.Certificate, key: PrivateKey, wanted: x509.SubjectAlternativeName, now: Millis
    ) -> bool:
        try:
            certificate.verify_directly_issued_by(self.certificate)
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            return False
        fresh = certificate.not_valid_before_utc <= _time(now) <= certificate.not_valid_after_utc - RENEW_BEFORE
        return fresh and set(names) == set(wanted) and belong_together(certificate, key)


def _read_csr(pem: str) -> tuple[x509.Name, PublicKey]:
    """Subject and key of a signing request that proves the key's possession; ValueError says what is wrong."""
    if len(pem) > MAX_CSR:
        raise ValueError("it is too long")
    request = x509.load_pem_x509_csr(pem.encode())
    public = strong(request.public_key())
    algorithm = request.signature_hash_algorithm
    if algorithm is None or algorithm.name not in STRONG_HASHES:
        raise ValueError("it must be signed with SHA-256, SHA-384 or SHA-512")
    if not request.is_signature_valid:
        raise ValueError("its signature does not match its key")
    return request.subject if len(request.subject.rdns) else DEVICE_SUBJECT, public


def _alternative_names(names: Iterable[str]) -> x509.SubjectAlternativeName:
    found = list(dict.fromkeys(map(_general_name, names)))
    if not found:
        raise ValueError("the broker's certificate needs a name")
    return x509.SubjectAlternativeName(found)


def _general_name(name: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ip_address(name.partition("%")[0]))
    with suppress(ValueError):
        host = name.encode("idna").decode()
        if _HOST_NAME.fullmatch(host):
            return x509.DNSName(host)
    raise ValueError(f"{name!r} is neither a host name nor an IP address")


_HOST_NAME = re.compile(r"(\*\.)?([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")


def _validity(now: Millis, not_after: datetime) -> Validity:
    return _time(now) - CLOCK_SKEW, not_after


def _time(millis: Millis) -> datetime:
    return datetime.fromtimestamp(millis // 1000, UTC)


def _millis(time: datetime) -> Millis:
    return int(time.timestamp()) * 1000
