"""An authority of somebody else's, and what it signs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NOW = datetime(2026, 11, 24, tzinfo=UTC)
YEAR = timedelta(days=365)

Key = ec.EllipticCurvePrivateKey


def named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def key_pem(key: Key) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class ForeignCa:
    """`is_authority` False makes one that does not say that it may sign. `issuer` None: a root."""

    def __init__(self, name: str = "Vendor CA", issuer: ForeignCa | None = None, is_authority: bool = True) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = named(name)
        signer, signer_name = (issuer.key, issuer.name) if issuer else (self.key, self.name)
        constraints = x509.BasicConstraints(ca=is_authority, path_length=None)
        builder = self._built(self.name, signer_name, self.key).add_extension(constraints, critical=True)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False
        )
        self.pem = pem(builder.sign(signer, hashes.SHA256()))

    def leaf(
        self, common_name: str, algorithm: hashes.HashAlgorithm | None = None, names_key: bool = False
    ) -> tuple[str, str]:
        """(certificate, private key) of a device, PEM; without extensions, as `openssl x509 -req` makes them.

        With `names_key` it says by which key it was signed.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._built(named(common_name), self.name, key)
        if names_key:
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
            builder = builder.add_extension(identifier, critical=False)
        return pem(builder.sign(self.key, algorithm or hashes.SHA256())), key_pem(key)

    def verification(self, code: str) -> str:
        """The certificate that proves possession of the CA's key."""
        return self.leaf(code)[0]

    @staticmethod
    def _built(subject: x509.Name, issuer: x509.Name, key: Key) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(NOW - YEAR)
            .not_valid_after(NOW + 20 * YEAR)
        )
