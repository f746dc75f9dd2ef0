"""One warm process of a function: started, asked, killed."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fleetward.errors import Refusal
from fleetward.functions import code, peer
from fleetward.functions.confined.keeper import remove
from fleetward.functions.limits import for_memory
from fleetward.functions.logs import Logs
from fleetward.functions.output import Output
from fleetward.functions.records import Answer, Clock, Event, Function, failure, with_request_id
from fleetward.functions.runtime_api import Address, RuntimeApi
from fleetward.functions.sandbox import Sandbox, base_environment
from fleetward.functions.view import View
from fleetward.model import Millis

INIT_SECONDS = 30
"""How long importing a handler may take (AWS: 10 s; machines that are busy get more here)."""

_KILL_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Spec:
    """What a process is started from. `environment` is complete but for what only the worker knows.

    `ca_bundle` is what clients inside verify the server's certificate with, when it has one.
    """

    function: Function
    arn: str
    archive: bytes
    environment: Mapping[str, str]
    expires_at: Millis
    ca_bundle: bytes | None = None


class Worker:
    """Use: `await start()`, then `await invoke(event)` one at a time while `alive`, at last `await kill()`."""

    def __init__(self, spec: Spec, sandbox: Sandbox, logs: Logs, clock: Clock) -> None:
        self.spec = spec
        self._sandbox, self._clock = sandbox, clock
        self._pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._api = RuntimeApi(spec.arn, self._is_own)
        self._stream = stream_name(clock())
        self._output = Output(logs, log_group(spec.function.name), self._stream, self._on_pid)
        self._keeper: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._init_milliseconds: float | None = None
        self._starting = True
        self._left_at_start = ""
        self._current = ""
        self._scratch: Path | None = None

    @property
    def alive(self) -> bool:
        return self._keeper is not None and self._keeper.returncode is None and not self._api.failed

    async def start(self) -> None:
        """Starts the process and waits until it asks for its first event or has failed. A bad function is a failure."""
        began = time.perf_counter()
        try:
            await self._spawn()
        except (OSError, RuntimeError, ValueError, Refusal) as problem:
            self._api.fail(failure("Runtime.StartError", f"The function could not be started: {problem}"))
            self._output.note(f"The function could not be started: {problem}")
            await self._close()
        await self.idle()
        self._init_milliseconds = (time.perf_counter() - began) * 1000
        self._starting = False
        if self._left_at_start:
            took = f"Init Duration: {self._init_milliseconds:.2f} ms"
            self._output.note(f"INIT_REPORT {took}\tPhase: init\tStatus: error\tError Type: Runtime.ExitError")

    async def idle(self) -> bool:
        """Waits until the process can take an event; False when it never will."""
        try:
            async with asyncio.timeout(INIT_SECONDS):
                return await self._api.idle() is None
        except TimeoutError:
            self._api.fail(failure("Sandbox.Timedout", f"Init took more than {INIT_SECONDS} seconds"))
            await self.kill()
            return False

    async def invoke(self, event: Event) -> tuple[Answer, bytes]:
        """The answer, whatever happens, and the tail of the log. Call it after `idle()`."""
        self._output.begin()
        self._output.note(f"START RequestId: {event.request_id} Version: $LATEST")
        self._current = event.request_id
        if self._left_at_start:
            self._note_exit(self._left_at_start)
        began = time.perf_counter()
        status: list[str] = []
        try:
            async with asyncio.timeout(self.spec.function.timeout):
                answer = await self._api.invoke(event)
        except TimeoutError:
            answer, status = self._timed_out(event.request_id), ["Status: timeout"]
            await self.kill()
        if answer.error_type and "." in answer.error_type and not status:
            status = ["Status: error", f"Error Type: {answer.error_type}"]
        self._output.drain()
        self._report(event.request_id, (time.perf_counter() - began) * 1000, status)
        self._current = ""
        return with_request_id(answer, event.request_id), self._output.tail()

    async def kill(self) -> None:
        """Ends the process and all that descends from it. The keeper gets a moment, then nobody is asked."""
        self._api.fail(failure("Runtime.ExitError", "Runtime was stopped", self._current))
        if self._keeper is not None and self._keeper.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_KILL_SECONDS):
                    await self._keeper.wait()
            except TimeoutError:
                self._signal(signal.SIGKILL)
                await self._keeper.wait()
        if self._watching is not None:
            # Whoever is cancelled while waiting must not take it along.
            await asyncio.shield(self._watching)
        else:
            await self._close()

    # --- inside ---

    async def _spawn(self) -> None:
        self._scratch = scratch = self._sandbox.space.make()
        await asyncio.to_thread(code.unpack, self.spec.archive, scratch / "code")
        await self._api.start()
        command = [sys.executable, "-m", "awslambdaric", self.spec.function.handler]
        limits = for_memory(self.spec.function.memory_size, own_user=self._sandbox.user is not None)
        seen = self._sandbox.view(scratch)
        environment = self._environment(seen)
        if self.spec.ca_bundle is not None:
            environment["AWS_CA_BUNDLE"] = str(seen.scratch / "ca.pem")
            (scratch / "ca.pem").write_bytes(self.spec.ca_bundle)
            (scratch / "ca.pem").chmod(0o644)
        self._keeper = await self._sandbox.spawn(command, environment, scratch, limits, self._output.writer)
        self._output.started()
        self._watching = asyncio.create_task(self._watch(self._keeper))

    def _on_pid(self, pid: int) -> None:
        self._pid.set_result(pid)

    async def _is_own(self, other: Address, here: Address) -> bool:
        return await asyncio.to_thread(peer.is_held_by, await asyncio.shield(self._pid), other, here)

    async def _watch(self, keeper: asyncio.subprocess.Process) -> None:
        reason = _exit_reason(await keeper.wait())
        self._output.drain()
        if not self._api.failed:
            if self._starting:
                self._left_at_start = reason
            else:
                self._note_exit(reason)
        self._api.fail(failure("Runtime.ExitError", reason, self._current))
        await self._close()

    def _note_exit(self, reason: str) -> None:
        request = f"RequestId: {self._current} " if self._current else ""
        self._output.note(f"{request}Error: {reason}\nRuntime.ExitError")

    async def _close(self) -> None:
        self._api.close()
        self._output.close()
        if self._scratch is not None:
            await asyncio.to_thread(remove, str(self._scratch))

    def _signal(self, number: signal.Signals) -> None:
        assert self._keeper is not None
        try:
            os.kill(self._keeper.pid, number)
        except ProcessLookupError:
            pass

    def _timed_out(self, request_id: str) -> Answer:
        text = f"Task timed out after {self.spec.function.timeout:.2f} seconds"
        now = datetime.fromtimestamp(self._clock() / 1000, UTC)
        self._output.drain()
        self._output.note(f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z {request_id} {text}")
        return failure("Sandbox.Timedout", text, request_id)

    def _report(self, request_id: str, milliseconds: float, status: list[str]) -> None:
        init, self._init_milliseconds = self._init_milliseconds, None
        self._output.note(f"END RequestId: {request_id}")
        parts = [
            f"REPORT RequestId: {request_id}",
            f"Duration: {milliseconds:.2f} ms",
            f"Billed Duration: {int(milliseconds) + 1} ms",
            f"Memory Size: {self.spec.function.memory_size} MB",
            f"Max Memory Used: {self._peak_memory()} MB",
            *([f"Init Duration: {init:.2f} ms"] if init is not None else []),
            *status,
        ]
        self._output.note("\t".join(parts))

    def _peak_memory(self) -> int:
        """In MB; 0 when the process is gone."""
        try:
            for line in Path(f"/proc/{self._pid.result()}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) // 1024
        except (OSError, asyncio.InvalidStateError):
            pass
        return 0

    def _environment(self, seen: View) -> dict[str, str]:
        host, port = self._api.address
        return {
            **base_environment(seen.temporary),
            **self.spec.environment,
            "AWS_LAMBDA_RUNTIME_API": f"{host}:{port}",
            "AWS_LAMBDA_LOG_GROUP_NAME": log_group(self.spec.function.name),
            "AWS_LAMBDA_LOG_STREAM_NAME": self._stream,
            "LAMBDA_TASK_ROOT": str(seen.code),
        }


def log_group(function_name: str) -> str:
    return f"/aws/lambda/{function_name}"


def stream_name(now: Millis) -> str:
    return f"{datetime.fromtimestamp(now / 1000, UTC):%Y/%m/%d}/[$LATEST]{secrets.token_hex(16)}"


def _exit_reason(code: int) -> str:
    if code == 0:
        return "Runtime exited without providing a reason"
    if code < 0:
        return f"Runtime exited with error: signal: {(signal.strsignal(-code) or str(-code)).lower()}"
    return f"Runtime exited with error: exit status {code}"
