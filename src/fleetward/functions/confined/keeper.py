"""The keeper: starts the function, answers for it, and leaves nothing of it behind."""

from __future__ import annotations

import _socket
import fcntl
import json
import os
import resource
import select
import signal
import struct
import sys
from collections.abc import Iterator
from typing import Any

from .child import PR_SET_PDEATHSIG, WATCHED, become_function, prctl
from .questions import Crowd, answer, parents

PR_SET_CHILD_SUBREAPER = 36
COUNT_MILLISECONDS = 50
"""Between two counts of processes where the keeper cannot be asked."""


def main() -> None:
    order = json.load(sys.stdin)
    awake = hear_signals()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    status = keep(order, awake) if os.getppid() == order["server"] else 0
    kill_descendants()
    remove(order["scratch"])
    if os.getppid() != order["server"]:
        remove_servers_folder(os.path.dirname(order["scratch"]))
    leave_like(status)


def hear_signals() -> int:
    """What to read the numbers of the signals from that came."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in WATCHED:
        signal.signal(number, lambda *_: None)
    return reader


def keep(order: dict[str, Any], awake: int) -> int:
    """Starts the function and waits for its end or for SIGTERM; returns its wait status."""
    keeper = os.getpid()
    here, there = _socket.socketpair()
    function = os.fork()
    if function == 0:
        become_function(order, keeper, there)
    there.close()
    crowd = Crowd(**order["most"])
    listener = received_listener(here)
    waiting = select.poll()
    for number in (awake, *([listener] if listener is not None else [])):
        waiting.register(number, select.POLLIN)
    while True:
        for number, event in waiting.poll(COUNT_MILLISECONDS if listener is None else None):
            if number == awake:
                if signal.SIGTERM in os.read(awake, 65536):
                    return 0
                for pid, status in reaped():
                    if pid == function:
                        return status
            elif event & select.POLLIN:
                answer(number, order["targets"], crowd)
            else:
                waiting.unregister(number)
        if listener is None and crowd.is_full():
            os.write(1, b"More processes or threads than a function may have\n")
            return signal.SIGKILL


def reaped() -> Iterator[tuple[int, int]]:
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            yield pid, status
    except ChildProcessError:
        return


def kill_descendants() -> None:
    """Kills children until there are none: as subreaper the keeper inherits every orphan among its descendants."""
    try:
        while True:
            for child, parent in parents().items():
                if parent == os.getpid():
                    os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)
            for _ in reaped():
                pass
    except ChildProcessError:
        return


def remove(folder: str) -> None:
    """Removes a folder, whatever a function has made of it: closed to its owner, or deeper than a path is long."""
    import shutil

    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        pass
    quiet = [(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
    for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
        if os.path.lexists(folder):
            os.waitpid(os.posix_spawn(f"/bin/{command[0]}", [*command, folder], {}, file_actions=quiet), 0)


def remove_servers_folder(folder: str) -> None:
    """The server is dead: the last keeper removes its folder, and the one for all servers unless one uses it."""
    root = os.path.dirname(folder)
    try:
        os.rmdir(folder)
        fcntl.flock(os.open(root, os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rmdir(root)
    except OSError:
        pass


def leave_like(status: int) -> None:
    """Ends as the function did, so that the server can tell from the keeper's exit."""
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if os.WTERMSIG(status) != signal.SIGKILL:
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)


def received_listener(here: Any) -> int | None:
    """The function hands over the file descriptor on which its kernel asks, unless its filter asks nobody."""
    _, ancillary, _, _ = here.recvmsg(1, _socket.CMSG_SPACE(4))
    here.close()
    return struct.unpack("i", ancillary[0][2])[0] if ancillary else None
