"""Registered CAs: authorities of others whose device certificates can be registered here.

A CA that is deleted while certificates of its are registered stays in the store, unseen: the gateway goes on to trust
it, as they stay good (AWS IoT Core developer guide, "Manage your CA certificates").
"""

from __future__ import annotations

import hmac
from typing import Any

import sqlalchemy as sa
from cryptography import x509
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.registry import account, foreign
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.registry import ca_certificates, certificates

ACTIVE, INACTIVE, DELETED = "ACTIVE", "INACTIVE", "DELETED"
DEFAULT, SNI_ONLY = "DEFAULT", "SNI_ONLY"
MAX_OF_ONE_SUBJECT = 10
"""Registered CAs with the same subject (API reference, RegisterCACertificate)."""

there = ca_certificates.c.status != DELETED


def find(look: Reader, ca_id: str) -> RowMapping | None:
    return look.one(sa.select(ca_certificates).where(ca_certificates.c.id == ca_id, there))


def get(look: Reader, ca_id: str) -> RowMapping:
    """The CA's row, or ResourceNotFound."""
    row = find(look, ca_id)
    if row is None:
        raise errors.ResourceNotFound(f"CA certificate {ca_id} not found")
    return row


def register(tx: Transaction, pem: str, verification_pem: str | None, mode: str, active: bool) -> str:
    """Registers a CA and returns its id. Under DEFAULT the verification certificate proves possession of its key."""
    authority = foreign.read_authority(pem)
    if mode == SNI_ONLY and verification_pem:
        raise errors.InvalidRequest("verificationCertificate must be absent when certificateMode is SNI_ONLY")
    if mode == DEFAULT:
        _check_possession(tx, authority, verification_pem)
    ca_id = foreign.identity(authority)
    if find(tx, ca_id) is not None:
        raise errors.ResourceAlreadyExists(f"The CA certificate {ca_id} is already registered", resourceId=ca_id)
    subject = foreign.hash_of(authority.subject)
    if len(signers(tx, subject)) >= MAX_OF_ONE_SUBJECT:
        raise errors.LimitExceeded(f"{MAX_OF_ONE_SUBJECT} CA certificates with the same subject are registered already")
    not_before, not_after = foreign.validity(authority)
    row = {
        "id": ca_id,
        "pem": foreign.pem_of(authority),
        "subject_hash": subject,
        "status": ACTIVE if active else INACTIVE,
        "mode": mode,
        "not_before": not_before,
        "not_after": not_after,
        "created_at": tx.now,
        "modified_at": tx.now,
        "version": 1,
    }
    tx.execute(ca_certificates.delete().where(ca_certificates.c.id == ca_id))
    tx.execute(ca_certificates.insert(), [row])
    tx.touch("authority", ca_id)
    return ca_id


def _check_possession(look: Reader, authority: x509.Certificate, verification_pem: str | None) -> None:
    if not verification_pem:
        raise errors.InvalidRequest("verificationCertificate is required when certificateMode is DEFAULT")
    proof = foreign.read(verification_pem, "verification certificate")
    if not foreign.is_signed_by(proof, authority):
        raise errors.CertificateValidation("The verification certificate is not signed by the CA certificate")
    code = account.registration_code(look)
    if code is None or not any(hmac.compare_digest(code, name.lower()) for name in ascii_only(proof)):
        raise errors.RegistrationCodeValidation(
            "The verification certificate's common name must be the code that GetRegistrationCode gives"
        )


def ascii_only(certificate: x509.Certificate) -> set[str]:
    return {name for name in foreign.common_names(certificate) if name.isascii()}


def signers(look: Reader, subject_hash: str) -> list[RowMapping]:
    """The registered CAs of that subject."""
    return list(look.all(sa.select(ca_certificates).where(ca_certificates.c.subject_hash == subject_hash, there)))


def set_status(tx: Transaction, ca_id: str, status: str) -> None:
    """An inactive CA vouches for no further certificates; those that it signed before go on to connect."""
    row = get(tx, ca_id)
    if row["status"] != status:
        _change(tx, row, status=status)


def delete(tx: Transaction, ca_id: str) -> None:
    """Deletes an inactive CA; the certificates that it signed stay."""
    row = get(tx, ca_id)
    if row["status"] == ACTIVE:
        raise errors.CertificateState(f"CA certificate {ca_id} must be deactivated before it is deleted")
    if tx.scalar(sa.select(certificates.c.id).where(certificates.c.ca_id == ca_id).limit(1)) is not None:
        _change(tx, row, status=DELETED)
    else:
        tx.execute(ca_certificates.delete().where(ca_certificates.c.id == ca_id))
    tx.touch("authority", ca_id)


def _change(tx: Transaction, row: RowMapping, **values: Any) -> None:
    changed = {**values, "modified_at": tx.now, "version": row["version"] + 1}
    tx.execute(ca_certificates.update().where(ca_certificates.c.id == row["id"]).values(**changed))
