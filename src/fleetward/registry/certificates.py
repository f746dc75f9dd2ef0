"""Device certificates: their status, and the things they are attached to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import arn, errors
from fleetward.model import Millis
from fleetward.registry import things
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.registry import certificates, policy_attachments, thing_principals

ACTIVE, INACTIVE, REVOKED = "ACTIVE", "INACTIVE", "REVOKED"
STATUSES = frozenset({ACTIVE, INACTIVE, REVOKED})
"""What a certificate may be registered with or set to; the model's other statuses are AWS's own business."""


def find(look: Reader, certificate_id: str) -> RowMapping | None:
    return look.one(sa.select(certificates).where(certificates.c.id == certificate_id))


def get(look: Reader, certificate_id: str) -> RowMapping:
    """The certificate's row, or ResourceNotFound."""
    row = find(look, certificate_id)
    if row is None:
        raise errors.ResourceNotFound(f"Certificate {certificate_id} not found")
    return row


def add(
    tx: Transaction,
    certificate_id: str,
    pem: str,
    active: bool,
    not_before: Millis,
    not_after: Millis,
    **further: Any,
) -> None:
    """Stores a certificate that was just issued or registered; `further` are other columns of its row."""
    if find(tx, certificate_id) is not None:
        raise errors.ResourceAlreadyExists(
            f"The certificate {certificate_id} is already registered", resourceId=certificate_id
        )
    row = {
        "id": certificate_id,
        "pem": pem,
        "status": ACTIVE if active else INACTIVE,
        "ca_id": None,
        "mode": "DEFAULT",
        "stands_alone": False,
        "not_before": not_before,
        "not_after": not_after,
        "created_at": tx.now,
        "modified_at": tx.now,
        "version": 1,
    }
    tx.execute(certificates.insert(), [{**row, **further}])
    tx.touch("certificate", certificate_id)


def set_status(tx: Transaction, certificate_id: str, status: str) -> None:
    """Activates, deactivates or revokes a certificate; live sessions feel it at once. Again is a success.

    A revoked certificate stays revoked.
    """
    row = get(tx, certificate_id)
    if status not in STATUSES:
        raise errors.InvalidRequest(f"Certificate status cannot be set to {status}; use {', '.join(sorted(STATUSES))}")
    if row["status"] == status:
        return
    if row["status"] == REVOKED:
        raise errors.CertificateState(f"Certificate {certificate_id} is revoked, which cannot be undone")
    values = {"status": status, "modified_at": tx.now, "version": row["version"] + 1}
    tx.execute(certificates.update().where(certificates.c.id == certificate_id).values(**values))
    tx.touch("certificate", certificate_id)


def listed(
    look: Reader, limit: int, after: tuple[Millis, str] | None, ascending: bool, ca_id: str | None = None
) -> Sequence[RowMapping]:
    """Certificates (signed by one CA, if asked) in the order of their making, behind `after`: (created_at, id)."""
    statement = sa.select(certificates)
    if ca_id is not None:
        statement = statement.where(certificates.c.ca_id == ca_id)
    return in_order_of_making(look, statement, certificates, limit, after, ascending)


def in_order_of_making(
    look: Reader,
    statement: sa.Select[Any],
    table: sa.Table,
    limit: int,
    after: tuple[Millis, str] | None,
    ascending: bool,
) -> Sequence[RowMapping]:
    place = sa.tuple_(table.c.created_at, table.c.id)
    if after is not None:
        statement = statement.where(place > sa.tuple_(*after) if ascending else place < sa.tuple_(*after))
    columns = (table.c.created_at, table.c.id)
    order = columns if ascending else [column.desc() for column in columns]
    return look.all(statement.order_by(*order).limit(limit))


def delete(tx: Transaction, certificate_id: str, force: bool = False) -> None:
    """Deletes an inactive certificate that has no things attached and, unless `force`, no policies."""
    row = get(tx, certificate_id)
    if row["status"] == ACTIVE:
        raise errors.CertificateState(f"Certificate {certificate_id} must be deactivated before it is deleted")
    if tx.scalar(sa.select(thing_principals.c.thing_name).where(_attached_to(certificate_id)).limit(1)) is not None:
        raise errors.DeleteConflict(f"Things must be detached before deletion (certificate {certificate_id})")
    mine = sa.and_(policy_attachments.c.target_kind == "cert", policy_attachments.c.target == certificate_id)
    if not force and tx.scalar(sa.select(sa.func.count()).select_from(policy_attachments).where(mine)):
        raise errors.DeleteConflict(f"Certificate policies must be detached before deletion ({certificate_id})")
    tx.execute(policy_attachments.delete().where(mine))
    tx.execute(certificates.delete().where(certificates.c.id == certificate_id))
    tx.touch("certificate", certificate_id)


# --- the things they are attached to ---------------------------------------------------------------------------------


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
        made = {"thing_name": thing, "certificate_id": certificate_id, "exclusive": exclusive}
        tx.execute(thing_principals.insert(), [made])
    tx.touch("certificate", certificate_id)


def detach_thing(tx: Transaction, thing: str, principal_arn: str) -> None:
    """Detaches a certificate from a thing; one that is not attached succeeds."""
    certificate_id = certificate_of(principal_arn)
    things.get(tx, thing)
    row = sa.and_(thing_principals.c.thing_name == thing, thing_principals.c.certificate_id == certificate_id)
    if tx.execute(thing_principals.delete().where(row)).rowcount:
        tx.touch("certificate", certificate_id)


def look_attachments(look: Reader, certificate_id: str) -> dict[str, bool]:
    """Thing name → whether the attachment is exclusive."""
    columns = (thing_principals.c.thing_name, thing_principals.c.exclusive)
    rows = look.execute(sa.select(*columns).where(_attached_to(certificate_id)))
    return {name: exclusive for name, exclusive in rows}


def attachments_of_thing(
    look: Reader, thing: str, limit: int, after: str | None, exclusive: bool | None = None
) -> Sequence[RowMapping]:
    """The attachments of a thing by certificate id, behind `after`; only exclusive or shared ones, if asked."""
    column = thing_principals.c.certificate_id
    return _attachments(look, thing_principals.c.thing_name == thing, column, limit, after, exclusive)


def attachments_of_certificate(
    look: Reader, certificate_id: str, limit: int, after: str | None, exclusive: bool | None = None
) -> Sequence[RowMapping]:
    """The attachments of a certificate by thing name, behind `after`; only exclusive or shared ones, if asked."""
    column = thing_principals.c.thing_name
    return _attachments(look, _attached_to(certificate_id), column, limit, after, exclusive)


def _attachments(
    look: Reader,
    whose: sa.ColumnElement[bool],
    column: sa.Column[str],
    limit: int,
    after: str | None,
    exclusive: bool | None,
) -> Sequence[RowMapping]:
    statement = sa.select(thing_principals).where(whose)
    if exclusive is not None:
        statement = statement.where(thing_principals.c.exclusive == exclusive)
    if after is not None:
        statement = statement.where(column > after)
    return look.all(statement.order_by(column).limit(limit))


def _attached_to(certificate_id: str) -> sa.ColumnElement[bool]:
    return thing_principals.c.certificate_id == certificate_id


def certificate_of(principal_arn: str) -> str:
    """The certificate id in a principal's ARN; anything else is refused."""
    parsed = arn.parse(principal_arn)
    if parsed is None or parsed.service != "iot" or parsed.kind != "cert":
        raise errors.InvalidRequest(f"Principal must be the ARN of a certificate: {principal_arn}")
    return parsed.name
