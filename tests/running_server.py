"""A real Fleetward server in a process of its own, for tests that walk through its public doors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fleetward.client import ServerInfo, clients
from fleetward.simulate.provision import Broker


class RunningServer:
    """Starts on free ports of loopback; `kill` is kill -9, `start` again resumes on the same folder and ports."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.log = folder / "server.log"
        self._environment = environment
        self._ports = ("0", "0")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "fleetward", "serve", "--data-dir", str(self.data_dir)]
        command += ["--api-port", self._ports[0], "--mqtt-port", self._ports[1]]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "FLEETWARD_"))}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT, env=environment | self._environment
            )
        self.info = self._wait()
        self._ports = (self.info.endpoint_url.rsplit(":", 1)[1], str(self.info.mqtt_port))
        self.client: Callable[[str], Any] = clients(self.info)

    def _wait(self) -> ServerInfo:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, self.log.read_text()
            info = ServerInfo.load(self.data_dir)
            if info is not None and info.pid == self._process.pid:
                return info
            time.sleep(0.02)
        raise AssertionError(f"not ready within 30 s:\n{self.log.read_text()}")

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Until it ends by itself; returns the exit code."""
        assert self._process is not None
        return self._process.wait(10)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """It answers nothing meanwhile, as one that is slow."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()

    @property
    def broker(self) -> Broker:
        return Broker(self.info.mqtt_host, self.info.mqtt_port, Path(self.info.ca_file).read_text())

    @property
    def place(self) -> str:
        return f"{self.info.region}:{self.info.account_id}"


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first value of `condition` that is not None or False; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:g} s for {what}")
