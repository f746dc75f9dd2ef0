"""Runs mqttload.c, the load of the MQTT benchmarks, compiling it first where that was not done."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from peers import HOME

SOURCE = Path(__file__).with_name("mqttload.c")
PROGRAM = HOME / "mqttload"
START_SECONDS = 180


class NoCompiler(Exception):
    """The load generator cannot be compiled here; says what to install."""


def build() -> Path:
    """The program; compiled anew when its source is newer."""
    if PROGRAM.exists() and PROGRAM.stat().st_mtime > SOURCE.stat().st_mtime:
        return PROGRAM
    compiler = shutil.which("cc")
    if compiler is None:
        raise NoCompiler("the load generator needs a C compiler (Debian: apt-get install build-essential libssl-dev)")
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-O2", "-o", str(PROGRAM), str(SOURCE), "-lssl", "-lcrypto"]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode:
        wanted = (
            "OpenSSL's headers (Debian: apt-get install libssl-dev)" if "openssl" in made.stderr else "a mended source"
        )
        raise NoCompiler(f"the load generator needs {wanted}:\n{made.stderr[:2000]}")
    return PROGRAM


class Load:
    """A running generator; its devices are connected when it is made. `started` tells how that went.

    Options are those of mqttload.c: `Load(port, devices=500, rate=2000, idle=True)`.
    """

    def __init__(self, port: int, *, tls: tuple[Path, int] | None = None, **options: Any) -> None:
        words = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is True]
        for name, value in options.items():
            if not isinstance(value, bool):
                words += [f"--{name.replace('_', '-')}", str(value)]
        if tls is not None:
            words += ["--tls", str(tls[0]), str(tls[1])]
        command = [str(build()), "127.0.0.1", str(port), *words]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.started = self._answer()

    def phase(self, seconds: float) -> dict[str, Any]:
        """Lets it run that long; what happened since the phase before."""
        time.sleep(seconds)
        return self.since()

    def since(self) -> dict[str, Any]:
        """What happened since the phase before, right now."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._answer()

    def measure(self, warm_up: float, seconds: float) -> dict[str, Any]:
        self.phase(warm_up)
        return self.phase(seconds)

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load generator ended with {self.process.wait()}")
        return dict(json.loads(line))

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
