"""The gateway's thread: its own event loop, the four doors, and the tick."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

import structlog

from fleetward.arn import Arns
from fleetward.gateway.broker import Broker
from fleetward.gateway.channels import plain_channels
from fleetward.gateway.commands import carry_out
from fleetward.gateway.doors import Clock, Command, LoadCertificate, Outlets, Reply
from fleetward.gateway.durable import Durable, DurableFile, NullDurable
from fleetward.gateway.guard import Guard
from fleetward.gateway.limits import LIMITS
from fleetward.gateway.listener import BACKLOG, Entrance, Listener, allow_open_files
from fleetward.gateway.starting import CannotListen, GatewayStopped, TlsFiles
from fleetward.gateway.tls import Tls, server_context
from fleetward.gateway.trust import Trust
from fleetward.meter.batch import TICK_MILLIS
from fleetward.meter.meter import Meter
from fleetward.model import Demand, Millis
from fleetward.records import Change, Record
from fleetward.registry.view import FleetView
from fleetward.settings import Settings

log = structlog.get_logger()

PLAIN_HOST = "127.0.0.1"
GOODBYE_SECONDS = 1.0
STOP_SECONDS = 3.0


class Gateway:
    """The MQTT gateway on a thread of its own: the house's `Inlets`; `outlets` are called on that thread. Starts once.

    `durable_file` keeps sessions, queued and retained messages; None keeps them in memory only. What `load` is
    given before the start is the fleet; `apply` may be called from then on.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        arns: Arns,
        tls: TlsFiles,
        durable_file: Path | None,
        outlets: Outlets,
    ) -> None:
        self.port = settings.mqtt_port
        self._settings = settings
        self._clock = clock
        self._arns = arns
        self._tls = tls
        self._durable_file = durable_file
        self._outlets = outlets
        self._fleet: list[Sequence[Record]] = []
        self._steps: deque[Sequence[Change]] = deque()
        self._durable: Durable = NullDurable()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._demand = Demand()
        self._awaited: dict[asyncio.Future[Reply], asyncio.AbstractEventLoop] = {}

    # --- starting and stopping, from the house's thread ---------------------------------------------------------------

    def load(self, records: Sequence[Record]) -> None:
        """Takes some of the fleet as it stands."""
        self._fleet.append(records)

    def start(self) -> None:
        """Binds the port and serves. Raises CannotListen, or DurableFileError, and then nothing was started."""
        self._last = self._clock()
        self._tick_end = _next_boundary(self._last)
        self._meter = Meter(f"local-{token_hex(4)}", self._last)  # each run counts its batches anew
        self._context = server_context(self._tls.certificate, self._tls.key, self._tls.authority)
        self._trust = Trust(self._context)
        entrances = self._entrances()
        try:
            if self._durable_file is not None:
                self._durable = DurableFile.open(self._durable_file)
            self._guard = self._build()
        except BaseException:
            for entrance in entrances:
                entrance.socket.close()
            self._durable.close()
            raise
        allow_open_files(self._settings.mqtt_max_connections)
        self.port = entrances[0].socket.getsockname()[1]
        self._listener = Listener(entrances, self._guard, self.now, self._settings.mqtt_max_connections)
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._durable.close()
            raise self._failure

    def stop(self) -> None:
        """Says goodbye to all clients, keeps their sessions on disk, and returns within about three seconds."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None:
            return
        with suppress(RuntimeError):  # it broke down before
            self._loop.call_soon_threadsafe(self._stopping.set)
        thread.join(STOP_SECONDS)
        for future, house in list(self._awaited.items()):
            self._reply(future, house, None, GatewayStopped("the gateway stopped"))
        self._durable.close()

    def _entrances(self) -> list[Entrance]:
        """The TLS port first; the plain one, if there is one, always and only on loopback."""
        settings = self._settings
        entrances = [Entrance(_bind(settings.mqtt_host, settings.mqtt_port), partial(Tls, self._context))]
        if settings.mqtt_plain_port:
            new_channel = plain_channels(settings.mqtt_plain_certificate)
            try:
                plain = _bind(PLAIN_HOST, settings.mqtt_plain_port)
            except CannotListen:
                entrances[0].socket.close()
                raise
            entrances.append(Entrance(plain, new_channel, loopback_only=True))
        return entrances

    def _build(self) -> Guard:
        settings = self._settings
        limits = LIMITS[settings.mqtt_limits]
        broker = Broker(limits, self._durable)
        broker.restore(self._durable.load(), self._last)
        return Guard(
            FleetView(self._arns),
            self._arns,
            self._meter,
            broker,
            limits,
            self._outlets,
            quarantine_binds_certificate=settings.quarantine_binds_certificate,
            connect_refusal_code=settings.mqtt_connect_refusal_code,
            first_session=self._last,
        )

    # --- doors 3 and 4: in, from the house's thread -------------------------------------------------------------------

    def apply(self, changes: Sequence[Change]) -> None:
        """Hands over a step of the change feed; see `Inlets`. Before the start it waits for it."""
        self._steps.append(changes)
        if self._loop is not None:
            with suppress(RuntimeError):  # stopped
                self._loop.call_soon_threadsafe(self._apply)

    def demand(self, demand: Demand) -> None:
        """Says what to count beyond the basic metrics, and returns at once; see `Inlets`."""
        self._demand = demand
        if self._loop is not None:
            with suppress(RuntimeError):  # stopped
                self._loop.call_soon_threadsafe(self._meet)

    def command(self, command: Command) -> asyncio.Future[Reply]:
        """Carries out a command; the reply, or what went wrong, arrives on the caller's running loop."""
        house = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = house.create_future()
        if self._loop is None or self._thread is None:
            future.set_exception(GatewayStopped("the gateway is not running"))
            return future
        self._awaited[future] = house
        future.add_done_callback(lambda done: self._awaited.pop(done, None))
        with suppress(RuntimeError):  # it stops this very moment, and `stop` replies
            self._loop.call_soon_threadsafe(self._carry_out, command, house, future)
        return future

    # --- on the gateway's own thread ----------------------------------------------------------------------------------

    def now(self) -> Millis:
        """The time, which never goes back; asked at the start of whatever happens here.

        A tick that ended is handed over before anything later is counted, and a change of the fleet that the house has
        made bites before the next packet, although the loop may see that packet first.
        """
        if self._steps:
            self._take_steps()
        now = self._clock()
        if now <= self._last:
            return self._last
        self._last = now
        if now >= self._tick_end:
            end = now // TICK_MILLIS * TICK_MILLIS
            self._tick_end = end + TICK_MILLIS
            self._hand_over(end)
        return now

    def _hand_over(self, end: Millis) -> None:
        batch = self._meter.flush(end)
        try:
            self._outlets.batch(batch)
        except Exception:  # the house's trouble; no connection is to pay for it
            log.exception("mqtt.batch_lost", sequence=batch.sequence)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(self._main())
        except BaseException as error:
            log.exception("mqtt.gateway_failed")
            self._failure = error
        finally:
            self._started.set()

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_report)
        self._stopping = asyncio.Event()
        self._loop = loop
        self._meet()
        self._take_fleet(self._fleet)
        self._fleet.clear()
        self._apply()
        serving = asyncio.create_task(self._listener.serve())
        self._on_tick()
        self._started.set()
        await self._stopping.wait()
        serving.cancel()
        self._guard.shut_down(self.now())
        await self._listener.close(GOODBYE_SECONDS)
        self.now()
        self._hand_over(self._tick_end)

    def _on_tick(self) -> None:
        now = self.now()
        delay = max(0.01, (self._tick_end - now) / 1000)
        asyncio.get_running_loop().call_later(delay, self._on_tick)
        try:
            self._guard.tick(now)
        except Exception:
            log.exception("mqtt.tick_failed")

    def _meet(self) -> None:
        self.now()  # hands over what was counted by the demand before
        self._meter.meet(self._demand)

    def _take_fleet(self, fleet: Iterable[Sequence[Record]]) -> None:
        for records in fleet:
            self._guard.view.load(records)
            self._trust.load(records)

    def _apply(self) -> None:
        self._take_steps()
        self._sweep()

    def _take_steps(self) -> None:
        while self._steps:
            for change in self._steps.popleft():
                try:
                    self._guard.apply(change)
                    self._trust.apply(change)
                except Exception:
                    log.exception("mqtt.change_failed", kind=change.kind, key=change.key)

    def _sweep(self) -> None:
        try:
            more = self._guard.sweep(self.now())
        except Exception:
            log.exception("mqtt.sweep_failed")
            more = True
        if more:
            asyncio.get_running_loop().call_soon(self._sweep)

    def _carry_out(self, command: Command, house: asyncio.AbstractEventLoop, future: asyncio.Future[Reply]) -> None:
        reply: Reply = None
        failure: Exception | None = None
        try:
            if isinstance(command, LoadCertificate):
                self._context.load_cert_chain(self._tls.certificate, self._tls.key)
            else:
                reply = carry_out(self._guard, command, self.now())
        except Exception as error:
            failure = error
        self._reply(future, house, reply, failure)

    def _reply(
        self,
        future: asyncio.Future[Reply],
        house: asyncio.AbstractEventLoop,
        reply: Reply,
        failure: Exception | None,
    ) -> None:
        with suppress(RuntimeError):  # the house is gone
            house.call_soon_threadsafe(_resolve, future, reply, failure)


def _resolve(future: asyncio.Future[Reply], reply: Reply, failure: Exception | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(reply)
    else:
        future.set_exception(failure)


def _next_boundary(now: Millis) -> Millis:
    return now // TICK_MILLIS * TICK_MILLIS + TICK_MILLIS


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotListen(f"cannot listen for MQTT on {host} port {port}: {error.strerror or error}") from error
    listening.setblocking(False)
    return listening


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    log.warning("mqtt.loop", message=context.get("message"), error=repr(context.get("exception")))
