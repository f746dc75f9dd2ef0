"""Where a function finds its files: where Lambda has them, or else where they are.

Lambda gives each function a /tmp of its own, and much code writes there by that name. So, where the kernel lets us,
the function's temporary folder is put over /tmp, and its scratch folder over /var/tmp (all there is hidden anyway).
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import os
import site
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TMP, SCRATCH, TASK = "/tmp", "/var/tmp", "/var/task"  # noqa: S108

_TRIAL_SECONDS = 20


@dataclass(frozen=True, slots=True)
class View:
    """Paths as the function sees them; `mounts` makes them so: (what, over what). `covered` is out of its sight."""

    scratch: Path
    code: Path
    temporary: Path
    mounts: tuple[tuple[str, str], ...] = ()
    covered: tuple[str, ...] = ()

    def covers(self, path: str) -> bool:
        return any(_is_below(path, folder) for folder in self.covered)


def of_its_own(scratch: Path) -> View:
    mounts = [(str(scratch), SCRATCH), (str(scratch / "tmp"), TMP)]
    code = Path(SCRATCH) / "code"
    if os.path.isdir(TASK):
        mounts.append((str(scratch / "code"), TASK))
        code = Path(TASK)
    covered = tuple(os.path.realpath(target) for target in (SCRATCH, TMP))
    return View(Path(SCRATCH), code, Path(TMP), tuple(mounts), covered)


def shared(scratch: Path) -> View:
    return View(scratch, scratch / "code", scratch / "tmp")


def lack(room: str, switches_user: bool) -> str:
    """Why functions have no view of their own on this machine, found out by trying; or nothing.

    `room` is the folder of the package `confined`. Takes as long as Python takes to start: call it in a thread.
    """
    covered = [os.path.realpath(folder) for folder in (SCRATCH, TMP)]
    if _is_below(covered[0], covered[1]) or _is_below(covered[1], covered[0]):
        return f"{SCRATCH} is {TMP}"
    needed = (sys.prefix, sys.base_prefix, sys.executable, site.getuserbase())
    for path in (*needed, *map(os.path.realpath, needed)):  # a link to it must be there too
        if os.path.exists(path) and any(_is_below(path, folder) for folder in covered):
            return f"Python is below {TMP} or {SCRATCH}"
    mounts = [(room, folder) for folder in covered]
    script = (
        f"import sys; sys.path.append({room!r}); from confined.mounts import cover; cover({mounts}, {switches_user})"
    )
    try:
        trial = subprocess.run(
            [sys.executable, "-I", "-S", "-c", script],
            env={},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TRIAL_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return str(problem)
    said = trial.stderr.strip().splitlines()
    return "" if trial.returncode == 0 else said[-1] if said else f"exit status {trial.returncode}"


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
