"""Starts one function process in its confinement and stays as its keeper: `python -I -S launcher.py < order.json`.

Runs as a script with nothing but the standard library, so that it starts in milliseconds and before anything else does.

The *keeper* is this process: trusted code, the reaper of whatever the function leaves behind. It ends when the function
does, when it is told to (SIGTERM), or when the server dies, however the server dies; then nothing that descends from
it survives and the scratch folder is gone. The *function* is its child: it gives up its user, its rights and its view
of the file system before it becomes `awslambdaric`. The first line it writes is its process id.

The order: server (pid), command, environment, folder, scratch, user ([uid, gid] or null), rlimits, and the paths that
are writable and hidden.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from typing import Any

PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 24, 36, 38
WATCHED = {signal.SIGTERM, signal.SIGCHLD}

libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    order = json.load(sys.stdin)
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    status = keep(order) if os.getppid() == order["server"] else 0
    kill_descendants()
    remove(order["scratch"])
    leave_like(status)


# --- the keeper -------------------------------------------------------------------------------------------------------


def keep(order: dict[str, Any]) -> int:
    """Starts the function and waits for its end or for SIGTERM; returns its wait status."""
    keeper = os.getpid()
    function = os.fork()
    if function == 0:
        become_function(order, keeper)
    while signal.sigwait(WATCHED) == signal.SIGCHLD:
        for pid, status in reaped():
            if pid == function:
                return status
    return 0


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
            for child in children(os.getpid()):
                os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)
    except ChildProcessError:
        return


def children(parent: int) -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    # The command in parentheses may hold anything; what follows the last one is: state, parent, …
                    if int(stat.read().rpartition(b")")[2].split()[1]) == parent:
                        yield int(name)
            except OSError:
                continue


def remove(scratch: str) -> None:
    import shutil

    shutil.rmtree(scratch, ignore_errors=True)


def leave_like(status: int) -> None:
    """Ends as the function did, so that the server can tell from the keeper's exit."""
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if os.WTERMSIG(status) != signal.SIGKILL:
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)


# --- the function -----------------------------------------------------------------------------------------------------


def become_function(order: dict[str, Any], keeper: int) -> None:
    try:
        os.setsid()
        os.umask(0o022)
        for name, value in order["rlimits"].items():
            lower(getattr(resource, name), value)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        drop_capabilities()
        confine_files(order["writable"], order["hidden"])
        if order["user"] is not None:
            uid, gid = order["user"]
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        # After the change of user, which clears it.
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)
        os.chdir(order["folder"])
        os.write(1, b"%d\n" % os.getpid())
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and what is ignored stays so.
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(order["command"][0], order["command"], order["environment"])  # noqa: S606
    except BaseException as problem:
        os.write(1, f"The function could not be started: {problem}\n".encode())
    finally:
        os._exit(127)


def lower(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def drop_capabilities() -> None:
    """From the next execve on root is a user like any other (only root can, and need, do this)."""
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) != 0:
            return


def prctl(option: int, value: int) -> None:
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


# --- Landlock: what of the file system the function sees (kernel 5.13 and later; see landlock(7)) ---------------------

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
RULE_PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
READ = EXECUTE | READ_FILE | READ_DIR
RIGHTS_BY_VERSION = ((1, (1 << 13) - 1), (2, 1 << 13), (3, TRUNCATE))
SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


def landlock_version() -> int:
    """0 where the kernel has no Landlock."""
    return max(0, libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))


def confine_files(writable: list[str], hidden: list[str]) -> None:
    """Reading everywhere but below `hidden`, writing only below `writable`; no tracing or signalling of others."""
    version = landlock_version()
    if version == 0:
        return
    rights = sum(bits for since, bits in RIGHTS_BY_VERSION if version >= since)
    attributes = struct.pack("QQQ", rights, 0, SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if version >= 6 else 0)
    size = 24 if version >= 6 else 8
    ruleset = libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    grant(ruleset, "/", READ & rights, hidden)
    for path in writable:
        grant(ruleset, path, rights, hidden)
    if libc.syscall(RESTRICT_SELF, ruleset, ctypes.c_uint32(0)) != 0:
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    os.close(ruleset)


def grant(ruleset: int, path: str, rights: int, hidden: list[str]) -> None:
    """A right holds for all that is below a path, so above something hidden each neighbour is granted by itself."""
    if path in hidden:
        return
    if not any(secret.startswith(path.rstrip("/") + "/") for secret in hidden):
        add_rule(ruleset, path, rights)
        return
    for entry in os.scandir(path):
        if not entry.is_symlink():
            grant(ruleset, entry.path, rights, hidden)


def add_rule(ruleset: int, path: str, rights: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not os.path.isdir(path):
        rights &= EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
    rule = struct.pack("=Qi", rights, beneath)
    libc.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, rule, ctypes.c_uint32(0))
    os.close(beneath)


if __name__ == "__main__":
    main()
