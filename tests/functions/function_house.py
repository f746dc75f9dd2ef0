"""A functions room on a store of its own, for tests: everything in it is real but the role's keys."""

from __future__ import annotations

import asyncio
import io
import textwrap
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleetward.arn import Arns
from fleetward.functions import catalog, logs
from fleetward.functions.records import Function
from fleetward.functions.service import Functions
from fleetward.functions.worker import log_group
from fleetward.settings import Settings
from fleetward.store.database import Database, sqlite_url
from fleetward.store.tables import functions as _functions_tables  # noqa: F401
from fleetward.store.tables import metadata
from fleetward.store.tables import registry as _registry_tables  # noqa: F401

ARNS = Arns("us-east-1", "123456789012")
ROLE = ARNS.role("function")


def now() -> int:
    return time.time_ns() // 1_000_000


def zipped(**modules: str) -> bytes:
    """An archive of Python modules by name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, source in modules.items():
            archive.writestr(f"{name}.py", textwrap.dedent(source))
    return buffer.getvalue()


def open_database(folder: Path) -> Database:
    database = Database(sqlite_url(folder / "house.db"))
    metadata.create_all(database.engine)
    return database


class House:
    def __init__(self, folder: Path, **options: Any) -> None:
        self.data_dir = folder / "data"
        self.data_dir.mkdir(mode=0o700, exist_ok=True)
        self.database = open_database(self.data_dir)
        self.keys_expire_in = 3_600_000
        self.functions = Functions(
            self.database,
            Settings(data_dir=self.data_dir, function_concurrency=options.pop("concurrency", 4)),
            now,
            ARNS,
            endpoint_url=lambda: "http://127.0.0.1:7700",
            issue_keys=lambda role, session: ("ASIAKEY", "secret", f"{role}|{session}", now() + self.keys_expire_in),
            **options,
        )

    def make(self, source: str, name: str = "f", **options: Any) -> Function:
        """A function whose module is `m` and whose handler is `m.handler`."""
        archive = zipped(m=source)
        with self.database.transaction(now()) as tx:
            return catalog.create(tx, name, archive, runtime="python3.12", handler="m.handler", role=ROLE, **options)

    def edit(self, source: str, name: str = "f") -> Function:
        with self.database.transaction(now()) as tx:
            return catalog.update_code(tx, name, zipped(m=source))

    def enqueue(self, payload: bytes = b"{}", name: str = "f", source_id: str = "1", **options: Any) -> str:
        with self.database.transaction(now()) as tx:
            return self.functions.enqueue(tx, name, payload, "test", source_id, **options)

    def log(self, name: str = "f") -> str:
        """Everything in the function's log group, stream after stream."""
        self.functions.logs.flush()
        with self.database.read() as look:
            rows = logs.events(look, log_group(name), None, logs.Span(), 10_000)
        return "\n".join(row["message"] for row in rows)

    def scratch(self) -> Path:
        """Where the machine has the files of the one process there is."""
        sandbox = self.functions._sandbox
        assert sandbox is not None
        (folder,) = sandbox.space._folder.glob("function-*")
        return folder

    async def stop(self) -> None:
        await self.functions.stop()
        self.database.close()


async def until(holds: Callable[[], Any], seconds: float = 10) -> Any:
    """Waits for something to hold, and returns it."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it never held"
        await asyncio.sleep(0.01)
    return found


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
