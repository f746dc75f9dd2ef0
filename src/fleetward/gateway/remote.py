"""The house's side of a gateway that is a process of its own: the same `Inlets`, and a new process when one breaks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import structlog

from fleetward.arn import Arns
from fleetward.gateway.child import Child
from fleetward.gateway.doors import Arrival, Clock, Command, Outlets, Presence, Refused, Reply
from fleetward.gateway.frames import Answer, Ask, Begin, Failure, Fleet, Ready, Steps, Stop, parts
from fleetward.gateway.starting import CannotListen, CannotServe, DurableFileError, GatewayStopped, TlsFiles
from fleetward.meter.batch import Batch
from fleetward.model import Demand
from fleetward.records import Change, Record
from fleetward.settings import Settings

log = structlog.get_logger()

STOP_SECONDS = 4.0
SILENT_SECONDS = 30.0
"""A gateway sends a batch every tick; one that says nothing for so long hangs, and is replaced."""

PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0)
"""Seconds before each new process that follows another quickly; then it is given up."""

QUICK_SECONDS = 30.0
"""A process that lasted longer was well."""

BROKEN = "SERVER_ERROR"
"""AWS's disconnect reason of the sessions that a broken process had."""

ERRORS: dict[str, type[Exception]] = {kind.__name__: kind for kind in (CannotListen, DurableFileError, ValueError)}


class RemoteGateway:
    """A gateway in a process of its own: the house's `Inlets`; `outlets` are called on one thread. Starts once.

    `first` was launched for it. What `load` is given before the start is the fleet; `apply` may be called from then on.
    `fleet` reads it anew. `give_up` is told, on any thread, why there is no gateway any more.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        arns: Arns,
        tls: TlsFiles,
        durable_file: Path | None,
        outlets: Outlets,
        fleet: Callable[[], Iterable[Sequence[Record]]],
        first: Child,
        give_up: Callable[[str], None],
    ) -> None:
        self.port = settings.mqtt_port
        self._settings = known_to_gateway(settings)
        self._clock = clock
        self._arns = arns
        self._tls = tls
        self._durable_file = durable_file
        self._outlets = outlets
        self._fleet = fleet
        self._child = first
        self._give_up = give_up
        self._demand = Demand()
        self._lock = threading.Lock()
        self._serving = False
        self._held: list[Sequence[Change]] = []
        self._steps = 0
        self._numbers = count()
        self._awaited: dict[int, tuple[asyncio.Future[Reply], asyncio.AbstractEventLoop]] = {}
        self._sessions: dict[int, Presence] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._take: dict[type, Callable[[Any], None]] = {
            Batch: outlets.batch,
            Arrival: outlets.arrival,
            Presence: self._presence,
            Refused: outlets.refused,
            Answer: self._answer,
        }
        self._begin()

    # --- starting and stopping ----------------------------------------------------------------------------------------

    def load(self, records: Sequence[Record]) -> None:
        """Sends some of the fleet on ahead, and never waits: the process takes it while the house reads on."""
        self._child.send(Fleet(records))

    def start(self) -> None:
        """Has the process bind the port and serve. Raises CannotServe, and then nothing was started."""
        self._wait()
        self._thread = threading.Thread(target=self._watch, name="gateway", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Has the process say goodbye to all clients and keep their sessions; returns within about four seconds."""
        thread, self._thread = self._thread, None
        with self._lock:
            self._stopping.set()
            if self._serving:
                self._serving = False
                self._child.send(Stop())
            else:
                self._child.kill()
        if thread is not None:
            thread.join(STOP_SECONDS)
            if thread.is_alive():
                log.error("mqtt.gateway_does_not_stop", pid=self._child.pid)
                self._child.kill()
                thread.join()
        self._child.close()
        self._fail_commands()

    def _begin(self) -> None:
        tls, durable = self._tls, self._durable_file
        files = str(tls.certificate), str(tls.key), str(tls.authority)
        self._child.send(Begin(self._settings, self._arns, files, str(durable) if durable else None, self._demand))

    def _wait(self) -> None:
        """Says that the fleet is complete and waits until the process serves, taking what it sends meanwhile."""
        self._child.send(Fleet(()))
        self._open()
        for message in self._child.receive():
            match message:
                case Ready(port):
                    self.port = self._settings["mqtt_port"] = port  # also of the process that may replace this one
                    return
                case Failure():
                    raise _error(message)
                case _:
                    self._handle(message)
        raise CannotServe(f"the gateway process ended with exit code {self._child.close()} (see the log)")

    def _open(self) -> None:
        """What was held back goes to the process before it lets anybody in."""
        with self._lock:
            if self._stopping.is_set():
                return
            self._serving, self._steps = True, 0
            for changes in self._held:
                self._send_steps(changes)
            self._held.clear()
            self._child.send(self._demand)

    # --- doors 3 and 4 ------------------------------------------------------------------------------------------------

    def apply(self, changes: Sequence[Change]) -> None:
        """Hands over a step of the change feed; see `Inlets`. When this returns it bites before the next packet."""
        with self._lock:
            if self._serving:
                self._send_steps(changes)
            else:
                self._held.append(changes)

    def _send_steps(self, changes: Sequence[Change]) -> None:
        for part in parts(changes):
            self._child.send(Steps(part))
            self._steps += 1
        self._child.counter.set(self._steps)

    def demand(self, demand: Demand) -> None:
        """Says what to count beyond the basic metrics, and returns at once; see `Inlets`."""
        with self._lock:
            self._demand = demand
            if self._serving:
                self._child.send(demand)

    def command(self, command: Command) -> asyncio.Future[Reply]:
        """Has a command carried out; the reply, or what went wrong, arrives on the caller's running loop."""
        house = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = house.create_future()
        with self._lock:
            if not self._serving:
                future.set_exception(GatewayStopped("the gateway is not running"))
                return future
            number = next(self._numbers)
            self._awaited[number] = future, house
            self._child.send(Ask(number, command))
        return future

    def _answer(self, answer: Answer) -> None:
        awaited = self._awaited.pop(answer.number, None)
        if awaited is not None:
            _resolve(*awaited, answer.reply, _error(answer.failure) if answer.failure else None)

    def _fail_commands(self) -> None:
        with self._lock:
            awaited, self._awaited = self._awaited, {}
        for future, house in awaited.values():
            _resolve(future, house, None, GatewayStopped("the gateway stopped"))

    # --- doors 1 and 2, and the process's life: on the thread ---------------------------------------------------------

    def _watch(self) -> None:
        failures = 0
        while True:
            began = monotonic()
            self._read_on()
            if self._stopping.is_set():
                return
            self._bury()
            failures = 0 if monotonic() - began > QUICK_SECONDS else failures
            while failures < len(PAUSES):
                if self._stopping.wait(PAUSES[failures]):
                    return
                failures += 1
                if self._is_replaced():
                    break
            else:
                self._give_up(f"the gateway process broke down {failures} times in a row (see the log)")
                return

    def _read_on(self) -> None:
        try:
            for message in self._child.receive(SILENT_SECONDS):
                self._handle(message)
        except Exception:
            log.exception("mqtt.gateway_line_broken")
            self._child.kill()

    def _bury(self) -> None:
        """The process broke down: with it went its connections, and what it had counted since its last batch."""
        with self._lock:
            self._serving = False
        self._fail_commands()
        log.error("mqtt.gateway_died", exit_code=self._child.close(), sessions=len(self._sessions))
        now = self._clock()
        for presence in list(self._sessions.values()):
            self._handle(replace(presence, connected=False, time=now, reason=BROKEN))

    def _is_replaced(self) -> bool:
        """Starts another process with the fleet as it is now; whether that serves."""
        try:
            with self._lock:
                if self._stopping.is_set():
                    return False
                self._held.clear()  # the fleet that is about to be read holds it
                self._child = Child()
            self._begin()
            for records in self._fleet():
                if self._stopping.is_set():
                    return False
                self.load(records)
            self._wait()
        except Exception as error:
            with self._lock:
                self._serving = False
            self._child.close()
            self._fail_commands()
            log.error("mqtt.gateway_not_replaced", error=str(error))
            return False
        log.info("mqtt.gateway_replaced", pid=self._child.pid)
        return True

    def _handle(self, message: Any) -> None:
        try:
            self._take[type(message)](message)
        except Exception:  # the house's trouble; what follows is to be taken all the same
            log.exception("mqtt.message_lost", kind=type(message).__name__)

    def _presence(self, presence: Presence) -> None:
        if presence.connected:
            self._sessions[presence.session] = presence
        else:
            self._sessions.pop(presence.session, None)
        self._outlets.presence(presence)


def known_to_gateway(settings: Settings) -> dict[str, Any]:
    """The settings that the process facing the network is told: no secret is among them."""
    names = [name for name in type(settings).model_fields if name.startswith("mqtt_")]
    return {name: getattr(settings, name) for name in (*names, "quarantine_binds_certificate", "log_level")}


def _error(failure: Failure) -> Exception:
    kind = ERRORS.get(failure.error)
    return kind(failure.text) if kind else CannotServe(f"{failure.error}: {failure.text}")


def _resolve(
    future: asyncio.Future[Reply], house: asyncio.AbstractEventLoop, reply: Reply, error: Exception | None
) -> None:
    def resolve() -> None:
        if future.done():
            return
        if error is None:
            future.set_result(reply)
        else:
            future.set_exception(error)

    with suppress(RuntimeError):  # the house is gone
        house.call_soon_threadsafe(resolve)
