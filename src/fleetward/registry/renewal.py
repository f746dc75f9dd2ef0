"""Keeps the certificates of the server's ports from expiring while it runs: looked after once a day.

Our own is made anew when a third of its life is left (authority.issue_server). One that the operator brought is read
again when its file has changed, as tools that renew certificates leave it. Connections that are open keep theirs.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

log = structlog.get_logger()

CHECK_SECONDS = 86_400.0

Files = tuple[Path, Path]
"""(certificate file, key file)"""

_NEVER = -1


@dataclass(slots=True)
class Port:
    """A port with TLS. `load` takes the files into its SSL context; what it returns is awaited if it can be."""

    name: str
    files: Files
    load: Callable[[Path, Path], object]
    loaded: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.loaded = _stamps(self.files)

    async def refresh(self) -> bool:
        """Loads the files again if they are others than those loaded last; True if they were."""
        stamps = _stamps(self.files)
        if stamps == self.loaded or _NEVER in stamps:
            return False
        # A context that fails to load is left with half of each: whether they fit is tried on another one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self.files)
        loading = self.load(*self.files)
        if isinstance(loading, Awaitable):
            await loading
        self.loaded = stamps
        return True


class Renewal:
    """`issue` makes our own certificate anew when it is due; it may block."""

    def __init__(self, issue: Callable[[], Files], ports: Sequence[Port], every: float = CHECK_SECONDS) -> None:
        self._issue = issue
        self._ports = ports
        self._every = every
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def check(self) -> list[str]:
        """Renews what is due; returns the names of the ports that have another certificate now."""
        try:
            await asyncio.to_thread(self._issue)
        except Exception:
            log.exception(
                "certificate_not_renewed", effect="the old one goes on until it expires; tried again tomorrow"
            )
        return [port.name for port in self._ports if await self._refreshed(port)]

    async def _refreshed(self, port: Port) -> bool:
        try:
            changed = await port.refresh()
        except Exception:
            log.exception("certificate_not_loaded", port=port.name, file=str(port.files[0]))
            return False
        if changed:
            log.info("certificate_renewed", port=port.name, file=str(port.files[0]))
        return changed

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            await self.check()


def _stamps(files: Files) -> tuple[int, ...]:
    """When each file was written."""
    return tuple(path.stat().st_mtime_ns if path.exists() else _NEVER for path in files)
