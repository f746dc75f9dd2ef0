"""Who a connection is: the certificate it showed, and the name that what it does counts under (framing)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fleetward.meter.batch import unregistered_id
from fleetward.meter.meter import DeviceMeter, Meter
from fleetward.policy.request import ContextValue
from fleetward.registry.certificate_context import certificate_context
from fleetward.registry.view import FleetView

UNREGISTERED_NAMES = 100
"""Client ids without a thing that one certificate may be counted under in one run: no one makes us remember more."""

MAX_NAME_BYTES = 128
"""Of a device name."""

_CERTIFICATE_ID = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Principal:
    """The other end of a connection: the SHA-256 of its certificate's DER form in hex, and the address it came from.

    `context` are the policy context keys that follow from the certificate.
    """

    certificate_id: str
    address: str
    context: Mapping[str, ContextValue] = field(default_factory=dict)


def principal_of(der: bytes, address: str) -> Principal:
    """`der` is the certificate that TLS verified."""
    context = certificate_context(der) | {"aws:SourceIp": address, "aws:SecureTransport": "true"}
    return Principal(hashlib.sha256(der).hexdigest(), address, context)


class Attribution:
    """Decides under which device's name a connection is counted.

    Under a thing only what a certificate attached to it does, so that nobody frames it. Where the client id names a
    thing that is not the certificate's own, or is no name a device can have, the certificate's id is the name.
    """

    def __init__(self, view: FleetView, meter: Meter) -> None:
        self._view = view
        self._meter = meter
        self._unregistered: dict[str, set[str]] = {}

    def device(self, certificate_id: str, client_id: str, assigned: bool = False) -> DeviceMeter:
        """`assigned`: the client has no id of its own, so that none is to be remembered."""
        device = self._meter.device(*self._name(certificate_id, client_id, assigned))
        device.client_id = client_id or device.name
        return device

    def note(self, certificate_id: str, client_id: str) -> None:
        """A known certificate was used with a client id: that counts under the certificate, whosever name it is."""
        if self._meter.on_demand is not None:
            self._meter.device(unregistered_id(certificate_id), certificate_id).identified(client_id)

    def _name(self, certificate_id: str, client_id: str, assigned: bool) -> tuple[int, str]:
        thing = self._view.association(certificate_id, client_id)
        if thing is not None:
            return thing.id, thing.name
        name = certificate_id
        nameless = assigned or self._view.thing(client_id) is not None or self._view.certificate(certificate_id) is None
        if not nameless and self._may_count_under(certificate_id, client_id):
            name = client_id
        return unregistered_id(name), name

    def _may_count_under(self, certificate_id: str, client_id: str) -> bool:
        if len(client_id.encode()) > MAX_NAME_BYTES or not client_id.isprintable() or not client_id:
            return False
        if _CERTIFICATE_ID.fullmatch(client_id):  # it would frame the certificate of that id
            return False
        names = self._unregistered.setdefault(certificate_id, set())
        if client_id not in names and len(names) >= UNREGISTERED_NAMES:
            return False
        names.add(client_id)
        return True
