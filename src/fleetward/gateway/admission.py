"""ADMISSION: what a CONNECT must pass, in order, before it touches anything; and what a live session must keep passing.

Each check gives the reason code of a refusal, or 0. The first refusal ends the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from fleetward.gateway.access import PUBLISH, RETAIN_PUBLISH, Access
from fleetward.gateway.identity import Principal
from fleetward.gateway.limits import Limits
from fleetward.gateway.packets import V5, Connect, Reason
from fleetward.gateway.sessions import Session
from fleetward.model import Millis
from fleetward.registry.view import FleetView


@dataclass(frozen=True, slots=True)
class Application:
    """A CONNECT and all that is looked at to decide on it. `session` is the one that has the client id now."""

    connect: Connect
    principal: Principal
    access: Access
    view: FleetView
    limits: Limits
    session: Session | None
    quarantine_binds_certificate: bool
    now: Millis


Check: TypeAlias = Callable[[Application], int]


def within_limits(application: Application) -> int:
    connect, limits = application.connect, application.limits
    will = connect.will
    if len(connect.client_id.encode()) > limits.client_id_bytes:
        return Reason.CLIENT_IDENTIFIER_NOT_VALID
    if will is not None and not topic_within(will.topic, limits):
        return Reason.TOPIC_NAME_INVALID
    if will is not None and len(will.payload) > limits.payload:
        return Reason.PACKET_TOO_LARGE
    if connect.version == V5 and "authentication_method" in connect.properties:
        return Reason.BAD_AUTHENTICATION_METHOD
    session, per_second = application.session, limits.connects_per_second
    if per_second and session is not None and application.now - session.connected_at < 1000 // per_second:
        return Reason.SERVER_BUSY
    return 0


def has_known_active_certificate(application: Application) -> int:
    certificate = application.view.certificate(application.principal.certificate_id)
    return 0 if certificate is not None and certificate.active else Reason.NOT_AUTHORIZED


def has_valid_client_id(application: Application) -> int:
    """AWS keeps ids that begin with `$`; an empty one was replaced before, where that is allowed."""
    client_id = application.connect.client_id
    return Reason.CLIENT_IDENTIFIER_NOT_VALID if not client_id or client_id.startswith("$") else 0


def may_connect(application: Application) -> int:
    connect = application.connect
    attributes = ("PersistentConnect",) * is_persistent(connect) + ("LastWill",) * (connect.will is not None)
    allowed = application.access.may_connect(connect.client_id, attributes, application.now)
    return 0 if allowed else Reason.NOT_AUTHORIZED


def may_publish_will(application: Application) -> int:
    """A will is a publish made in advance; nobody may make one to a `$` topic."""
    will = application.connect.will
    if will is None:
        return 0
    access, now = application.access, application.now
    allowed = not will.topic.startswith("$") and access.may(PUBLISH, will.topic, now)
    if allowed and will.retain:
        allowed = access.may(RETAIN_PUBLISH, will.topic, now)
    return 0 if allowed else Reason.NOT_AUTHORIZED


def is_not_evading(application: Application) -> int:
    """While a thing is isolated, its certificates may connect only as other things they are attached to."""
    view, certificate_id = application.view, application.principal.certificate_id
    thing = view.association(certificate_id, application.connect.client_id)
    if not application.quarantine_binds_certificate or (thing is not None and not view.is_isolated(thing.name)):
        return 0
    return Reason.NOT_AUTHORIZED if view.isolated_things_of(certificate_id) else 0


ADMISSION: Mapping[Check, str] = {
    within_limits: "a limit is exceeded",
    has_known_active_certificate: "the certificate is not registered, or not active",
    has_valid_client_id: "the client id is not valid",
    may_connect: "policy does not allow iot:Connect with this client id",
    may_publish_will: "policy does not allow the will",
    is_not_evading: "a thing of this certificate is isolated",
}
"""Each check with what a refusal by it means."""

STANDING: tuple[Check, ...] = (has_known_active_certificate, may_connect, is_not_evading)
"""What is asked again of a live session after every change that may concern it."""


def first_refusal(checks: Iterable[Check], application: Application) -> tuple[int, str]:
    """The reason code of the first refusal and what it means; (0, "") when nothing is refused."""
    for check in checks:
        if reason := check(application):
            return reason, ADMISSION[check]
    return 0, ""


def is_persistent(connect: Connect) -> bool:
    """Whether the session outlives the connection; in MQTT 5 that is what session expiry says (§3.1.2.11.2)."""
    if connect.version != V5:
        return not connect.clean_start
    return bool(connect.properties.get("session_expiry_interval"))


def topic_within(topic: str, limits: Limits) -> bool:
    return topic.count("/") < limits.topic_levels and len(topic.encode()) <= limits.topic_bytes
