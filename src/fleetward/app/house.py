"""The house: every room, wired to the others.

device → gateway → meter → detect → alarm → notify → respond → (registry change) → gateway cuts the device off
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from fleetward.access import keys
from fleetward.access.authorizer import Authorizer
from fleetward.access.keyring import KeyRing
from fleetward.access.service_roles import AlertPublisher, IotRoles, function_session
from fleetward.api.call import Rooms
from fleetward.api.door import ASGIApp, make_door
from fleetward.app.fleet_follower import FleetFollower
from fleetward.app.gateway_outlets import GatewayOutlets
from fleetward.app.pages import pages
from fleetward.arn import Arns
from fleetward.clock import now_millis
from fleetward.export.exporter import Exporter
from fleetward.functions.service import Functions
from fleetward.gateway.child import Child
from fleetward.gateway.doors import Clock
from fleetward.gateway.remote import RemoteGateway
from fleetward.gateway.starting import CannotListen, CannotServe, TlsFiles
from fleetward.meter.pulse import Pulse
from fleetward.model import Millis
from fleetward.notify.service import Notifier
from fleetward.notify.signature import Signer
from fleetward.pipeline import Pipeline
from fleetward.registry.activity_log import ActivityLog
from fleetward.registry.authority import Authority
from fleetward.registry.connectivity import Connectivity
from fleetward.registry.feed import Feed
from fleetward.registry.fleet import read_fleet
from fleetward.registry.view import FleetView
from fleetward.reports.desk import ReportDesk
from fleetward.respond.mitigator import Mitigator
from fleetward.settings import Settings
from fleetward.shadows.service import Shadows
from fleetward.store.database import Database, sqlite_url
from fleetward.store.history import History
from fleetward.store.migrate import NewerSchema, migrate

if TYPE_CHECKING:
    from fleetward.gateway.service import Gateway

log = structlog.get_logger()

MORE_GATEWAYS = (
    "--gateway-processes takes 0 or 1: all sessions and subscriptions are in one process, so that each message finds "
    "its subscribers. A fleet that is too large for one can be divided among several servers"
)

SESSION_SECONDS = 3600
"""Life of the keys that a function gets for its role."""


class CannotStart(Exception):
    """Why the server cannot start, in words for whoever started it."""


class Room(Protocol):
    """What runs between `start` and `stop`."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


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
            await self._open_room(self.functions)
            await self._open_room(self.notifier)
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
        self.connectivity = Connectivity()
        self.activity = ActivityLog(self.database, self.clock)
        self._outlets = GatewayOutlets(self.view, self.connectivity, self.activity)
        self.gateway = self._make_gateway()
        self._load_fleet()
        for policy in sorted(self.view.unreadable):
            log.error("policy_unreadable", policy=policy, effect="it denies everything until it is replaced")
        self._open_pipeline()
        self._follow_fleet()
        self.shadows = Shadows(self.database, self.clock, self.gateway.command)
        await self._open_room(self.activity)
        await self._open_room(self.shadows)
        await self._open_response()
        self._outlets.batch_takers += [self.pulse.note, self.pipeline.put]
        self._outlets.arrival_takers += [self.shadows.arrival, self.reports.arrival]
        await self._open_gateway()

    def _make_gateway(self) -> Gateway | RemoteGateway:
        tls, durable_file = TlsFiles(*self.certificate, self.authority.ca_file), self.folder / "gateway.db"
        with_these = (self.settings, self.clock, self.arns, tls, durable_file, self._outlets)
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

    def _open_pipeline(self) -> None:
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
        self.pipeline.supply(self.gateway.demand)

    def _follow_fleet(self) -> None:
        follower = FleetFollower(self.database, self.clock, self.view, self.gateway, self.pipeline)
        Feed(self.database).subscribe(follower.take)
        follower.catch_up()
        self.isolation = follower.isolation

    async def _open_response(self) -> None:
        """Device reports in; mitigation, and the metrics that profiles export, out."""
        publish, paced = self.gateway.command, self.settings.mqtt_limits == "aws"
        permits = IotRoles(self.authorizer, self.clock).permit
        self.reports = ReportDesk(self.database, self.clock, self.view, publish, self.pipeline.put, paced)
        self.exporter = Exporter(self.database, self.view, self.arns, publish, permits)
        self.mitigator = Mitigator(self.database, self.arns, self.clock, permits)
        for room in (self.reports, self.exporter, self.mitigator):
            await self._open_room(room)
        self.pipeline.tell(self.exporter.take)

    async def _open_gateway(self) -> None:
        """The last: from here on devices come in."""
        try:
            await asyncio.to_thread(self.gateway.start)
        except CannotListen as error:
            raise CannotStart(f"{error}; choose others with --mqtt-host, --mqtt-port or --mqtt-plain-port") from None
        except CannotServe as error:
            raise CannotStart(str(error)) from None
        self._closing.push_async_callback(asyncio.to_thread, self.gateway.stop)

    async def _open_room(self, room: Room) -> None:
        await room.start()
        self._closing.push_async_callback(room.stop)

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
        return make_door(self.rooms, pages(self.rooms))

    @property
    def api_ca_file(self) -> Path | None:
        """What clients of the HTTP port must trust beyond what their system does."""
        return self.authority.ca_file if self.settings.api_tls and not self.settings.api_certificate else None


def _names(settings: Settings) -> list[str]:
    """What the broker's certificate is valid for: loopback, the machine's names, and what the settings add."""
    names = ["localhost", "127.0.0.1", "::1", socket.gethostname(), socket.getfqdn(), *settings.mqtt_name]
    names += [host for host in (settings.host, settings.mqtt_host) if host not in ("0.0.0.0", "::", "")]  # noqa: S104
    return list(dict.fromkeys(names))
