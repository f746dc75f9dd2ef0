"""boto3 clients of a running Fleetward, its own service `fleetward` included."""

from __future__ import annotations

import fcntl
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.session import get_session

OWN_MODELS = Path(__file__).parent / "api" / "models"
"""The botocore-style model of the service `fleetward`."""

SERVER_FILE = "server.json"
LOCK_FILE = "lock"
"""Held locked for as long as a server runs on the folder, however it ends."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Where the server that runs on a data folder is to be found; kept in the folder while it runs."""

    pid: int
    endpoint_url: str
    mqtt_host: str
    mqtt_port: int
    ca_file: str
    api_ca_file: str | None
    """What vouches for the HTTP port's certificate; None for plain HTTP, or a certificate the system trusts."""
    region: str
    account_id: str
    access_key_id: str
    secret_access_key: str

    @property
    def console_url(self) -> str:
        return f"{self.endpoint_url}/console"

    def save(self, data_dir: Path) -> None:
        fresh = data_dir / f"{SERVER_FILE}.new"
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(asdict(self), indent=2))
        fresh.replace(data_dir / SERVER_FILE)

    @staticmethod
    def load(data_dir: Path) -> ServerInfo | None:
        """None when no server runs there; what a crashed one left behind does not count."""
        try:
            text = (data_dir / SERVER_FILE).read_text()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return ServerInfo(**json.loads(text)) if is_locked(data_dir / LOCK_FILE) else None


def own_command() -> str:
    """What to type for `fleetward` in a shell like the one this was started from."""
    return "fleetward" if shutil.which("fleetward") else str(Path(sys.executable).parent / "fleetward")


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock on that file."""
    try:
        with path.open() as probe:
            fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def clients(server: ServerInfo) -> Callable[[str], Any]:
    """`clients(server)("iot")` is a boto3 client of the server's iot service with the root key; each is made once."""
    core = get_session()
    core.get_component("data_loader").search_paths.append(str(OWN_MODELS))
    session = boto3.Session(
        aws_access_key_id=server.access_key_id,
        aws_secret_access_key=server.secret_access_key,
        region_name=server.region,
        botocore_session=core,
    )
    config = Config(retries={"max_attempts": 2}, connect_timeout=5, read_timeout=70)
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in made:
            made[service] = session.client(
                service, endpoint_url=server.endpoint_url, config=config, verify=server.api_ca_file
            )
        return made[service]

    return client
