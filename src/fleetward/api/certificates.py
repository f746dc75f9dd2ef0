"""iot: certificates, and the things they are attached to."""

from __future__ import annotations

import asyncio
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.api.call import Call
from fleetward.api.paging import page, page_of
from fleetward.api.times import datetime_of
from fleetward.registry import certificates as rules
from fleetward.registry import things
from fleetward.registry.authority import DeviceCertificate
from fleetward.store.tables.registry import certificates


async def create_keys_and_certificate(call: Call) -> dict[str, Any]:
    made = await asyncio.to_thread(call.rooms.authority.issue_device, call.now)
    return {
        **_store(call, made),
        "keyPair": {"PublicKey": made.public_key_pem, "PrivateKey": made.private_key_pem},
    }


async def create_certificate_from_csr(call: Call) -> dict[str, Any]:
    request = call.params["certificateSigningRequest"]
    return _store(call, await asyncio.to_thread(call.rooms.authority.sign_csr, request, call.now))


def describe_certificate(call: Call) -> dict[str, Any]:
    with call.read() as look:
        row = rules.get(look, call.params["certificateId"])
    return {
        "certificateDescription": {
            **_shown(call, row),
            "certificatePem": row["pem"],
            "ownedBy": call.rooms.arns.account,
            "lastModifiedDate": datetime_of(row["modified_at"]),
            "customerVersion": row["version"],
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
    with call.read() as look:
        order = certificates.c.id
        rows, token = page(call, look, sa.select(certificates), order, call.params.get("ascendingOrder", False))
    return {"certificates": [_shown(call, row) for row in rows], "nextMarker": token}


def attach_thing_principal(call: Call) -> dict[str, Any]:
    exclusive = call.params.get("thingPrincipalType") == "EXCLUSIVE_THING"
    with call.transaction() as tx:
        rules.attach_thing(tx, call.params["thingName"], call.params["principal"], exclusive)
    return {}


def detach_thing_principal(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        rules.detach_thing(tx, call.params["thingName"], call.params["principal"])
    return {}


def list_thing_principals(call: Call) -> dict[str, Any]:
    with call.read() as look:
        things.get(look, call.params["thingName"])
        ids, token = page_of(call, rules.certificates_of(look, call.params["thingName"]))
    return {"principals": [call.rooms.arns.iot("cert", key) for key in ids], "nextToken": token}


def list_principal_things(call: Call) -> dict[str, Any]:
    with call.read() as look:
        certificate_id = rules.certificate_of(call.params["principal"])
        rules.get(look, certificate_id)
        names, token = page_of(call, rules.things_of(look, certificate_id))
    return {"things": list(names), "nextToken": token}


def _store(call: Call, made: DeviceCertificate) -> dict[str, Any]:
    with call.transaction() as tx:
        active = call.params.get("setAsActive", False)
        rules.add(tx, made.id, made.certificate_pem, active, made.not_before, made.not_after)
    return {
        "certificateArn": call.rooms.arns.iot("cert", made.id),
        "certificateId": made.id,
        "certificatePem": made.certificate_pem,
    }


def _shown(call: Call, row: RowMapping) -> dict[str, Any]:
    return {
        "certificateArn": call.rooms.arns.iot("cert", row["id"]),
        "certificateId": row["id"],
        "status": row["status"],
        "certificateMode": "DEFAULT",
        "creationDate": datetime_of(row["created_at"]),
    }
