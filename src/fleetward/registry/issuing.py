"""How a certificate is made, and how keys and certificates are kept in files."""

from __future__ import annotations

import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

PublicKey: TypeAlias = "rsa.RSAPublicKey | ec.EllipticCurvePublicKey"
PrivateKey: TypeAlias = "rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey"
Validity: TypeAlias = tuple[datetime, datetime]

RSA_SIZES = range(2048, 8192 + 1)
CURVES = ("secp256r1", "secp384r1", "secp521r1")
STRONG_HASHES = ("sha256", "sha384", "sha512")
"""What CreateCertificateFromCsr accepts; the upper bound for RSA is ours: long keys make slow handshakes."""


def strong(key: object) -> PublicKey:
    """The key, if it may belong to a device or an authority; ValueError otherwise."""
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in RSA_SIZES and key.public_numbers().e >= 3:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES:
        return key
    raise ValueError("its key must be RSA of 2048 to 8192 bits, or ECC on P-256, P-384 or P-521")


def new_key(kind: Literal["rsa", "ec"]) -> PrivateKey:
    """RSA of 2048 bits, or ECDSA on P-256."""
    return rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())


def self_signed(key: PrivateKey, validity: Validity) -> x509.Certificate:
    """A root certificate that may sign others, one level deep."""
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    # The name is told apart by its key, so that the roots of two houses can be trusted side by side.
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Fleetward"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Fleetward Root CA {identifier.digest.hex()[:8]}"),
        ]
    )
    return (
        _builder(name, name, key.public_key(), key.public_key(), validity)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificate_signing=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def issue(
    issuer: x509.Certificate,
    issuer_key: PrivateKey,
    subject: x509.Name,
    public: PublicKey,
    validity: Validity,
    *extensions: x509.ExtensionType,
) -> x509.Certificate:
    """A certificate for the holder of `public`, who may not sign others."""
    builder = _builder(subject, issuer.subject, public, issuer_key.public_key(), validity)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(certificate_signing=False), critical=True)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, public: PublicKey, issuer_public: PublicKey, validity: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(issuer, subject, public)
        .serial_number(secrets.randbits(128) or 1)
        .not_valid_before(validity[0])
        .not_valid_after(validity[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False)
    )


def _usage(certificate_signing: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificate_signing,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificate_signing,
        crl_sign=certificate_signing,
        encipher_only=False,
        decipher_only=False,
    )


def belong_together(certificate: x509.Certificate, key: PrivateKey) -> bool:
    return certificate.public_key() == key.public_key()


def private_pem(key: PrivateKey) -> bytes:
    """In the form AWS gives out: BEGIN RSA PRIVATE KEY, BEGIN EC PRIVATE KEY."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def read_certificate(path: Path) -> x509.Certificate | None:
    """The certificate in a file; None when there is no file, ValueError when it holds none."""
    return x509.load_pem_x509_certificate(path.read_bytes()) if path.exists() else None


def read_key(path: Path) -> PrivateKey | None:
    """The private key in a file; None when there is no file, ValueError when it holds none."""
    if not path.exists():
        return None
    path.chmod(0o600)
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path} holds another kind of key")
    return key


def write_private(path: Path, content: bytes) -> None:
    """Writes a file that only its owner may read, as a whole or not at all, also when the power fails."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
