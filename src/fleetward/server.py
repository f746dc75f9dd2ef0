"""The process around the house: one server on one folder, its HTTP port, and how it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import IO

import structlog
import uvicorn
import uvloop

from fleetward import logs
from fleetward.api.call import Rooms
from fleetward.api.connection import HttpConnection
from fleetward.api.door import ASGIApp, Message, Receive, Send
from fleetward.app.house import CannotStart, House
from fleetward.client import LOCK_FILE, SERVER_FILE, ServerInfo, own_command
from fleetward.console.web import Console, is_in_console
from fleetward.gateway.doors import LoadCertificate
from fleetward.registry.renewal import Port, Renewal
from fleetward.settings import Settings
from fleetward.store.tables import metadata

log = structlog.get_logger()

RESET_PATH = "/fleetward/reset"
KEPT_BY_RESET = frozenset({LOCK_FILE, SERVER_FILE, "ca"})
"""What of the data folder a reset leaves: devices and clients go on trusting the same authority."""

EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104


class Server:
    """Runs between `start` and `stop`. `give_up` is told, on any thread, why it cannot go on."""

    def __init__(self, settings: Settings, give_up: Callable[[str], None]) -> None:
        self._settings = settings
        self._give_up = give_up
        self._folder = settings.data_dir.absolute()
        self._closing = contextlib.AsyncExitStack()
        self._house: House | None = None
        self._door: ASGIApp | None = None
        self._open = asyncio.Event()
        self._console = Console(self._rooms)

    async def start(self) -> None:
        """Takes the folder and the port, opens the house and serves; raises CannotStart with nothing left running."""
        try:
            self._take_folder()
            listening = self._bind()
            await self._open_house()
            self._closing.push_async_callback(self._close_house)
            self._closing.push_async_callback(self._console.close)
            await self._serve(listening)
            await self._look_after_certificates()
            self.info().save(self._folder)
            self._closing.callback((self._folder / SERVER_FILE).unlink, missing_ok=True)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops everything in the opposite order of the start."""
        await self._closing.aclose()

    def info(self) -> ServerInfo:
        """What `fleetward env` and the other commands need to find this server."""
        assert self._house is not None
        house, settings = self._house, self._settings
        return ServerInfo(
            pid=os.getpid(),
            endpoint_url=self._endpoint_url,
            mqtt_host="127.0.0.1" if settings.mqtt_host in EVERYWHERE else settings.mqtt_host,
            mqtt_port=house.gateway.port,
            ca_file=str(house.authority.ca_file),
            api_ca_file=str(house.api_ca_file) if house.api_ca_file else None,
            region=settings.region,
            account_id=settings.account_id,
            access_key_id=house.root_key.id,
            secret_access_key=house.root_key.secret,
        )

    def _take_folder(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            lock = _lock(self._folder / LOCK_FILE)
        except OSError as error:
            raise CannotStart(f"the data folder {self._folder} cannot be used: {error.strerror}") from None
        self._closing.callback(lock.close)
        (self._folder / SERVER_FILE).unlink(missing_ok=True)

    async def _open_house(self) -> None:
        house = House(self._settings, self._folder, self._endpoint_url, give_up=self._give_up)
        await house.open()
        self._house, self._door = house, house.door()
        self._open.set()

    async def _close_house(self) -> None:
        house, self._house = self._house, None
        if house is not None:
            await house.close()

    # --- the HTTP port ------------------------------------------------------------------------------------------------

    def _bind(self) -> socket.socket:
        """The HTTP port, taken before anything else runs, so that every room knows its number."""
        settings = self._settings
        try:
            made = socket.create_server((settings.host, settings.api_port), backlog=512)
        except OSError as error:
            raise CannotStart(
                f"HTTP port {settings.host}:{settings.api_port} cannot be used: {error.strerror}; "
                "choose others with --host and --api-port"
            ) from None
        self._closing.callback(made.close)
        host = "127.0.0.1" if settings.host in EVERYWHERE else settings.host
        scheme = "https" if settings.api_tls else "http"
        self._endpoint_url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{made.getsockname()[1]}"
        return made

    async def _serve(self, listening: socket.socket) -> None:
        certificate, key = self._api_certificate()
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            http=HttpConnection,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,  # whoever connects from loopback could claim any address
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        self._http = _Http(config)
        serving = asyncio.create_task(self._http.serve(sockets=[listening]))
        self._closing.push_async_callback(self._stop_serving, serving)
        while not self._http.started:
            if serving.done():
                await serving
            await asyncio.sleep(0.01)

    async def _look_after_certificates(self) -> None:
        """Those of both ports, for as long as the server runs."""
        house = self._house
        assert house is not None
        ports = [Port("mqtt", house.certificate, self._load_mqtt_certificate)]
        certificate, key = self._api_certificate()
        if certificate is not None and key is not None:
            ports.append(Port("https", (certificate, key), self._load_api_certificate))
        renewal = Renewal(house.issue_certificate, ports)
        await renewal.start()
        self._closing.push_async_callback(renewal.stop)

    def _load_mqtt_certificate(self, *_: Path) -> Awaitable[object]:
        assert self._house is not None
        return self._house.gateway.command(LoadCertificate())

    def _load_api_certificate(self, certificate: Path, key: Path) -> None:
        assert self._http.config.ssl is not None
        self._http.config.ssl.load_cert_chain(certificate, key)

    def _api_certificate(self) -> tuple[Path | None, Path | None]:
        """Certificate and key of the HTTP port: those given, else the broker's, which the own CA vouches for."""
        if not self._settings.api_tls:
            return None, None
        given = self._settings.api_certificate, self._settings.api_key
        if (given[0] is None) != (given[1] is None):
            raise CannotStart("api_certificate and api_key must be set together")
        assert self._house is not None
        return self._house.certificate if given[0] is None else given

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        """The house's door, behind the one request that is not the house's: to be emptied."""
        is_reset = scope["type"] == "http" and scope["path"] == RESET_PATH and scope["method"] == "POST"
        if is_reset and self._settings.allow_reset:
            await self._reset()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._open.wait()
        assert self._door is not None
        answer = self._console if is_in_console(scope) else self._door
        await answer(scope, receive, send)

    def _rooms(self) -> Rooms:
        assert self._house is not None
        return self._house.rooms

    async def _stop_serving(self, serving: asyncio.Task[None]) -> None:
        self._http.should_exit = True
        try:
            await asyncio.wait_for(serving, 2)
        except TimeoutError:
            self._http.force_exit = True
            serving.cancel()

    # --- starting afresh ----------------------------------------------------------------------------------------------

    async def _reset(self) -> None:
        """Empties all state but the authority and the root key. Requests that come meanwhile wait until it is done."""
        if not self._open.is_set():
            await self._open.wait()
            return
        self._open.clear()
        house = self._house
        assert house is not None
        # The same port and key again, so that whoever uses them need not be told.
        self._settings = self._settings.model_copy(
            update={
                "mqtt_port": house.gateway.port,
                "root_access_key_id": house.root_key.id,
                "root_secret_access_key": house.root_key.secret,
            }
        )
        if self._settings.database_url:
            metadata.drop_all(house.database.engine)
            with house.database.engine.begin() as connection:
                connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")
        await self._close_house()
        for path in self._folder.iterdir():
            if path.name not in KEPT_BY_RESET:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        await self._open_house()
        log.info("reset")


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


def run(settings: Settings) -> int:
    """Runs the server until SIGTERM or SIGINT, or until it cannot go on; returns the exit code."""
    os.umask(0o077)  # whatever a library creates in the data folder is nobody else's
    logs.configure(settings.log_level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            failure = runner.run(_run(settings))
    except CannotStart as reason:
        print(f"fleetward: cannot start: {reason}")
        return 1
    if failure is not None:
        print(f"fleetward: cannot go on: {failure}")
        return 1
    return 0


async def _run(settings: Settings) -> str | None:
    """Why it ended by itself; None when it was told to."""
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()
    failures: list[str] = []

    def give_up(reason: str) -> None:
        failures.append(reason)
        loop.call_soon_threadsafe(told_to_stop.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop.set)
    server = Server(settings, give_up)
    await server.start()
    info = server.info()
    print(
        f"Fleetward is ready: API {info.endpoint_url}, console {info.console_url}, "
        f"MQTT {info.mqtt_host}:{info.mqtt_port} (TLS), data in {settings.data_dir}. "
        f'To use it: eval "$({own_command()} env --data-dir {settings.data_dir})"',
        flush=True,
    )
    await told_to_stop.wait()
    await server.stop()
    return failures[0] if failures else None
