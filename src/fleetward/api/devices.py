"""fleetward: devices found by how their names begin, what became of each, and what it may do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.api import authorization, names
from fleetward.api.call import Call
from fleetward.api.paging import page
from fleetward.api.times import datetime_of
from fleetward.policy.evaluate import evaluate
from fleetward.registry import activity, policies, things
from fleetward.registry.authorization import ACTIONS, moment
from fleetward.registry.connectivity import Sighting
from fleetward.registry.names import begins_with
from fleetward.store.database import Reader
from fleetward.store.tables.activity import activity as activity_rows
from fleetward.store.tables.registry import certificates as certificate_rows
from fleetward.store.tables.registry import things as thing_rows
from fleetward.store.tables.respond import isolations


def list_things_by_name(call: Call) -> dict[str, Any]:
    """Things by name, those that begin with `namePrefix`, and what each is doing."""
    statement = sa.select(thing_rows)
    if (prefix := call.params.get("namePrefix")) is not None:
        statement = statement.where(begins_with(thing_rows.c.name, prefix))
    with call.read() as look:
        rows, token = page(call, look, statement, thing_rows.c.name)
    return {"things": [_listed(call, row) for row in rows], "nextToken": token}


def list_certificates_by_id(call: Call) -> dict[str, Any]:
    """Certificates by id, those that begin with `idPrefix`."""
    statement = sa.select(certificate_rows)
    if (prefix := call.params.get("idPrefix")) is not None:
        statement = statement.where(begins_with(certificate_rows.c.id, prefix))
    with call.read() as look:
        rows, token = page(call, look, statement, certificate_rows.c.id)
    return {"certificates": [_identified(call, row) for row in rows], "nextToken": token}


def get_certificate_authority(call: Call) -> dict[str, Any]:
    """What devices must trust to know the broker."""
    return {"certificatePem": call.rooms.authority.ca_pem}


def list_activity(call: Call) -> dict[str, Any]:
    """What the connections of a thing did, newest first."""
    return _activity(call, call.params["thingName"])


def list_refusals(call: Call) -> dict[str, Any]:
    """The refused connections that are no certain thing's, newest first."""
    return _activity(call, activity.NOBODY)


def describe_device(call: Call) -> dict[str, Any]:
    """Whether a thing is connected and whether it is cut off, and what would keep it from being cut off."""
    name = call.params["thingName"]
    with call.read() as look:
        things.get(look, name)
        since = look.scalar(sa.select(isolations.c.since).where(isolations.c.thing == name))
        obstacles = list(_obstacles(call, look, name))
    seen = _sighting(call, name)
    return {
        "thingName": name,
        "isolated": call.rooms.view.is_isolated(name),
        "isolatedSince": datetime_of(since) if since is not None else None,
        "connected": seen is not None and seen.connected,
        **({} if seen is None else _seen(seen)),
        "obstacles": obstacles,
    }


def describe_authorization(call: Call) -> dict[str, Any]:
    """Whether a device may do something now, and the one statement that decides."""
    client_id = call.params.get("clientId") or call.params["thingName"]
    certificate_id = None
    if (principal := call.params.get("principal")) is not None:
        certificate_id = names.certificate(call, principal)
    with call.read() as look:
        things.get(look, call.params["thingName"])
        context = {**authorization.context_of(call, look, certificate_id, client_id), **moment(call.now)}
        binding = authorization.binding_of(call, look, certificate_id, client_id)
        outcome = evaluate(binding, ACTIONS[call.params["actionType"]], call.params["resource"], context)
        text = policies.version(look, outcome.policy)["document"] if outcome.policy is not None else None
    return {
        "decision": outcome.effect.value,
        "policyName": outcome.policy,
        "policyDocument": text,
        "statement": outcome.statement,
    }


# --- what is shown ----------------------------------------------------------------------------------------------------


def _activity(call: Call, thing: str) -> dict[str, Any]:
    statement = activity.of_thing(thing)
    with call.read() as look:
        rows, token = page(call, look, statement, activity_rows.c.id, ascending=False)
    return {"activity": [_event(row) for row in rows], "nextToken": token}


def _listed(call: Call, row: RowMapping) -> dict[str, Any]:
    seen = _sighting(call, row["name"])
    return {
        "thingName": row["name"],
        "thingTypeName": row["type_name"],
        "attributes": row["attributes"],
        "connected": seen is not None and seen.connected,
        "isolated": call.rooms.view.is_isolated(row["name"]),
    }


def _identified(call: Call, row: RowMapping) -> dict[str, Any]:
    return {
        "certificateId": row["id"],
        "certificateArn": call.rooms.arns.iot("cert", row["id"]),
        "status": row["status"],
        "creationDate": datetime_of(row["created_at"]),
    }


def _event(row: RowMapping) -> dict[str, Any]:
    return {
        "time": datetime_of(row["time"]),
        "event": row["event"],
        "clientId": row["client_id"],
        "certificateId": row["certificate_id"],
        "sourceIp": row["address"],
        "reason": row["reason"],
    }


def _seen(seen: Sighting) -> dict[str, Any]:
    return {
        "since": datetime_of(seen.time),
        "clientId": seen.client_id,
        "certificateId": seen.certificate_id,
        "sourceIp": seen.address,
        "disconnectReason": seen.reason,
    }


def _sighting(call: Call, name: str) -> Sighting | None:
    """The latest of the thing itself, not of somebody who uses its name."""
    return call.rooms.connectivity.of(name, lambda seen: _stands_for(call, seen.certificate_id, seen.client_id, name))


def _stands_for(call: Call, certificate_id: str, client_id: str, name: str) -> bool:
    thing = call.rooms.view.association(certificate_id, client_id)
    return thing is not None and thing.name == name


# --- what would keep a quarantine from binding ------------------------------------------------------------------------


def _obstacles(call: Call, look: Reader, name: str) -> Sequence[str]:
    """In words: the policies of a thing's groups bind only connections that stand for the thing."""
    view, found = call.rooms.view, []
    attached = sorted(view.certificates_of(name))
    if not attached:
        found.append(
            "No certificate is attached to this thing, so no connection stands for it and the policies of its thing "
            "groups bind nobody. Attach the certificate that the device uses."
        )
    elif not any((one := view.certificate(id)) and one.active for id in attached):
        found.append(
            "None of the attached certificates is active: the device cannot connect with them, and if it is connected, "
            "it uses a certificate that is not attached."
        )
    used = call.rooms.connectivity.of(name, lambda seen: seen.client_id == name)
    if used is not None and not _stands_for(call, used.certificate_id, name, name):
        found.append(
            f"A device connects as {name} with the certificate {used.certificate_id[:16]}…, which is not attached to "
            "this thing: the policies of its thing groups do not bind that connection. Attach that certificate."
        )
    latest = activity.latest_connect(look, attached)
    if latest is not None and view.association(latest["certificate_id"], latest["client_id"]) is None:
        found.append(
            f"The device connects with the client ID {latest['client_id']}, which is not the name of a thing that its "
            "certificate is attached to: thing group policies do not bind that connection. Let it connect with the "
            "thing's name as its client ID, or attach the certificate to this thing exclusively."
        )
    return found
