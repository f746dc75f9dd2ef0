"""Where the processes of functions have their code and their temporary files: folders that go when they do.

`<temporary folder>/fleetward-functions-<user>/server-…/function-…/{code,tmp}`: one folder for all servers of a user, so
that a function can be kept out of all of it; in it one for each server, locked while the server lives, so that the next
one to start knows what is stale; in that one for each process. Names are not guessable and folders cannot be listed:
where functions have a user of their own, that user passes through them only by knowing the way.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from pathlib import Path

from fleetward.functions.confined.keeper import remove

_SERVER = "server-"


class Space:
    """The folder of one server. `owner` is (uid, gid) of the functions, when they have a user of their own."""

    def __init__(self, owner: tuple[int, int] | None) -> None:
        self._owner = owner
        self._mode = 0o700 if owner is None else 0o711
        self.root, held = _open_root(self._mode)
        try:
            _sweep(self.root)
            self._folder = Path(tempfile.mkdtemp(prefix=_SERVER, dir=self.root))
            self._folder.chmod(self._mode)
            self._lock: int | None = _lock(self._folder)
        finally:
            os.close(held)

    def make(self) -> Path:
        """A fresh folder, and in it one for code and one that the function may write to."""
        folder = Path(tempfile.mkdtemp(prefix="function-", dir=self._folder))
        folder.chmod(self._mode)
        (folder / "code").mkdir()
        (folder / "code").chmod(0o755)
        temporary = folder / "tmp"
        temporary.mkdir(mode=0o700)
        if self._owner is not None:
            os.chown(temporary, *self._owner)
        return folder

    def close(self) -> None:
        if self._lock is None:
            return
        lock, self._lock = self._lock, None
        remove(str(self._folder))
        os.close(lock)
        try:
            self.root.rmdir()
        except OSError:
            pass  # Another server uses it.


def _open_root(mode: int) -> tuple[Path, int]:
    """The folder for all servers of this user, locked; when its name is taken by somebody else, one of our own."""
    root = Path(tempfile.gettempdir()) / f"fleetward-functions-{os.geteuid()}"
    while True:
        try:
            root.mkdir(mode=0o700)
        except FileExistsError:
            if not _is_ours(root):
                root = Path(tempfile.mkdtemp(prefix="fleetward-functions-"))
        held = _lock(root)
        if held is None:
            continue
        if _is_at(root, held):
            # Servers of one user may differ in whether their functions must pass through.
            root.chmod(stat.S_IMODE(os.fstat(held).st_mode) | mode)
            return root, held
        os.close(held)


def _is_at(path: Path, held: int) -> bool:
    """Whether what was locked is still what is at the path: its last user may just have removed it."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(held))
    except FileNotFoundError:
        return False


def _is_ours(root: Path) -> bool:
    try:
        status = root.lstat()
    except FileNotFoundError:  # It was a moment ago; the next attempt makes it.
        return True
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _lock(folder: Path, wait: bool = True) -> int | None:
    """Of a folder: None when it is gone or, without `wait`, when somebody else has it. The kernel frees it at death."""
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(held)
        return None
    return held


def _sweep(root: Path) -> None:
    """Removes the folders of servers that are gone. The caller holds the root, so none is being made now."""
    for folder in root.glob(f"{_SERVER}*"):
        held = _lock(folder, wait=False)
        if held is not None:
            remove(str(folder))
            os.close(held)
