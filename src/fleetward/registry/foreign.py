"""Certificates that were made elsewhere: read, and held against the authority that is said to have signed them.

What must hold: AWS IoT Core developer guide, "X.509 client certificates" and "Certificate signing algorithms supported
by AWS IoT". Every refusal is CertificateValidation.
"""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from fleetward import errors
from fleetward.model import Millis
from fleetward.registry.issuing import STRONG_HASHES, strong


def read(pem: str, what: str = "certificate") -> x509.Certificate:
    """The one certificate in `pem`, whose key and signature are strong enough to be believed."""
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
        if len(found) != 1:
            raise ValueError(f"one certificate is expected, not {len(found)}")
        strong(found[0].public_key())
        algorithm = found[0].signature_hash_algorithm
        if algorithm is None or algorithm.name not in STRONG_HASHES:
            raise ValueError("it must be signed with SHA-256, SHA-384 or SHA-512")
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise errors.CertificateValidation(f"The {what} is invalid: {error}") from error
    return found[0]


def read_authority(pem: str) -> x509.Certificate:
    """As `read`; the certificate must say that it may sign others."""
    certificate = read(pem, "CA certificate")
    try:
        may_sign = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        may_sign = False
    if not may_sign:
        raise errors.CertificateValidation(
            "The CA certificate is invalid: it does not have the basicConstraints extension as true"
        )
    return certificate


def is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether the authority's own key signed the certificate under its own name."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def identity(certificate: x509.Certificate) -> str:
    """The id, as AWS makes it: the SHA-256 of the DER form in hex."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def pem_of(certificate: x509.Certificate) -> str:
    """The certificate alone, whatever text stood around it."""
    return certificate.public_bytes(Encoding.PEM).decode()


def validity(certificate: x509.Certificate) -> tuple[Millis, Millis]:
    ends = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    return int(ends[0].timestamp()) * 1000, int(ends[1].timestamp()) * 1000


def hash_of(name: x509.Name) -> str:
    """What a subject or an issuer is looked up by."""
    return hashlib.sha256(name.public_bytes()).hexdigest()


def common_names(certificate: x509.Certificate) -> set[str]:
    return {str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
