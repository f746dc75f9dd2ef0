"""What one function process prints, as log lines of its stream; read without ever making the function wait long."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from fleetward.functions.logs import EVENT_BYTES, Logs

MAX_LINE = 32 * 1024
"""Characters of one log event; longer lines are split."""
INVOCATION_BYTES = 256 * 1024
"""What one invocation may print, each line charged with `EVENT_BYTES` more; the rest is dropped and counted."""
TAIL_BYTES = 4096

_PIPE_BYTES = 64 * 1024
_PAUSE_SECONDS = 0.01
"""Between two reads of what is dropped anyway: a flood waits for the house, not the house for the flood."""


class Output:
    """The reading end of a process's stdout and stderr. Its first line is the process id (see confined/)."""

    def __init__(self, logs: Logs, group: str, stream: str, on_pid: Callable[[int], None]) -> None:
        self._logs, self._group, self._stream, self._on_pid = logs, group, stream, on_pid
        self._loop = asyncio.get_running_loop()
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._partial = bytearray()
        self._first = True
        self._begun = False
        self._budget = INVOCATION_BYTES
        self._dropped = 0
        self._tail = bytearray()
        self._open = True
        self._pause: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._reader, self._read)

    def started(self) -> None:
        """The process has its own copy of the writing end."""
        os.close(self.writer)
        self.writer = -1

    def begin(self) -> None:
        """A new invocation: a fresh budget and tail. The first one's tail keeps what importing the handler printed."""
        self.drain()
        self._report_dropped()
        self._budget = INVOCATION_BYTES
        self._resume()
        if self._begun:
            self._tail.clear()
        self._begun = True

    def drain(self) -> None:
        """Takes what was printed before now: at most what the pipe holds, however fast a thread goes on printing."""
        taken = 0
        while taken < _PIPE_BYTES and (count := self._read()):
            taken += count

    def note(self, message: str) -> None:
        """A line of the platform (START, END, REPORT…)."""
        self._logs.write(self._group, self._stream, message)
        self._remember(message)

    def tail(self) -> bytes:
        return bytes(self._tail[-TAIL_BYTES:])

    def close(self) -> None:
        if self._open:
            self.drain()
            if self._partial:
                self._line(bytes(self._partial))
            self._report_dropped()
            self._resume()  # Whatever is waiting must not happen after this.
            self._open = False
            self._loop.remove_reader(self._reader)
            os.close(self._reader)
            if self.writer >= 0:
                self.started()

    def _read(self) -> int:
        if not self._open:
            return 0
        try:
            data = os.read(self._reader, _PIPE_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            self._loop.remove_reader(self._reader)
        elif self._budget < 0:
            self._dropped += len(data)
            self._wait()
        else:
            self._take(data)
        return len(data)

    def _take(self, data: bytes) -> None:
        *lines, rest = (bytes(self._partial) + data).split(b"\n")
        for line in lines:
            self._line(line)
        self._partial = bytearray(rest)
        if len(rest) > MAX_LINE:
            self._line(rest)
            self._partial.clear()

    def _wait(self) -> None:
        if self._pause is None:
            self._loop.remove_reader(self._reader)
            self._pause = self._loop.call_later(_PAUSE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        if not self._read():
            self._loop.add_reader(self._reader, self._read)

    def _resume(self) -> None:
        """Back to reading as it comes."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
            self._loop.add_reader(self._reader, self._read)

    def _line(self, line: bytes) -> None:
        if self._first:
            self._first = False
            if line.isdigit():
                self._on_pid(int(line))
                return
        for start in range(0, max(1, len(line)), MAX_LINE):
            self._event(line[start : start + MAX_LINE])

    def _event(self, data: bytes) -> None:
        if self._budget >= 0:
            self._budget -= len(data) + EVENT_BYTES
        if self._budget < 0:
            self._dropped += len(data)
            return
        # awslambdaric separates the lines of one traceback by carriage returns, so that they stay one event.
        message = data.decode("utf-8", "replace").rstrip("\r").replace("\r", "\n").replace("\0", "\ufffd")
        if message:
            self.note(message)

    def _report_dropped(self) -> None:
        if self._dropped:
            self.note(f"{self._dropped} bytes of output dropped: more than {INVOCATION_BYTES} bytes in one invocation")
            self._dropped = 0

    def _remember(self, message: str) -> None:
        self._tail += message.encode() + b"\n"
        if len(self._tail) > 4 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]
