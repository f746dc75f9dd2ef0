"""The wiring: the only file that knows every room.

device → gateway → meter → detect → alarm → notify → respond → (registry change) → gateway cuts the device off
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import SQLAlchemyError

from fleetward import telemetry
from fleetward.access import keys
from fleetward.access.authorizer import Authorizer
from fleetward.access.keyring import KeyRing
from fleetward.access.service_roles import IOT, AlertPublisher, function_session
from fleetward.alarm import violations
from fleetward.api.call import Rooms
from fleetward.api.door import ASGIApp, make_door, metrics
from fleetward.api.serialise import Response
from fleetward.arn import Arns
from fleetward.clock import now_millis
from fleetward.exporter import Exporter
from fleetward.functions.service import Functions
from fleetward.gateway.child import Child
from fleetward.gateway.doors import Arrival, Clock, Presence, Refused
from fleetward.gateway.remote import RemoteGateway
from fleetward.gateway.starting import CannotListen, CannotServe, TlsFiles
from fleetward.meter.batch import Batch
from fleetward.meter.pulse import Pulse
from fleetward.model import Change, Millis, RecordKind
from fleetward.notify.service import Notifier
from fleetward.notify.signature import Signer
from fleetward.pipeline import Pipeline, enrolments, releases
from fleetward.registry.activity import CONNECTED, DISCONNECTED, REFUSED, Event
from fleetward.registry.activity_log import ActivityLog
from fleetward.registry.authority import Authority
from fleetward.registry.connectivity import Connectivity
from fleetward.registry.feed import Feed
from fleetward.registry.fleet import read_fleet
from fleetward.registry.view import FleetView
from fleetward.reports.desk import ReportDesk
from fleetward.respond import isolations
from fleetward.respond.isolation import IsolationWatch, Shift
from fleetward.respond.mitigator import Mitigator
from fleetward.settings import Settings
from fleetward.shadows.service import Shadows
from fleetward.store.database import Database, Reader, sqlite_url
from fleetward.store.history import History
from fleetward.store.migrate import NewerSchema, migrate

if TYPE_CHECKING:
    from fleetward.gateway.service import Gateway

log = structlog.get_logger()

MORE_GATEWAYS = (
    "--gateway-processes takes 0 or 1: all sessions and subscriptions are in one process, so that each message finds "
    "its subscribers. A fleet that is too large for one can be divided among several servers"
)

ENDED_BY_US = frozenset({"AUTH_ERROR", "FORBIDDEN_ACCESS", "CLIENT_ERROR", "THROTTLED"})
"""Disconnect reasons that whoever runs a device will ask about."""

SESSION_SECONDS = 3600
"""Life of the keys that a function gets for its role."""


class CannotStart(Exception):
    """Why the server cannot start, in words for whoever started it."""


class House:
    """All rooms, on one data folder: open between `open` and `close`.

    `endpoint_url` is where the HTTP port will be reached; `door` answers it. `give_up` is told, on any thread, why the
    house cannot go on.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        endpoint_url: str,
        clock: Clock = now_millis,
        give_up: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.clock = clock
        self.arns = Arns(settings.region, settings.account_id)
        self._endpoint_url = endpoint_url
        self._give_up = give_up
        self.pulse = Pulse()
        self._closing = contextlib.AsyncExitStack()

    async def open(self) -> None:
        """Opens everything in the order of dependence; raises CannotStart, and leaves nothing open, if it cannot."""
        try:
            self._launch_gateway()
            self._open_store()
            self._open_rooms()
            await self._watch_fleet()
            await self.functions.start()
            self._closing.push_async_callback(self.functions.stop)
            await self.notifier.start()
            self._closing.push_async_callback(self.notifier.stop)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Closes everything in the opposite order; nothing that was acknowledged is lost."""
        await self._closing.aclose()

    def _launch_gateway(self) -> None:
        """Before all else: it takes its time, and the rest can be opened meanwhile."""
        self._child: Child | None = None
        if self.settings.gateway_processes > 1:
            raise CannotStart(MORE_GATEWAYS)
        if self.settings.gateway_processes:
            self._child = Child()
            self._closing.callback(self._child.close)

    def _open_store(self) -> None:
        try:
            self.database = Database(self.settings.database_url or sqlite_url(self.folder / "fleetward.db"))
            self._closing.callback(self.database.close)
            migrate(self.database)
        except NewerSchema as error:
            raise CannotStart(str(error)) from None
        except (SQLAlchemyError, ModuleNotFoundError) as error:
            raise CannotStart(f"the store cannot be opened: {str(error).splitlines()[0]}") from None
        with self.database.transaction(self.clock()) as tx:
            try:
                self.root_key = keys.ensure_root_key(
                    tx, self.arns, self.settings.root_access_key_id, self.settings.root_secret_access_key
                )
            except ValueError as error:
                raise CannotStart(str(error)) from None

    # --- the rooms ----------------------------------------------------------------------------------------------------

    def _open_rooms(self) -> None:
        self.authority = Authority.open(self.folder / "ca", self.clock())
        try:
            self.certificate = self.issue_certificate()
        except ValueError as error:
            raise CannotStart(f"the broker's certificate cannot be made: {error}; see --mqtt-name") from None
        self.history = History.open(self.folder / "history.duckdb")
        self._closing.callback(self.history.close)
        self.authorizer = Authorizer(self.database, self.arns)
        self.functions = Functions(
            database=self.database,
            settings=self.settings,
            clock=self.clock,
            arns=self.arns,
            endpoint_url=lambda: self._endpoint_url,
            issue_keys=self._issue_keys,
            ca_bundle=self.api_ca_file,
        )
        self.notifier = Notifier(
            database=self.database,
            settings=self.settings,
            clock=self.clock,
            arns=self.arns,
            base_url=lambda: (self.settings.public_url or self._endpoint_url).rstrip("/"),
            enqueue=self.functions.enqueue,
            may_invoke=self.functions.may_invoke,
            function_exists=self.functions.exists,
            signer=Signer.load_or_create(self.folder / "sns", self.clock()),
        )

    def issue_certificate(self) -> tuple[Path, Path]:
        """The files of the broker's certificate and key; made anew when a third of its life is left."""
        return self.authority.issue_server(_names(self.settings), self.clock())

    def _issue_keys(self, role_arn: str, session_name: str) -> tuple[str, str, str, Millis]:
        with self.database.transaction(self.clock()) as tx:
            key = function_session(self.authorizer, tx, role_arn, session_name, SESSION_SECONDS)
        return key.id, key.secret, key.session_token or "", key.expires_at or 0

    # --- gateway → meter → detect, and back through the registry ------------------------------------------------------

    async def _watch_fleet(self) -> None:
        self.view = FleetView(self.arns)
        self.gateway = self._make_gateway()
        Feed(self.database).subscribe(self._fleet_changed)
        self._load_fleet()
        for policy in sorted(self.view.unreadable):
            log.error("policy_unreadable", policy=policy, effect="it denies everything until it is replaced")
        self.pipeline = Pipeline(
            self.settings,
            self.clock,
            self.database,
            self.history,
            self.folder / "windows",
            AlertPublisher(self.authorizer, self.notifier.publish_all),
            self.arns,
        )
        self.pipeline.start(self.view)
        self._closing.callback(self.pipeline.stop)
        self.isolation = IsolationWatch(self.view)
        self.connectivity = Connectivity()
        self.activity = ActivityLog(self.database, self.clock)
        await self.activity.start()
        self._closing.push_async_callback(self.activity.stop)
        self.pipeline.supply(self.gateway.demand)
        self._carry_through_isolations()
        self.shadows = Shadows(self.database, self.clock, self.gateway.command)
        await self.shadows.start()
        self._closing.push_async_callback(self.shadows.stop)
        await self._open_response()
        try:
            await asyncio.to_thread(self.gateway.start)
        except CannotListen as error:
            raise CannotStart(f"{error}; choose others with --mqtt-host, --mqtt-port or --mqtt-plain-port") from None
        except CannotServe as error:
            raise CannotStart(str(error)) from None
        self._closing.push_async_callback(asyncio.to_thread, self.gateway.stop)

    def _make_gateway(self) -> Gateway | RemoteGateway:
        tls, durable_file = TlsFiles(*self.certificate, self.authority.ca_file), self.folder / "gateway.db"
        with_these = (self.settings, self.clock, self.arns, tls, durable_file, self)
        if self._child is not None:
            return RemoteGateway(*with_these, partial(read_fleet, self.database), self._child, self._give_up)
        from fleetward.gateway.service import Gateway  # where it is a process, this one has no use for its code

        return Gateway(*with_these)

    def _load_fleet(self) -> None:
        """There may be millions of objects, and they stay: looking through them for garbage, ever, is in vain."""
        gc.disable()
        try:
            for records in read_fleet(self.database):
                self.view.load(records)
                self.gateway.load(records)
        finally:
            gc.freeze()
            gc.enable()
            self._closing.callback(gc.unfreeze)

    async def _open_response(self) -> None:
        """Device reports in; mitigation, and the metrics that profiles export, out."""
        publish, paced = self.gateway.command, self.settings.mqtt_limits == "aws"
        self.reports = ReportDesk(self.database, self.clock, self.view, publish, self.pipeline.put, paced)
        self.exporter = Exporter(self.database, self.view, self.arns, publish, self._role_permits)
        self.mitigator = Mitigator(self.database, self.arns, self.clock, self._role_permits)
        for room in (self.reports, self.exporter, self.mitigator):
            await room.start()
            self._closing.push_async_callback(room.stop)
        self.pipeline.tell(self.exporter.take)

    def _role_permits(self, look: Reader, role_arn: str, action: str, resource: str) -> bool:
        """Whether a role that IoT may assume is allowed to do that."""
        role, now = self.authorizer.role(look, role_arn), self.clock()
        return (
            role is not None
            and self.authorizer.trusts(role, IOT, now)
            and self.authorizer.role_may(role, action, resource, now)
        )

    def _fleet_changed(self, changes: Sequence[Change]) -> None:
        before = {
            change.key: thing.id
            for change in changes
            if change.kind is RecordKind.THING and (thing := self.view.thing(change.key)) is not None
        }
        shift = self.isolation.apply(changes)
        self.gateway.apply(changes)
        now = self.clock()
        for item in (*enrolments(self.view, changes, before, now), *releases(shift.released, now)):
            self.pipeline.put(item)
        self._log(shift)
        if shift.isolated:
            with self.database.transaction(now) as tx:
                isolations.mark(tx, shift.isolated)

    def _carry_through_isolations(self) -> None:
        """Brings the record of isolations up to date; what was released just before a crash is released now."""
        isolated, now = self.isolation.isolated, self.clock()
        with self.database.transaction(now) as tx:
            isolations.mark(tx, isolated)
            released = sorted(isolations.known(tx) - isolated)
        for item in releases(released, now):
            self.pipeline.put(item)

    def _log(self, shift: Shift) -> None:
        for thing in shift.isolated:
            log.info("isolated", thing=thing)
        for thing in shift.released:
            log.info("released", thing=thing)

    def batch(self, batch: Batch) -> None:
        """Door 1, on a thread of the gateway's."""
        self.pulse.note(batch)
        self.pipeline.put(batch)

    def arrival(self, arrival: Arrival) -> None:
        """Door 2, on a thread of the gateway's."""
        if not (self.shadows.arrival(arrival) or self.reports.arrival(arrival)):
            log.debug("reserved_topic", topic=arrival.topic, device=arrival.device)

    def presence(self, presence: Presence) -> None:
        """Door 2, on a thread of the gateway's."""
        self.connectivity.note(presence)
        self._note_activity(
            presence, CONNECTED if presence.connected else DISCONNECTED, presence.device, presence.reason
        )
        telemetry.SESSIONS.inc(1 if presence.connected else -1)
        told = log.info if presence.reason in ENDED_BY_US else log.debug
        told("presence", client_id=presence.client_id, connected=presence.connected, reason=presence.reason)

    def refused(self, refused: Refused) -> None:
        """Door 2, on a thread of the gateway's."""
        telemetry.REFUSED.inc()
        thing = self.view.association(refused.certificate_id, refused.client_id)
        self._note_activity(refused, REFUSED, thing.name if thing else refused.client_id, refused.why)
        log.info(
            "connect_refused",
            client_id=refused.client_id[:128],
            certificate=refused.certificate_id[:16],
            address=refused.address,
            why=refused.why,
        )

    def _note_activity(self, about: Presence | Refused, event: str, thing: str, reason: str) -> None:
        client_id, certificate_id = about.client_id[:128], about.certificate_id[:64]
        self.activity.note(
            Event(thing[:128], about.time, event, client_id, certificate_id, about.address[:64], reason[:256])
        )

    # --- the door -----------------------------------------------------------------------------------------------------

    @cached_property
    def rooms(self) -> Rooms:
        """What operations are given."""
        return Rooms(
            database=self.database,
            arns=self.arns,
            clock=self.clock,
            settings=self.settings,
            keys=KeyRing(self.database),
            authorizer=self.authorizer,
            authority=self.authority,
            view=self.view,
            gateway=self.gateway,
            history=self.history,
            notifier=self.notifier,
            functions=self.functions,
            shadows=self.shadows,
            connectivity=self.connectivity,
            isolation=self.isolation,
            pulse=self.pulse,
        )

    def door(self) -> ASGIApp:
        """What answers the HTTP port for programs."""
        pages = {self.notifier.certificate_path: self._signing_certificate, "/metrics": self._metrics}
        return make_door(self.rooms, pages)

    @property
    def api_ca_file(self) -> Path | None:
        """What clients of the HTTP port must trust beyond what their system does."""
        return self.authority.ca_file if self.settings.api_tls and not self.settings.api_certificate else None

    def _metrics(self) -> Response:
        telemetry.ISOLATED.set(len(self.isolation.isolated))
        for status, count in self.notifier.counts().items():
            telemetry.DELIVERIES.labels(status).set(count)
        with self.database.read() as look:
            telemetry.VIOLATIONS.set(violations.count_open(look))
        return metrics()

    def _signing_certificate(self) -> Response:
        return Response(200, self.notifier.certificate_pem, "application/x-pem-file")


def _names(settings: Settings) -> list[str]:
    """What the broker's certificate is valid for: loopback, the machine's names, and what the settings add."""
    names = ["localhost", "127.0.0.1", "::1", socket.gethostname(), socket.getfqdn(), *settings.mqtt_name]
    names += [host for host in (settings.host, settings.mqtt_host) if host not in ("0.0.0.0", "::", "")]  # noqa: S104
    return list(dict.fromkeys(names))
