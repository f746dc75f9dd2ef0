"""The brokers that the gateway is measured against: mosquitto from Debian, amqtt from PyPI, as their users run them.

Neither is installed into the system. mosquitto's packages are unpacked next to the PyPI peers' environment
(`peers.py`), unless the machine has mosquitto already.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from peers import HOME, free_port, install_into_home, start_peer

DEBIAN = HOME / "debian"
MOSQUITTO_CONFIG = """
listener {port} 127.0.0.1
allow_anonymous true
user root
# Its default would drop what the subscriber has not acknowledged yet.
max_queued_messages 0
"""
MOSQUITTO_TLS = """
cafile {data}/ca/ca.pem
certfile {data}/ca/broker.pem
keyfile {data}/ca/broker.key
require_certificate true
"""
AMQTT_CONFIG = """
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{port}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""


class Missing(Exception):
    """A peer cannot be had here; says why."""


@dataclass
class Broker:
    """A running broker on a plain port."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def mosquitto(folder: Path) -> Broker:
    program, libraries = _mosquitto_program()
    port = _configure(folder, MOSQUITTO_CONFIG)
    environment = {"LD_LIBRARY_PATH": libraries} if libraries else {}
    return Broker("mosquitto", port, start_peer([program, "-c", "config"], folder, port, environment))


def mosquitto_over_tls(folder: Path, data: Path) -> Broker:
    """With the authority and the server certificate of a Fleetward server's data folder."""
    program, libraries = _mosquitto_program()
    port = _configure(folder, MOSQUITTO_CONFIG + MOSQUITTO_TLS.format(data=data))
    environment = {"LD_LIBRARY_PATH": libraries} if libraries else {}
    return Broker("mosquitto", port, start_peer([program, "-c", "config"], folder, port, environment))


def amqtt(folder: Path) -> Broker:
    try:
        install_into_home("amqtt")
    except subprocess.CalledProcessError as error:
        raise Missing("amqtt cannot be installed from PyPI") from error
    port = _configure(folder, AMQTT_CONFIG)
    return Broker("amqtt", port, start_peer([str(HOME / "bin" / "amqtt"), "-c", "config"], folder, port, {}))


def versions() -> dict[str, str]:
    found = {}
    try:
        program, libraries = _mosquitto_program()
        told = subprocess.run([program, "-h"], capture_output=True, text=True, env={"LD_LIBRARY_PATH": libraries})
        found["mosquitto"] = told.stdout.split("\n")[0].removeprefix("mosquitto version ")
        told = subprocess.run([HOME / "bin" / "pip", "show", "amqtt"], capture_output=True, text=True)
        found["amqtt"] = told.stdout.partition("Version: ")[2].split("\n")[0]
    except (Missing, OSError):
        pass
    return found


def _configure(folder: Path, text: str) -> int:
    port = free_port()
    folder.mkdir(parents=True)
    (folder / "config").write_text(text.format(port=port))
    return port


def _mosquitto_program() -> tuple[str, str]:
    """The program, and where its libraries are if the system does not have them."""
    installed = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if installed:
        return installed, ""
    if not (DEBIAN / "usr/sbin/mosquitto").exists():
        _unpack_from_debian("mosquitto")
    libraries = ":".join(str(folder) for folder in (DEBIAN / "usr/lib").glob("*-linux-*"))
    return str(DEBIAN / "usr/sbin/mosquitto"), libraries


def _unpack_from_debian(package: str) -> None:
    """Downloads the package and what it needs and the system lacks; needs neither root nor a change of the system."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise Missing(f"{package} is not installed, and this is no Debian: install it by hand")
    planned = subprocess.run(["apt-get", "--simulate", "install", package], capture_output=True, text=True)
    names = [line.split()[1] for line in planned.stdout.splitlines() if line.startswith("Inst ")]
    if package not in names:
        raise Missing(f"apt-get does not know {package} (apt-get update?), and it is not installed")
    DEBIAN.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(["apt-get", "download", *names], cwd=DEBIAN, capture_output=True, text=True)
    if fetched.returncode:
        raise Missing(f"apt-get cannot download {package}: {fetched.stderr.strip()[-300:]}")
    for archive in DEBIAN.glob("*.deb"):
        subprocess.run(["dpkg", "--extract", archive, DEBIAN], check=True)
