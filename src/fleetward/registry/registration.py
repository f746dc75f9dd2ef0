"""Registering device certificates that were made elsewhere, with the CA that signed them or without."""

from __future__ import annotations

from cryptography import x509
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.registry import ca_certificates, certificates, foreign
from fleetward.store.database import Reader, Transaction


def register(tx: Transaction, pem: str, ca_pem: str | None, status: str) -> str:
    """Registers a certificate signed by a registered, active CA (that in `ca_pem`, if given); returns its id."""
    certificate = foreign.read(pem)
    signer = _signer(tx, certificate, ca_pem)
    if signer["status"] != ca_certificates.ACTIVE:
        raise errors.CertificateState(
            f"CA certificate {signer['id']} is not active, so no certificate of it can be registered"
        )
    return _add(tx, certificate, status, ca_id=signer["id"], mode=signer["mode"])


def register_without_ca(tx: Transaction, pem: str, status: str) -> str:
    """Registers a certificate that only itself vouches for; returns its id."""
    return _add(tx, foreign.read(pem), status, mode=ca_certificates.SNI_ONLY, stands_alone=True)


def _signer(look: Reader, certificate: x509.Certificate, ca_pem: str | None) -> RowMapping:
    candidates = ca_certificates.signers(look, foreign.hash_of(certificate.issuer))
    if ca_pem is not None:
        named = foreign.identity(foreign.read(ca_pem, "CA certificate"))
        candidates = [row for row in candidates if row["id"] == named]
    signed = [row for row in candidates if foreign.is_signed_by(certificate, foreign.read(row["pem"]))]
    if not signed:
        raise errors.CertificateValidation(
            "The certificate is not signed by a CA that is registered here; register that CA first, or the certificate "
            "with RegisterCertificateWithoutCA"
        )
    if len(signed) > 1:
        raise errors.CertificateConflict("Several registered CAs signed the certificate; name one in caCertificatePem")
    return signed[0]


def _add(tx: Transaction, certificate: x509.Certificate, status: str, **further: object) -> str:
    if status not in certificates.STATUSES:
        raise errors.InvalidRequest(f"A certificate cannot be registered as {status}")
    certificate_id = foreign.identity(certificate)
    not_before, not_after = foreign.validity(certificate)
    pem = foreign.pem_of(certificate)
    certificates.add(tx, certificate_id, pem, False, not_before, not_after, status=status, **further)
    return certificate_id
