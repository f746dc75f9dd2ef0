"""The house's hold on a gateway process: its start, the socket to it, its end."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from select import POLLIN, POLLOUT, poll
from typing import Any

from fleetward.gateway.frames import Frames, frame
from fleetward.gateway.step_counter import StepCounter

READ_BYTES = 256 * 1024


class Child:
    """One gateway process, from its launch on. It ends when the house does, however that ends."""

    def __init__(self) -> None:
        """Launches it. To be called on a thread that lives as long as the process is wanted: the system ties the two.

        Nothing of it is to be seen until it is told to begin.
        """
        self.counter = StepCounter.create()
        self._line, theirs = socket.socketpair()
        with theirs:
            descriptors = (theirs.fileno(), self.counter.descriptor)
            command = [sys.executable, "-P", "-m", "fleetward.gateway.process", *map(str, descriptors)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=descriptors)
        self.pid = self._process.pid
        self._frames = Frames()
        self._lock = threading.Lock()
        self._waiting = bytearray()
        self._sending = False
        self._closed = False

    # --- out ----------------------------------------------------------------------------------------------------------

    def send(self, message: object) -> None:
        """Sends, at once if the process has room, and never waits; what has no room follows from a thread."""
        data = frame(message)
        with self._lock:
            self._waiting += data
            if not self._sending:
                self._send_waiting()
            if self._waiting and not self._sending:
                self._sending = True
                threading.Thread(target=self._send_rest, name="gateway-line", daemon=True).start()

    def _send_waiting(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: self._line.send(self._waiting, socket.MSG_DONTWAIT)]
        except BlockingIOError:
            pass
        except OSError:  # it ended; whoever reads will notice
            self._waiting.clear()

    def _send_rest(self) -> None:
        room = poll()
        room.register(self._line, POLLOUT)
        while True:
            room.poll()
            with self._lock:
                self._send_waiting()
                if not self._waiting:
                    self._sending = False
                    return

    # --- in -----------------------------------------------------------------------------------------------------------

    def receive(self, patience: float | None = None) -> Iterator[Any]:
        """The messages that come, until the process ends or is silent for so many seconds (then TimeoutError)."""
        arrived = poll()
        arrived.register(self._line, POLLIN)
        while True:
            if not arrived.poll(None if patience is None else patience * 1000):
                raise TimeoutError(f"the gateway process has not said anything for {patience:g} s")
            try:
                data = self._line.recv(READ_BYTES)
            except ConnectionError:
                return
            if not data:
                return
            yield from self._frames.feed(data)

    # --- the end ------------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> int:
        """Takes leave of a process that has ended or else is killed; returns its exit code, negative: a signal's."""
        if self._closed:
            return self._process.wait()
        self._closed = True
        self._line.shutdown(socket.SHUT_RDWR)
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        with self._lock:
            self._line.close()
        self.counter.close()
        return code
