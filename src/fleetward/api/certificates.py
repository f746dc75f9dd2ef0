"""iot: device certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import RowMapping

from fleetward.api.call import Call
from fleetward.api.paging import page_after
from fleetward.api.times import datetime_of
from fleetward.registry import ca_certificates, registration
from fleetward.registry import certificates as rules
from fleetward.registry.authority import DeviceCertificate

PAGE = 25
"""Certificates on a page unless another number is asked for (API reference, ListCertificates)."""


async def create_keys_and_certificate(call: Call) -> dict[str, Any]:
    made = await asyncio.to_thread(call.rooms.authority.issue_device, call.now)
    return {
        **_store(call, made),
        "keyPair": {"PublicKey": made.public_key_pem, "PrivateKey": made.private_key_pem},
    }


async def create_certificate_from_csr(call: Call) -> dict[str, Any]:
    request = call.params["certificateSigningRequest"]
    return _store(call, await asyncio.to_thread(call.rooms.authority.sign_csr, request, call.now))


def register_certificate(call: Call) -> dict[str, Any]:
    status = call.params.get("status") or ("ACTIVE" if call.params.get("setAsActive") else "INACTIVE")
    with call.transaction() as tx:
        made = registration.register(tx, call.params["certificatePem"], call.params.get("caCertificatePem"), status)
    return _identified(call, made)


def register_certificate_without_ca(call: Call) -> dict[str, Any]:
    status = call.params.get("status", "INACTIVE")
    with call.transaction() as tx:
        made = registration.register_without_ca(tx, call.params["certificatePem"], status)
    return _identified(call, made)


def describe_certificate(call: Call) -> dict[str, Any]:
    with call.read() as look:
        row = rules.get(look, call.params["certificateId"])
    return {
        "certificateDescription": {
            **_shown(call, row),
            "caCertificateId": row["ca_id"],
            "certificatePem": row["pem"],
            "ownedBy": call.rooms.arns.account,
            "lastModifiedDate": datetime_of(row["modified_at"]),
            "customerVersion": row["version"],
            "generationId": f"{row['id'][:32]}-{row['version']}",
            "validity": {"notBefore": datetime_of(row["not_before"]), "notAfter": datetime_of(row["not_after"])},
        }
    }


def update_certificate(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.set_status(tx, call.params["certificateId"], call.params["newStatus"])
    return {}


def delete_certificate(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.delete(tx, call.params["certificateId"], call.params.get("forceDelete", False))
    return {}


def list_certificates(call: Call) -> dict[str, Any]:
    return _page(call, None)


def list_certificates_by_ca(call: Call) -> dict[str, Any]:
    with call.read() as look:
        ca_certificates.get(look, call.params["caCertificateId"])
    return _page(call, call.params["caCertificateId"])


def _page(call: Call, ca_id: str | None) -> dict[str, Any]:
    call.params.setdefault("pageSize", PAGE)
    ascending = call.params.get("ascendingOrder", False)
    with call.read() as look:

        def fetch(limit: int, after: Any) -> Sequence[RowMapping]:
            return rules.listed(look, limit, after, ascending, ca_id)

        rows, token = page_after(call, fetch, lambda row: (row["created_at"], row["id"]))
    return {"certificates": [_shown(call, row) for row in rows], "nextMarker": token}


def _store(call: Call, made: DeviceCertificate) -> dict[str, Any]:
    with call.transaction() as tx:
        active = call.params.get("setAsActive", False)
        rules.add(tx, made.id, made.certificate_pem, active, made.not_before, made.not_after)
    return {**_identified(call, made.id), "certificatePem": made.certificate_pem}


def _identified(call: Call, certificate_id: str) -> dict[str, str]:
    return {"certificateArn": call.rooms.arns.iot("cert", certificate_id), "certificateId": certificate_id}


def _shown(call: Call, row: RowMapping) -> dict[str, Any]:
    return {
        **_identified(call, row["id"]),
        "status": row["status"],
        "certificateMode": row["mode"],
        "creationDate": datetime_of(row["created_at"]),
    }
