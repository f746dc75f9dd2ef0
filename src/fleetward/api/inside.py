"""The door from inside: an operation carried out for somebody whom another door of this server has let in.

The same validation, authorisation, operation and audit trail as behind a signed request; only the wire is left out.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

from fleetward import errors
from fleetward.access.keys import AccessKey
from fleetward.api import models, operations
from fleetward.api.call import Call, Caller, Rooms
from fleetward.api.door import authorise
from fleetward.api.validate import breaches, validate


@dataclass(frozen=True, slots=True)
class Guest:
    """On whose behalf, from where, and whether they came over TLS."""

    key: AccessKey
    address: str = ""
    secure: bool = False


async def carry_out(
    rooms: Rooms, guest: Guest, service: str, operation: str, params: Mapping[str, Any]
) -> Mapping[str, Any]:
    """What `operation` of `service` returns, keyed as in the service's model. Raises a Refusal as the wire would."""
    serve = operations.find(service, operation)
    if serve is None:
        raise errors.NotImplementedHere(f"Fleetward does not implement {operation} of {service}.")
    call = _call(rooms, guest, service, operation, params)
    if (service, operation) in operations.LENIENT:
        call.breaches = tuple(breaches(call.operation, call.params))
    else:
        validate(call.operation, call.params)
    authorise(call)
    result = serve(call)
    if isinstance(result, Awaitable):
        result = await result
    return result or {}


def may(rooms: Rooms, guest: Guest, service: str, operation: str, params: Mapping[str, Any]) -> bool:
    """Whether they would be allowed to; for what is offered, never for what is decided."""
    try:
        authorise(_call(rooms, guest, service, operation, params))
    except errors.Refusal:
        return False
    return True


def _call(rooms: Rooms, guest: Guest, service: str, operation: str, params: Mapping[str, Any]) -> Call:
    model = models.service(service).model.operation_model(operation)
    given = {name: value for name, value in params.items() if value is not None}
    caller = Caller(guest.key.principal_arn, rooms.arns.account, guest.key.id, guest.key)
    return Call(rooms, model, given, caller, rooms.clock(), str(uuid.uuid4()), guest.address, guest.secure)
