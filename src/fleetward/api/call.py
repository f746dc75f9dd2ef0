"""What an operation is given: one `Call`, and through it the rooms of the house."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fleetward.meter.pulse import Pulse
from fleetward.model import Millis
from fleetward.registry.connectivity import Connectivity
from fleetward.store.trail import Actor

if TYPE_CHECKING:
    from botocore.model import OperationModel

    from fleetward.access.authorizer import Authorizer
    from fleetward.access.keyring import KeyRing
    from fleetward.access.keys import AccessKey
    from fleetward.arn import Arns
    from fleetward.functions.service import Functions
    from fleetward.gateway.doors import Clock, Inlets
    from fleetward.notify.service import Notifier
    from fleetward.registry.authority import Authority
    from fleetward.registry.view import FleetView
    from fleetward.respond.isolation import IsolationWatch
    from fleetward.settings import Settings
    from fleetward.shadows.service import Shadows
    from fleetward.store.database import Database, Reader, Transaction
    from fleetward.store.history import History


_ABSENT: Any = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the principal behind the access key, or nobody for the few requests that need no signature."""

    principal_arn: str | None
    account: str
    key_id: str | None = None
    key: AccessKey | None = None

    @property
    def anonymous(self) -> bool:
        return self.principal_arn is None


@dataclass(slots=True)
class Rooms:
    """The rooms an operation may use; app.py fills them in. A test gives only those it needs."""

    settings: Settings
    arns: Arns
    clock: Clock
    database: Database
    keys: KeyRing
    authority: Authority = _ABSENT
    view: FleetView = _ABSENT
    gateway: Inlets = _ABSENT
    history: History = _ABSENT
    notifier: Notifier = _ABSENT
    functions: Functions = _ABSENT
    authorizer: Authorizer = _ABSENT
    connectivity: Connectivity = field(default_factory=Connectivity)
    shadows: Shadows = _ABSENT
    isolation: IsolationWatch = _ABSENT
    pulse: Pulse = field(default_factory=Pulse)


@dataclass(slots=True)
class Call:
    """One request, signature verified and parameters checked against the service model.

    `params` are keyed as in the model: blobs are bytes, timestamps aware datetimes. `breaches` is empty except for the
    operations that report breaches of the model themselves (operations.LENIENT). An operation may put further headers
    of its response into `headers`.
    """

    rooms: Rooms
    operation: OperationModel
    params: dict[str, Any]
    caller: Caller
    now: Millis
    request_id: str
    peer: str = ""
    secure: bool = False
    breaches: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def service(self) -> str:
        """The botocore name of the service: "iot", "iot-data"…"""
        return self.operation.service_model.service_name

    def transaction(self, reason: str = "") -> AbstractContextManager[Transaction]:
        """A change to the store, made at `now`; the audit trail gets to know who asked for it, and the `reason`."""
        actor = Actor(
            self.caller.principal_arn or "anonymous",
            self.peer,
            f"{self.service}:{self.operation.name}",
            self.request_id,
            reason,
        )
        return self.rooms.database.transaction(self.now, actor)

    def read(self) -> AbstractContextManager[Reader]:
        return self.rooms.database.read()
