"""Who functions run as, found out by trying, and the one way to start a process as that user.

Best is a user of its own: then the data folder is out of reach by its mode. Where the server may not switch users, or
that user cannot reach the interpreter, functions run as the server's user. In both cases Landlock, where the kernel has
it, shows a function of all temporary and data folders only its own, and a filter of system calls (seccomp.py) keeps its
hands off other processes.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import site
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from fleetward.functions import confined, seccomp, view
from fleetward.functions.confined import landlock
from fleetward.functions.limits import Limits, for_memory
from fleetward.functions.scratch import Space
from fleetward.functions.view import View

log = structlog.get_logger()

# The folder goes last, so that no module beside `confined` hides one of Python's own.
_ROOM = str(Path(confined.__file__).resolve().parents[1])
_START = f"import sys; sys.path.append({_ROOM!r}); from confined.keeper import main; main()"
_KEEPER = [sys.executable, "-I", "-S", "-c", _START]
_PROBE = "import ssl, awslambdaric.bootstrap, importlib.util as u; assert u.find_spec('boto3') and u.find_spec('paho')"
_PROBE_SECONDS = 20
_HIDDEN = ("/tmp", "/var/tmp", "/dev")  # noqa: S108
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """`user` is (uid, gid) to switch to, or None; `reason` then says why. `hidden` are folders no function may see.

    `no_view` says why functions have no view of the file system of their own, with a /tmp of their own; or nothing.
    """

    user: tuple[int, int] | None
    name: str
    reason: str
    no_view: str
    hidden: tuple[str, ...]
    space: Space

    def describe(self) -> str:
        """For `fleetward doctor`: who functions run as, and what of their confinement this machine lacks."""
        who = f"Functions run as the user {self.name}, apart from the server"
        if self.user is None:
            who = f"Functions run as the server's own user ({self.name}), because {self.reason}"
        files = "Landlock shows each of them its own files only"
        if not landlock.version():
            files = "without Landlock in the kernel they can reach each other's files"
            files += "" if self.user else " and the server's data"
        calls = f"; there is no filter of system calls ({lack})" if (lack := seccomp.missing()) else ""
        places = "each has a /tmp of its own"
        if self.no_view:
            places = f"functions cannot write to /tmp itself, only to TMPDIR ({self.no_view})"
        return f"{who}; {files}; {places}{calls}."

    def view(self, scratch: Path) -> View:
        return view.shared(scratch) if self.no_view else view.of_its_own(scratch)

    async def spawn(
        self, command: list[str], environment: dict[str, str], scratch: Path, limits: Limits, output: int
    ) -> asyncio.subprocess.Process:
        """Starts `command` where the code is, below a keeper (see confined/), which removes `scratch` when it ends.

        Only the three standard streams and `environment` pass; both outputs go to the file descriptor `output`.
        """
        seen = self.view(scratch)
        hidden = [*self.hidden, *map(os.path.realpath, (*_HIDDEN, tempfile.gettempdir(), str(self.space.root)))]
        order: dict[str, Any] = {
            "server": os.getpid(),
            "command": command,
            "environment": environment,
            "folder": str(seen.code),
            "scratch": str(scratch),
            "user": self.user,
            "rlimits": limits.rlimits(),
            "mounts": seen.mounts,
            "readable": [str(seen.scratch), *_packages()],
            "writable": [str(seen.temporary), *_DEVICES],
            "hidden": [path for path in hidden if not seen.covers(path)],
            "filters": _filters(),
            "targets": seccomp.targets(),
            "most": {"processes": limits.processes, "threads": limits.threads},
        }
        keeper = await asyncio.create_subprocess_exec(
            *_KEEPER, stdin=asyncio.subprocess.PIPE, stdout=output, stderr=output, env={}, start_new_session=True
        )
        await _send(keeper, json.dumps(order).encode())
        return keeper


def _packages() -> set[str]:
    """Where Python and its packages are, should that be below something hidden."""
    return {sys.prefix, sys.base_prefix, *(path for path in sys.path if os.path.isdir(path))}


def _filters() -> dict[str, str]:
    if seccomp.missing():
        return {}
    kinds = {"plain": False, **({"asking": True} if seccomp.can_ask() else {})}
    return {kind: seccomp.program(ask).hex() for kind, ask in kinds.items()}


async def _send(keeper: asyncio.subprocess.Process, order: bytes) -> None:
    assert keeper.stdin is not None
    keeper.stdin.write(order)
    try:
        await keeper.stdin.drain()
    except ConnectionError:
        pass  # It is dead already; whoever waits for it will see.
    except BaseException:
        keeper.kill()
        raise
    keeper.stdin.close()


def base_environment(temporary: Path) -> dict[str, str]:
    """What a function process gets besides Lambda's own variables; nothing of the server's environment."""
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "HOME": str(temporary),
        "TMPDIR": str(temporary),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUSERBASE": site.getuserbase(),
    }


async def choose(user: str, data_dir: Path | None = None) -> Sandbox:
    """The best sandbox this machine allows. `data_dir` is hidden from functions."""
    hidden = (str(data_dir.resolve()),) if data_dir is not None else ()
    reason, candidate = await asyncio.to_thread(_candidate, user, hidden)
    if candidate is not None:
        reason = await _probe(candidate, data_dir)
        if not reason:
            return candidate
        candidate.space.close()
    log.warning("functions_not_isolated", reason=reason, **_consequence(user))
    no_view = await asyncio.to_thread(view.lack, _ROOM, False)
    return Sandbox(None, _own_name(), reason, no_view, hidden, Space(None))


def _consequence(user: str) -> dict[str, str]:
    """What it means that functions have no user of their own, and what would change it."""
    kept = "Landlock keeps them from the data folder and from one another"
    bare = "nothing keeps them from the data folder: let only people you trust create functions"
    return {
        "effect": f"functions run as the server's own user; {kept if landlock.version() else bare}",
        "remedy": f"run the server as root with a Python that the user {user} can read; --function-user names another",
    }


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # Containers run as numbers without a name.
        return str(os.geteuid())


def _candidate(user: str, hidden: tuple[str, ...]) -> tuple[str, Sandbox | None]:
    if os.geteuid() != 0:
        return "only root can switch users", None
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return f"there is no user {user}", None
    if entry.pw_uid == 0:
        return f"{user} is root itself", None
    owner = (entry.pw_uid, entry.pw_gid)
    return "", Sandbox(owner, user, "", view.lack(_ROOM, True), hidden, Space(owner))


async def _probe(sandbox: Sandbox, data_dir: Path | None) -> str:
    """Starts what a function needs as its user; returns why that does not work, or nothing."""
    scratch = sandbox.space.make()
    environment = base_environment(sandbox.view(scratch).temporary)
    script = _PROBE
    if data_dir is not None:
        script += f"; import os; assert not os.access({str(data_dir.resolve())!r}, os.R_OK | os.X_OK), 'sees data'"
    reader, writer = os.pipe()
    try:
        command = [sys.executable, "-c", script]
        keeper = await sandbox.spawn(command, environment, scratch, for_memory(0, own_user=True), writer)
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                code = await keeper.wait()
        except TimeoutError:
            keeper.kill()
            raise
        os.set_blocking(reader, False)
        output = os.read(reader, 65536).decode(errors="replace").strip()
    except (OSError, TimeoutError) as problem:
        return f"a trial as the user {sandbox.name} failed ({problem})"
    finally:
        os.close(reader)
        os.close(writer)
    last = output.splitlines()[-1] if output else f"exit status {code}"
    return "" if code == 0 else f"the user {sandbox.name} cannot run Python with its packages here ({last})"
