"""The wiring: the only file that knows every room.

device → gateway → meter → detect → alarm → notify → respond → (registry change) → gateway cuts the device off
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import structlog
import uvicorn
import uvloop

from fleetward import logs
from fleetward.api import access
from fleetward.api.call import Rooms
from fleetward.api.door import make_door
from fleetward.api.keys import KeyRing
from fleetward.api.serialise import Response
from fleetward.arn import Arns
from fleetward.client import SERVER_FILE, ServerInfo
from fleetward.functions.service import Functions
from fleetward.gateway.doors import Arrival, Clock, Presence
from fleetward.gateway.service import CannotListen, Gateway, TlsFiles
from fleetward.meter.batch import Batch
from fleetward.model import Change, Millis, RecordKind
from fleetward.notify.service import Notifier
from fleetward.notify.signature import Signer
from fleetward.pipeline import Pipeline, enrolments, releases
from fleetward.registry.authority import Authority
from fleetward.registry.feed import Feed
from fleetward.registry.view import FleetView
from fleetward.respond import isolations
from fleetward.respond.isolation import IsolationWatch, Shift
from fleetward.settings import Settings
from fleetward.store.database import Database, sqlite_url
from fleetward.store.history import History
from fleetward.store.migrate import NewerSchema, migrate

log = structlog.get_logger()

SESSION_SECONDS = 3600
"""Life of the keys that a function gets for its role."""


class CannotStart(Exception):
    """Why the server cannot start, in words for whoever started it."""


def now_millis() -> Millis:
    return time.time_ns() // 1_000_000


class Fleetward:
    """One server: built by its constructor, running between `start` and `stop`."""

    def __init__(self, settings: Settings, clock: Clock = now_millis) -> None:
        self.settings = settings
        self.clock = clock
        self.arns = Arns(settings.region, settings.account_id)
        self.folder = settings.data_dir.absolute()
        self._closing = contextlib.AsyncExitStack()
        self.api_port = 0

    async def start(self) -> None:
        """Opens everything in the order of dependence; raises CannotStart, and leaves nothing running, if it cannot."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops everything in the opposite order; nothing that was acknowledged is lost."""
        await self._closing.aclose()

    async def _start(self) -> None:
        self._take_folder()
        self._open_store()
        socket_ = self._bind()
        self._open_rooms()
        await self._watch_fleet()
        await self.functions.start()
        self._closing.push_async_callback(self.functions.stop)
        await self.notifier.start()
        self._closing.push_async_callback(self.notifier.stop)
        await self._serve(socket_)
        self.server_info().save(self.folder)
        self._closing.callback((self.folder / SERVER_FILE).unlink, missing_ok=True)

    # --- the folder and the store -------------------------------------------------------------------------------------

    def _take_folder(self) -> None:
        if bool(self.settings.api_certificate) != bool(self.settings.api_key):
            raise CannotStart("api_certificate and api_key must be set together")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self._closing.callback(_lock(self.folder / "lock").close)
        (self.folder / SERVER_FILE).unlink(missing_ok=True)

    def _open_store(self) -> None:
        self.database = Database(self.settings.database_url or sqlite_url(self.folder / "fleetward.db"))
        self._closing.callback(self.database.close)
        try:
            migrate(self.database)
        except NewerSchema as error:
            raise CannotStart(str(error)) from None
        with self.database.transaction(self.clock()) as tx:
            try:
                self.root_key = access.ensure_root_key(
                    tx, self.arns, self.settings.root_access_key_id, self.settings.root_secret_access_key
                )
            except ValueError as error:
                raise CannotStart(str(error)) from None

    def _bind(self) -> socket.socket:
        """The HTTP port, taken before anything else runs, so that every room knows its number."""
        try:
            made = socket.create_server((self.settings.host, self.settings.api_port), backlog=512)
        except OSError as error:
            raise CannotStart(
                f"HTTP port {self.settings.host}:{self.settings.api_port} cannot be used: {error.strerror}; "
                "choose another with --api-port"
            ) from None
        self._closing.callback(made.close)
        self.api_port = made.getsockname()[1]
        return made

    @property
    def endpoint_url(self) -> str:
        host = "127.0.0.1" if self.settings.host in ("0.0.0.0", "") else self.settings.host  # noqa: S104
        scheme = "https" if self.settings.api_tls else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.api_port}"

    @property
    def _public_url(self) -> str:
        return (self.settings.public_url or self.endpoint_url).rstrip("/")

    # --- the rooms ----------------------------------------------------------------------------------------------------

    def _open_rooms(self) -> None:
        self.authority = Authority.open(self.folder / "ca", self.clock())
        self._certificate = self.authority.issue_server(_names(self.settings), self.clock())
        self.history = History.open(self.folder / "history.duckdb")
        self._closing.callback(self.history.close)
        self.functions = Functions(
            database=self.database,
            settings=self.settings,
            clock=self.clock,
            arns=self.arns,
            endpoint_url=lambda: self.endpoint_url,
            issue_keys=self._issue_keys,
            ca_bundle=self._api_ca_file,
        )
        self.notifier = Notifier(
            database=self.database,
            settings=self.settings,
            clock=self.clock,
            arns=self.arns,
            base_url=lambda: self._public_url,
            enqueue=self.functions.enqueue,
            may_invoke=self.functions.may_invoke,
            function_exists=self.functions.exists,
            signer=Signer.load_or_create(self.folder / "sns", self.clock()),
        )

    def _issue_keys(self, role_arn: str, session_name: str) -> tuple[str, str, str, Millis]:
        with self.database.transaction(self.clock()) as tx:
            keys = access.issue_session(tx, role_arn, session_name, SESSION_SECONDS)
        return keys.access_key_id, keys.secret_access_key, keys.session_token, keys.expires_at

    # --- gateway → meter → detect, and back through the registry ------------------------------------------------------

    async def _watch_fleet(self) -> None:
        self.view = FleetView(self.arns)
        fleet = Feed(self.database).subscribe(self._fleet_changed)
        for change in fleet:
            self.view.apply(change)
        for policy in sorted(self.view.unreadable):
            log.error("policy_unreadable", policy=policy, effect="it denies everything until it is replaced")
        self.pipeline = Pipeline(
            self.settings, self.clock, self.database, self.history, self.folder / "windows", self.notifier.publish
        )
        self.pipeline.start(self.view)
        self._closing.callback(self.pipeline.stop)
        self.isolation = IsolationWatch(self.view)
        self.gateway = Gateway(
            settings=self.settings,
            clock=self.clock,
            arns=self.arns,
            tls=TlsFiles(*self._certificate, self.authority.ca_file),
            durable_file=self.folder / "gateway.db",
            outlets=self,
            changes=fleet,
        )
        self._carry_through_isolations()
        try:
            await asyncio.to_thread(self.gateway.start)
        except CannotListen as error:
            raise CannotStart(f"{error}; choose another with --mqtt-port") from None
        self._closing.push_async_callback(asyncio.to_thread, self.gateway.stop)

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
        """Door 1, on the gateway's thread."""
        self.pipeline.put(batch)

    def arrival(self, arrival: Arrival) -> None:
        """Door 2, on the gateway's thread: nothing behind the reserved topics answers yet."""
        log.debug("reserved_topic", topic=arrival.topic, device=arrival.device)

    def presence(self, presence: Presence) -> None:
        """Door 2, on the gateway's thread."""
        log.debug("presence", client_id=presence.client_id, connected=presence.connected, reason=presence.reason)

    # --- the HTTP port ------------------------------------------------------------------------------------------------

    async def _serve(self, socket_: socket.socket) -> None:
        rooms = Rooms(
            database=self.database,
            arns=self.arns,
            clock=self.clock,
            settings=self.settings,
            keys=KeyRing(self.database),
            authority=self.authority,
            view=self.view,
            gateway=self.gateway,
            history=self.history,
            notifier=self.notifier,
            functions=self.functions,
        )
        pages = {self.notifier.certificate_path: self._signing_certificate}
        certificate, key = self._api_certificate()
        config = uvicorn.Config(
            make_door(rooms, pages),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        self._http = _Http(config)
        serving = asyncio.create_task(self._http.serve(sockets=[socket_]))
        self._closing.push_async_callback(self._stop_serving, serving)
        while not self._http.started:
            if serving.done():
                await serving
            await asyncio.sleep(0.01)

    def _api_certificate(self) -> tuple[Path | None, Path | None]:
        """Certificate and key of the HTTP port: those given, else the broker's, which the own CA vouches for."""
        if not self.settings.api_tls:
            return None, None
        if self.settings.api_certificate:
            return self.settings.api_certificate, self.settings.api_key
        return self._certificate

    @property
    def _api_ca_file(self) -> Path | None:
        """What clients of the HTTP port must trust beyond what their system does."""
        return self.authority.ca_file if self.settings.api_tls and not self.settings.api_certificate else None

    def _signing_certificate(self) -> Response:
        return Response(200, self.notifier.certificate_pem, "application/x-pem-file")

    async def _stop_serving(self, serving: asyncio.Task[None]) -> None:
        self._http.should_exit = True
        try:
            await asyncio.wait_for(serving, 2)
        except TimeoutError:
            self._http.force_exit = True
            serving.cancel()

    def server_info(self) -> ServerInfo:
        """What `fleetward env` and the other commands need to find this server."""
        return ServerInfo(
            pid=os.getpid(),
            endpoint_url=self.endpoint_url,
            mqtt_host="127.0.0.1" if self.settings.mqtt_host in ("0.0.0.0", "") else self.settings.mqtt_host,  # noqa: S104
            mqtt_port=self.gateway.port,
            ca_file=str(self.authority.ca_file),
            api_ca_file=str(self._api_ca_file) if self._api_ca_file else None,
            region=self.settings.region,
            account_id=self.settings.account_id,
            access_key_id=self.root_key.id,
            secret_access_key=self.root_key.secret,
        )


class _Http(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Signals are the whole server's business (see `run`), not the HTTP port's.
        yield


def _lock(path: Path) -> IO[str]:
    """Makes this process the only server on the folder; the system lets go of the lock however the process ends."""
    held = path.open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        raise CannotStart(f"another Fleetward server runs on {path.parent}") from None
    return held


def _names(settings: Settings) -> list[str]:
    """What the broker's certificate is valid for: loopback, the machine's names, and what the settings add."""
    names = ["localhost", "127.0.0.1", "::1", socket.gethostname(), socket.getfqdn(), *settings.mqtt_name]
    names += [host for host in (settings.host, settings.mqtt_host) if host not in ("0.0.0.0", "::", "")]  # noqa: S104
    return list(dict.fromkeys(names))


def run(settings: Settings) -> int:
    """Runs the server until SIGTERM or SIGINT; returns the exit code."""
    os.umask(0o077)  # whatever a library creates in the data folder is nobody else's
    logs.configure(settings.log_level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings))
    except CannotStart as reason:
        print(f"fleetward: cannot start: {reason}")
        return 1
    return 0


async def _run(settings: Settings) -> None:
    told_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told_to_stop.set)
    server = Fleetward(settings)
    await server.start()
    info = server.server_info()
    print(
        f"Fleetward is ready: API {info.endpoint_url}, MQTT {info.mqtt_host}:{info.mqtt_port} (TLS), "
        f"data in {settings.data_dir}",
        flush=True,
    )
    await told_to_stop.wait()
    await server.stop()
