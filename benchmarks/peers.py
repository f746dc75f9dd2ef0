"""The servers that the benchmarks run: Fleetward, and others from PyPI in an environment of their own.

Each runs as its users start it, on a free port of loopback, in a folder of its own; nothing of the peers is kept in the
project: they live inside this environment's folder, which git ignores.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetward.client import ServerInfo

PEERS = ("moto[server]", "ministack")
HOME = Path(sys.prefix) / "peers"
START_SECONDS = 300
"""A server with a million things reads them before it answers."""


@dataclass
class Server:
    """A running server and the key to sign with; the peers take any."""

    name: str
    url: str
    key_id: str
    secret: str
    process: subprocess.Popen[bytes]
    seconds_to_start: float = 0.0

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.partition("://")[2].rpartition(":")
        return host, int(port)

    def resident_megabytes(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def settle(self) -> float:
        """Waits until the server has done what it does after its start; returns the seconds that took."""
        started = time.monotonic()
        while time.monotonic() - started < START_SECONDS:
            before = self.processor_seconds()
            time.sleep(1)
            if self.processor_seconds() - before < 0.05:
                break
        return time.monotonic() - started - 1

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def install() -> dict[str, str]:
    """Installs the peers where they are not there yet; returns the version of each."""
    install_into_home(*PEERS)
    python = HOME / "bin" / "python"
    told = "import importlib.metadata as m; print(m.version('moto'), m.version('ministack'))"
    moto, ministack = subprocess.check_output([python, "-c", told], text=True).split()
    return {"moto_server": moto, "ministack": ministack}


def install_into_home(*packages: str) -> None:
    """Installs packages from PyPI into the peers' environment; does nothing where they are already."""
    python = HOME / "bin" / "python"
    if not python.exists():
        print("  installing the peers (once, a minute or two)", file=sys.stderr)
        venv.create(HOME, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True, stderr=subprocess.DEVNULL)


def fleetward(folder: Path, name: str = "fleetward", options: Sequence[str] = ()) -> Server:
    """`fleetward serve` with its defaults: SQLite with synchronous FULL, every signature verified."""
    data = folder / "data"
    command = [
        sys.executable,
        "-m",
        "fleetward",
        "serve",
        "--data-dir",
        str(data),
        "--api-port",
        "0",
        "--mqtt-port",
        "0",
        *options,
    ]
    started = time.monotonic()
    process = _start(command, folder, {"FLEETWARD_LOG_LEVEL": "warning"})
    while (info := ServerInfo.load(data)) is None or info.pid != process.pid:
        _check(process, folder, started)
    key = info.access_key_id, info.secret_access_key
    return Server(name, info.endpoint_url, *key, process, time.monotonic() - started)


def moto_server(folder: Path) -> Server:
    port = free_port()
    command = [str(HOME / "bin" / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    return _peer("moto_server", command, folder, port, {})


def ministack(folder: Path) -> Server:
    port = free_port()
    settings = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "LOG_LEVEL": "WARNING", "SERVICES": "iot,iot-data"}
    return _peer("ministack", [str(HOME / "bin" / "ministack")], folder, port, settings)


def _peer(name: str, command: list[str], folder: Path, port: int, settings: dict[str, str]) -> Server:
    started = time.monotonic()
    process = start_peer(command, folder, port, settings)
    return Server(name, f"http://127.0.0.1:{port}", "AKIAEXAMPLE", "secret", process, time.monotonic() - started)


def start_peer(command: list[str], folder: Path, port: int, settings: dict[str, str]) -> subprocess.Popen[bytes]:
    """A process that answers on its port."""
    started = time.monotonic()
    process = _start(command, folder, settings)
    while not _answers(port):
        _check(process, folder, started)
    return process


def _start(command: list[str], folder: Path, settings: dict[str, str]) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "FLEETWARD_"))}
    with (folder / "server.log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment | settings)


def _check(process: subprocess.Popen[bytes], folder: Path, started: float) -> None:
    if process.poll() is not None or time.monotonic() - started > START_SECONDS:
        raise RuntimeError(f"{folder.name} does not start:\n{(folder / 'server.log').read_text()[-2000:]}")
    time.sleep(0.05)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as made:
        return int(made.getsockname()[1])
