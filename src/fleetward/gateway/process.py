"""The gateway as a process of its own: `python -m fleetward.gateway.process SOCKET COUNTER`, two inherited descriptors.

It lives as long as the house at the other end of the socket, which alone tells it to stop.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from select import POLLIN, poll
from typing import Any

import structlog

from fleetward import logs
from fleetward.clock import now_millis
from fleetward.gateway.doors import Arrival, Inlets, Presence, Refused, Reply
from fleetward.gateway.frames import LENGTH, Answer, Ask, Begin, Failure, Frames, Ready, Steps, Stop, unpack
from fleetward.gateway.frames import frame as framed
from fleetward.gateway.service import Gateway
from fleetward.gateway.starting import TlsFiles
from fleetward.gateway.step_counter import StepCounter
from fleetward.meter.batch import Batch
from fleetward.model import Demand, Millis
from fleetward.records import Record
from fleetward.settings import Settings

log = structlog.get_logger()

READ_BYTES = 256 * 1024
WAITING_BYTES = 64 * 1024 * 1024
"""While the house is so far behind, what devices send to it (`Arrival`) is dropped; batches and presences never are."""

LAST_WORDS_SECONDS = 2.0
PR_SET_PDEATHSIG = 1


class HouseGone(ConnectionError):
    """The house's end of the socket is closed."""


class Line:
    """The gateway's end of the socket, and the `Outlets`: to be used on the gateway's loop once it is attached."""

    def __init__(self, house: socket.socket, counter: StepCounter) -> None:
        self.over = threading.Event()
        """The house said stop, or is gone."""
        self._house = house
        self._counter = counter
        self._frames = Frames()
        self._taken = 0
        self._outgoing = bytearray()
        self._flushing = False
        self._dropped = 0

    # --- before the loop runs: one message after the other ------------------------------------------------------------

    def receive(self) -> Any:
        """The next message, which must come."""
        (length,) = LENGTH.unpack(self._exactly(LENGTH.size))
        return unpack(self._exactly(length))

    def _exactly(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size:
            data = self._house.recv(size - len(received), socket.MSG_WAITALL)
            if not data:
                raise HouseGone("the house is gone")
            received += data
        return bytes(received)

    def fleet(self) -> Iterator[Sequence[Record]]:
        """The fleet as it was at the start, as it arrives."""
        while records := self.receive().records:
            yield records

    # --- in, on the loop ----------------------------------------------------------------------------------------------

    def attach(self, gateway: Inlets) -> None:
        """Takes messages for `gateway` from now on, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._take: dict[type, Callable[[Any], None]] = {
            Steps: partial(self._take_steps, gateway),
            Demand: gateway.demand,
            Ask: partial(self._ask, gateway),
            Stop: lambda _: self.over.set(),
        }
        self._house.setblocking(False)
        self._loop.add_reader(self._house, self._read)

    def is_behind(self) -> bool:
        """Whether the house has made changes that were not taken yet."""
        return self._taken != self._counter.read()

    def catch_up(self) -> None:
        """Takes every change that the house has made until now; raises HouseGone when that is not to be had."""
        due = self._counter.read()
        readable = poll()
        readable.register(self._house, POLLIN)
        while self._taken < due:
            readable.poll()
            if not self._read():
                raise HouseGone("the house is gone")

    def _read(self) -> bool:
        """Takes what has arrived; False when nothing ever will again."""
        try:
            data = self._house.recv(READ_BYTES)
        except BlockingIOError:
            return True
        except ConnectionError:
            data = b""
        if not data:
            self._loop.remove_reader(self._house)
            self.over.set()
            return False
        try:
            for message in self._frames.feed(data):
                self._take[type(message)](message)
        except Exception:  # from here on the two would not agree on the fleet; another process gets it anew
            log.exception("mqtt.line_broken")
            os._exit(1)
        return True

    def _take_steps(self, gateway: Inlets, steps: Steps) -> None:
        self._taken += 1
        gateway.apply(steps.changes)

    def _ask(self, gateway: Inlets, ask: Ask) -> None:
        asyncio.ensure_future(gateway.command(ask.command)).add_done_callback(partial(self._answer, ask.number))

    def _answer(self, number: int, done: asyncio.Future[Reply]) -> None:
        error = done.exception()
        self.send(Answer(number, done.result()) if error is None else Answer(number, failure=Failure.of(error)))

    # --- out, on the loop ---------------------------------------------------------------------------------------------

    def batch(self, batch: Batch) -> None:
        self.send(batch)

    def presence(self, presence: Presence) -> None:
        self.send(presence)

    def arrival(self, arrival: Arrival) -> None:
        self._send_if_room(arrival)

    def refused(self, refused: Refused) -> None:
        self._send_if_room(refused)

    def _send_if_room(self, message: Arrival | Refused) -> None:
        if len(self._outgoing) < WAITING_BYTES:
            self.send(message)
            return
        self._dropped += 1
        if self._dropped.bit_count() == 1:  # 1, 2, 4, 8…
            log.warning("mqtt.house_is_slow", dropped=self._dropped)

    def send(self, message: object) -> None:
        """Sends at the end of this turn of the loop, and never waits for the house."""
        self._outgoing += framed(message)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        try:
            while self._outgoing:
                del self._outgoing[: self._house.send(self._outgoing)]
        except BlockingIOError:
            self._loop.add_writer(self._house, self._flush_more)
        except ConnectionError:
            self._outgoing.clear()
        else:
            self._flushing = False

    def _flush_more(self) -> None:
        self._loop.remove_writer(self._house)
        self._flush()

    # --- after the loop -----------------------------------------------------------------------------------------------

    def close(self, *last: object) -> None:
        """Sends what waits and these messages, and hangs up."""
        for message in last:
            self._outgoing += framed(message)
        self._house.settimeout(LAST_WORDS_SECONDS)
        try:
            self._house.sendall(self._outgoing)
        except OSError:
            log.warning("mqtt.house_gone", unsent_bytes=len(self._outgoing))
        self._house.close()


class LinkedGateway(Gateway):
    """A gateway whose house is at the other end of a line."""

    def __init__(self, line: Line, begin: Begin) -> None:
        super().__init__(
            settings=Settings.model_construct(**begin.settings),
            clock=now_millis,
            arns=begin.arns,
            tls=TlsFiles(*map(Path, begin.tls)),
            durable_file=Path(begin.durable_file) if begin.durable_file else None,
            outlets=line,
        )
        self._line = line
        self.demand(begin.demand)

    def now(self) -> Millis:
        """The time; a change that the house has made bites before the next packet."""
        if self._line.is_behind():
            self._line.catch_up()
        return super().now()

    async def _main(self) -> None:
        self._take_fleet(self._line.fleet())
        gc.freeze()  # the fleet stays: looking through it for garbage would halt all packets
        gc.enable()
        self._line.attach(self)
        asyncio.get_running_loop().call_soon(self._line.send, Ready(self.port))
        await super()._main()


def run(line: Line) -> int:
    """Serves until the house says stop; returns the exit code."""
    begin: Begin = line.receive()
    logs.configure(begin.settings["log_level"])
    gateway = LinkedGateway(line, begin)
    try:
        gateway.start()
    except Exception as error:
        line.close(Failure.of(error))
        return 1
    line.over.wait()
    gateway.stop()
    line.close()
    return 0


def _die_with_the_house() -> None:
    """However it ends. Signals to the whole group mean the house, which stops the gateway in its turn."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    """The process."""
    _die_with_the_house()
    gc.disable()  # until the fleet is there
    house, counter = (int(argument) for argument in sys.argv[1:])
    try:
        return run(Line(socket.socket(fileno=house), StepCounter(counter)))
    except HouseGone:
        return 1


if __name__ == "__main__":
    sys.exit(main())
