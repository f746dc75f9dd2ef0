"""iot: where devices connect, and whether they are."""

from __future__ import annotations

import socket
from typing import Any

from fleetward import errors
from fleetward.api.call import Call
from fleetward.api.times import datetime_of
from fleetward.registry import things
from fleetward.registry.connectivity import Sighting
from fleetward.settings import Settings

SERVED = ("iot:Data-ATS", "iot:Data")
NOT_SERVED = {
    "iot:CredentialProvider": "there are no role aliases, so no certificate is exchanged for credentials",
    "iot:Jobs": "there are no jobs",
}
"""Endpoint types of AWS's that lead nowhere here, and why."""

EVERY_INTERFACE = ("0.0.0.0", "::", "")  # noqa: S104

REASONS = frozenset(
    (
        "AUTH_ERROR",
        "CLIENT_INITIATED_DISCONNECT",
        "CLIENT_ERROR",
        "CONNECTION_LOST",
        "DUPLICATE_CLIENTID",
        "FORBIDDEN_ACCESS",
        "MQTT_KEEP_ALIVE_TIMEOUT",
        "SERVER_ERROR",
        "SERVER_INITIATED_DISCONNECT",
        "API_INITIATED_DISCONNECT",
        "THROTTLED",
        "WEBSOCKET_TTL_EXPIRATION",
        "CUSTOMAUTH_TTL_EXPIRATION",
    )
)
"""What GetThingConnectivityData may give as the reason of a disconnect; anything else is UNKNOWN."""


def describe_endpoint(call: Call) -> dict[str, Any]:
    """A host that the broker's certificate covers; AWS's answer has no field for the port."""
    kind = call.params.get("endpointType", "iot:Data")
    if kind in NOT_SERVED:
        raise errors.InvalidRequest(f"Endpoint type {kind} is not served: {NOT_SERVED[kind]}")
    if kind not in SERVED:
        raise errors.InvalidRequest(f"Endpoint type {kind} not recognized; use iot:Data-ATS")
    return {"endpointAddress": _reachable_host(call.rooms.settings)}


def _reachable_host(settings: Settings) -> str:
    if settings.mqtt_name:
        return settings.mqtt_name[0]
    return socket.gethostname() if settings.mqtt_host in EVERY_INTERFACE else settings.mqtt_host


def get_thing_connectivity_data(call: Call) -> dict[str, Any]:
    """Whether a device is connected that stands for the thing, now or when last."""
    name, view = call.params["thingName"], call.rooms.view
    with call.read() as look:
        things.get(look, name)

    def is_its_own(sighting: Sighting) -> bool:
        thing = view.association(sighting.certificate_id, sighting.client_id)
        return thing is not None and thing.name == name

    seen = call.rooms.connectivity.of(name, is_its_own)
    if seen is None:
        return {"thingName": name, "connected": False}
    shown = {
        "thingName": name,
        "connected": seen.connected,
        "timestamp": datetime_of(seen.time),
        "disconnectReason": "NONE" if seen.connected else _reason(seen),
        "clientId": seen.client_id,
    }
    return {**shown, "sourceIp": seen.address} if call.params.get("includeSocketInformation") else shown


def _reason(seen: Sighting) -> str:
    return seen.reason if seen.reason in REASONS else "UNKNOWN"
