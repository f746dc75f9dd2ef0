"""iot: registered CAs, and the code that proves possession of a CA's key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.api.call import Call
from fleetward.api.certificates import PAGE
from fleetward.api.paging import page_after
from fleetward.api.times import datetime_of
from fleetward.registry import account, tags
from fleetward.registry import ca_certificates as rules
from fleetward.registry.certificates import in_order_of_making
from fleetward.store.tables.registry import ca_certificates


def register_ca_certificate(call: Call) -> dict[str, Any]:
    _refuse_auto_registration(call)
    params = call.params
    mode = params.get("certificateMode", rules.DEFAULT)
    added = tags.given(params)
    with call.transaction() as tx:
        made = rules.register(
            tx, params["caCertificate"], params.get("verificationCertificate"), mode, params.get("setAsActive", False)
        )
        tags.put(tx, _arn(call, made), added)
    return _identified(call, made)


def describe_ca_certificate(call: Call) -> dict[str, Any]:
    with call.read() as look:
        row = rules.get(look, call.params["certificateId"])
    return {
        "certificateDescription": {
            **_shown(call, row),
            "certificatePem": row["pem"],
            "ownedBy": call.rooms.arns.account,
            "autoRegistrationStatus": "DISABLE",
            "certificateMode": row["mode"],
            "lastModifiedDate": datetime_of(row["modified_at"]),
            "customerVersion": row["version"],
            "generationId": f"{row['id'][:32]}-{row['version']}",
            "validity": {"notBefore": datetime_of(row["not_before"]), "notAfter": datetime_of(row["not_after"])},
        }
    }


def update_ca_certificate(call: Call) -> dict[str, Any]:
    _refuse_auto_registration(call)
    with call.transaction() as tx:
        row = rules.get(tx, call.params["certificateId"])
        rules.set_status(tx, row["id"], call.params.get("newStatus", row["status"]))
    return {}


def delete_ca_certificate(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.delete(tx, call.params["certificateId"])
        tags.forget(tx, _arn(call, call.params["certificateId"]))
    return {}


def list_ca_certificates(call: Call) -> dict[str, Any]:
    """None has a provisioning template, so that asking for those of one finds nothing."""
    call.params.setdefault("pageSize", PAGE)
    ascending = call.params.get("ascendingOrder", False)
    wanted = sa.false() if "templateName" in call.params else rules.there
    with call.read() as look:

        def fetch(limit: int, after: Any) -> Sequence[RowMapping]:
            statement = sa.select(ca_certificates).where(wanted)
            return in_order_of_making(look, statement, ca_certificates, limit, after, ascending)

        rows, token = page_after(call, fetch, lambda row: (row["created_at"], row["id"]))
    return {"certificates": [_shown(call, row) for row in rows], "nextMarker": token}


def get_registration_code(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        return {"registrationCode": account.ensure_registration_code(tx)}


def delete_registration_code(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        account.delete_registration_code(tx)
    return {}


def _refuse_auto_registration(call: Call) -> None:
    """A device that is let in because nobody said no is not for a house that watches devices."""
    wanted = call.params.get("allowAutoRegistration") or call.params.get("newAutoRegistrationStatus") == "ENABLE"
    if wanted or "registrationConfig" in call.params:
        raise errors.NotImplementedHere(
            "Fleetward does not register devices when they connect: register each certificate with RegisterCertificate."
        )


def _arn(call: Call, ca_id: str) -> str:
    return call.rooms.arns.iot("cacert", ca_id)


def _identified(call: Call, ca_id: str) -> dict[str, str]:
    return {"certificateArn": _arn(call, ca_id), "certificateId": ca_id}


def _shown(call: Call, row: RowMapping) -> dict[str, Any]:
    return {**_identified(call, row["id"]), "status": row["status"], "creationDate": datetime_of(row["created_at"])}
