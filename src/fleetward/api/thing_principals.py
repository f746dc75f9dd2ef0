"""iot: which certificates are attached to which things."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import RowMapping

from fleetward.api import names
from fleetward.api.call import Call
from fleetward.api.paging import page_after
from fleetward.registry import certificates as rules
from fleetward.registry import things

EXCLUSIVE, SHARED = "EXCLUSIVE_THING", "NON_EXCLUSIVE_THING"


def attach_thing_principal(call: Call) -> dict[str, Any]:
    exclusive = call.params.get("thingPrincipalType") == EXCLUSIVE
    names.certificate(call, call.params["principal"])
    with call.transaction() as tx:
        rules.attach_thing(tx, call.params["thingName"], call.params["principal"], exclusive)
    return {}


def detach_thing_principal(call: Call) -> dict[str, Any]:
    names.certificate(call, call.params["principal"])
    with call.transaction() as tx:
        rules.detach_thing(tx, call.params["thingName"], call.params["principal"])
    return {}


def list_thing_principals(call: Call) -> dict[str, Any]:
    rows, token = _principals(call)
    return {"principals": [_arn(call, row) for row in rows], "nextToken": token}


def list_thing_principals_v2(call: Call) -> dict[str, Any]:
    rows, token = _principals(call)
    shown = [{"principal": _arn(call, row), "thingPrincipalType": _type(row)} for row in rows]
    return {"thingPrincipalObjects": shown, "nextToken": token}


def list_principal_things(call: Call) -> dict[str, Any]:
    rows, token = _things(call)
    return {"things": [row["thing_name"] for row in rows], "nextToken": token}


def list_principal_things_v2(call: Call) -> dict[str, Any]:
    rows, token = _things(call)
    shown = [{"thingName": row["thing_name"], "thingPrincipalType": _type(row)} for row in rows]
    return {"principalThingObjects": shown, "nextToken": token}


def _principals(call: Call) -> tuple[list[RowMapping], str | None]:
    thing = call.params["thingName"]
    with call.read() as look:
        things.get(look, thing)
        rows, token = page_after(
            call,
            lambda limit, after: rules.attachments_of_thing(look, thing, limit, after, _wanted(call)),
            lambda row: row["certificate_id"],
        )
    return list(rows), token


def _things(call: Call) -> tuple[list[RowMapping], str | None]:
    certificate_id = names.certificate(call, call.params["principal"])
    with call.read() as look:
        rules.get(look, certificate_id)
        rows, token = page_after(
            call,
            lambda limit, after: rules.attachments_of_certificate(look, certificate_id, limit, after, _wanted(call)),
            lambda row: row["thing_name"],
        )
    return list(rows), token


def _wanted(call: Call) -> bool | None:
    """Which attachments are asked for: exclusive ones, shared ones, or (None) all."""
    wanted = call.params.get("thingPrincipalType")
    return None if wanted is None else wanted == EXCLUSIVE


def _type(row: RowMapping) -> str:
    return EXCLUSIVE if row["exclusive"] else SHARED


def _arn(call: Call, row: RowMapping) -> str:
    return call.rooms.arns.iot("cert", row["certificate_id"])
