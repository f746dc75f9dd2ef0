"""Device certificates: their status, and the things they are attached to."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import arn, errors
from fleetward.model import Millis
from fleetward.registry import things
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.registry import certificates, policy_attachments, thing_principals

STATUSES = frozenset({"ACTIVE", "INACTIVE", "REVOKED"})
"""What UpdateCertificate may set; the other statuses of the model belong to registrations in progress."""


def find(look: Reader, certificate_id: str) -> RowMapping | None:
    return look.one(sa.select(certificates).where(certificates.c.id == certificate_id))


def get(look: Reader, certificate_id: str) -> RowMapping:
    """The certificate's row, or ResourceNotFound."""
    row = find(look, certificate_id)
    if row is None:
        raise errors.ResourceNotFound(f"Certificate {certificate_id} not found")
    return row


def add(tx: Transaction, certificate_id: str, pem: str, active: bool, not_before: Millis, not_after: Millis) -> None:
    """Stores a certificate that was just issued or registered."""
    if find(tx, certificate_id) is not None:
        raise errors.ResourceAlreadyExists(
            f"The certificate {certificate_id} is already registered", resourceId=certificate_id
        )
    tx.execute(
        certificates.insert().values(
            id=certificate_id,
            pem=pem,
            status="ACTIVE" if active else "INACTIVE",
            not_before=not_before,
            not_after=not_after,
            created_at=tx.now,
            modified_at=tx.now,
            version=1,
        )
    )
    tx.touch("certificate", certificate_id)


def set_status(tx: Transaction, certificate_id: str, status: str) -> None:
    """Activates, deactivates or revokes a certificate; live sessions feel it at once."""
    row = get(tx, certificate_id)
    if status not in STATUSES:
        raise errors.InvalidRequest(f"Certificate status cannot be set to {status}")
    values = {"status": status, "modified_at": tx.now, "version": row["version"] + 1}
    tx.execute(certificates.update().where(certificates.c.id == certificate_id).values(**values))
    tx.touch("certificate", certificate_id)


def delete(tx: Transaction, certificate_id: str, force: bool = False) -> None:
    """Deletes an inactive certificate that has no things attached and, unless `force`, no policies."""
    row = get(tx, certificate_id)
    if row["status"] == "ACTIVE":
        raise errors.CertificateState(f"Certificate {certificate_id} must be deactivated before it is deleted")
    if things_of(tx, certificate_id):
        raise errors.DeleteConflict(f"Things must be detached before deletion (arn of certificate {certificate_id})")
    mine = sa.and_(policy_attachments.c.target_kind == "cert", policy_attachments.c.target == certificate_id)
    if not force and tx.scalar(sa.select(sa.func.count()).select_from(policy_attachments).where(mine)):
        raise errors.DeleteConflict(f"Certificate policies must be detached before deletion ({certificate_id})")
    tx.execute(policy_attachments.delete().where(mine))
    tx.execute(certificates.delete().where(certificates.c.id == certificate_id))
    tx.touch("certificate", certificate_id)


def attach_thing(tx: Transaction, thing: str, principal_arn: str, exclusive: bool = False) -> None:
    """Attaches a certificate to a thing; again is a success.

    EXCLUSIVE_THING means the certificate stands for exactly one thing: it is refused while others are attached.
    """
    certificate_id = certificate_of(principal_arn)
    things.get(tx, thing)
    get(tx, certificate_id)
    current = look_attachments(tx, certificate_id)
    others = {name: is_exclusive for name, is_exclusive in current.items() if name != thing}
    if others and (exclusive or any(others.values())):
        raise errors.InvalidRequest(
            f"Certificate {certificate_id} is attached to {', '.join(sorted(others))}; an exclusive attachment must be "
            "its only one"
        )
    if thing in current:
        row = sa.and_(thing_principals.c.thing_name == thing, thing_principals.c.certificate_id == certificate_id)
        tx.execute(thing_principals.update().where(row).values(exclusive=exclusive))
    else:
        tx.execute(
            thing_principals.insert().values(thing_name=thing, certificate_id=certificate_id, exclusive=exclusive)
        )
    tx.touch("certificate", certificate_id)


def detach_thing(tx: Transaction, thing: str, principal_arn: str) -> None:
    """Detaches a certificate from a thing; one that is not attached succeeds."""
    certificate_id = certificate_of(principal_arn)
    things.get(tx, thing)
    row = sa.and_(thing_principals.c.thing_name == thing, thing_principals.c.certificate_id == certificate_id)
    if tx.execute(thing_principals.delete().where(row)).rowcount:
        tx.touch("certificate", certificate_id)


def things_of(look: Reader, certificate_id: str) -> list[str]:
    """The names of the things a certificate is attached to, sorted."""
    return sorted(look_attachments(look, certificate_id))


def look_attachments(look: Reader, certificate_id: str) -> dict[str, bool]:
    """Thing name → whether the attachment is exclusive."""
    columns = (thing_principals.c.thing_name, thing_principals.c.exclusive)
    rows = look.execute(sa.select(*columns).where(thing_principals.c.certificate_id == certificate_id))
    return {name: exclusive for name, exclusive in rows}


def certificates_of(look: Reader, thing: str) -> list[str]:
    """The ids of the certificates attached to a thing, sorted."""
    column = thing_principals.c.certificate_id
    return list(
        look.execute(sa.select(column).where(thing_principals.c.thing_name == thing).order_by(column)).scalars()
    )


def certificate_of(principal_arn: str) -> str:
    """The certificate id in a principal's ARN; anything else is refused."""
    parsed = arn.parse(principal_arn)
    if parsed is None or parsed.service != "iot" or parsed.kind != "cert":
        raise errors.InvalidRequest(f"Principal must be the ARN of a certificate: {principal_arn}")
    return parsed.name
