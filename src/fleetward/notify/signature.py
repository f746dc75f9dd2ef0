"""The key that signs what HTTP, e-mail and function subscribers receive, its certificate, and confirmation tokens.

SNS developer guide, "Verifying message signatures": version 1 is SHA1withRSA, version 2 SHA256withRSA, both with
PKCS #1 v1.5 padding.
The key lives in the data folder, mode 0600; the certificate is served without a signature under `certificate_path`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from fleetward.model import Millis

KEY_FILE, CERTIFICATE_FILE = "sns-signing.key", "sns-signing.pem"
VALID_FOR = timedelta(days=3650)

_HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "1": hashes.SHA1(),  # noqa: S303 - the algorithm that version 1 of the signature is defined with
    "2": hashes.SHA256(),
}
_TOKEN = re.compile(r"[0-9a-f]{64}")


class Signer:
    """Signs for one server. The certificate's path carries its hash, so that a new key gets a new URL."""

    def __init__(self, key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self.certificate_pem = certificate.public_bytes(Encoding.PEM)
        digest = certificate.fingerprint(hashes.SHA256()).hex()[:32]
        self.certificate_path = f"/SimpleNotificationService-{digest}.pem"
        secret = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        self._token_secret = hashlib.sha256(b"fleetward confirmation tokens\n" + secret).digest()

    @classmethod
    def load_or_create(cls, folder: Path, now: Millis) -> Signer:
        """The key in `folder`, both made when missing; `now` dates the certificate."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            key = load_pem_private_key((folder / KEY_FILE).read_bytes(), password=None)
            certificate = x509.load_pem_x509_certificate((folder / CERTIFICATE_FILE).read_bytes())
        except FileNotFoundError:
            key, certificate = _create(folder, now)
        if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificate.public_key():
            raise ValueError(f"{folder / KEY_FILE} and {folder / CERTIFICATE_FILE} do not belong together")
        return cls(key, certificate)

    def sign(self, text: bytes, version: str) -> str:
        """The base64 signature of `text` under signature version "1" or "2"."""
        return base64.b64encode(self._key.sign(text, padding.PKCS1v15(), _HASHES[version])).decode()

    def token(self, name: str) -> str:
        """The confirmation token of that name.

        Derived, so that a confirmation can be sent again after a crash although only the token's hash is stored.
        """
        return hmac.digest(self._token_secret, name.encode(), "sha256").hex()


def is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _create(folder: Path, now: Millis) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = _certificate(key, now)
    _write(folder / CERTIFICATE_FILE, certificate.public_bytes(Encoding.PEM))
    _write(folder / KEY_FILE, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key, certificate


def _certificate(key: rsa.RSAPrivateKey, now: Millis) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fleetward notification signing")])
    start = datetime.fromtimestamp(now / 1000, UTC) - timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, readable by the owner only."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
