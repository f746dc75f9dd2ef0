"""How a process gives up everything and becomes the function."""

from __future__ import annotations

import _socket
import ctypes
import os
import resource
import signal
import struct
from typing import Any

from .landlock import confine_files
from .mounts import cover

PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
WATCHED = (signal.SIGTERM, signal.SIGCHLD)
"""The signals that the keeper hears."""
SECCOMP = {"x86_64": 317}.get(os.uname().machine, 277)
SET_MODE_FILTER, NEW_LISTENER = 1, 8

libc = ctypes.CDLL(None, use_errno=True)


def become_function(order: dict[str, Any], keeper: int, there: Any) -> None:
    try:
        signal.set_wakeup_fd(-1)
        os.setsid()
        os.umask(0o022)
        for name, value in order["rlimits"].items():
            lower(getattr(resource, name), value)
        cover(order["mounts"], switches_user=order["user"] is not None)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        drop_capabilities()
        confine_files(order["readable"], order["writable"], order["hidden"])
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
        for number in (*WATCHED, signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores the latter; ignored stays ignored.
            signal.signal(number, signal.SIG_DFL)
        filter_calls(order["filters"], there)
        os.execve(order["command"][0], order["command"], order["environment"])  # noqa: S606
    except BaseException as problem:
        os.write(1, f"The function could not be started: {problem}\n".encode())
    finally:
        os._exit(127)


def lower(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def filter_calls(filters: dict[str, str], there: Any) -> None:
    """From here on the filter holds, for all that descends from this process."""
    if "asking" in filters:
        listener = install(filters["asking"], NEW_LISTENER)
        if listener >= 0:
            there.sendmsg([b"x"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", listener))])
            return
    if "plain" in filters and install(filters["plain"], 0) < 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def install(program: str, flags: int) -> int:
    code = bytes.fromhex(program)
    memory = ctypes.create_string_buffer(code, len(code))
    described = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(memory))
    return int(libc.syscall(SECCOMP, SET_MODE_FILTER, flags, described))


def drop_capabilities() -> None:
    """From the next execve on root is a user like any other (only root can, and need, do this)."""
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) != 0:
            return


def prctl(option: int, value: int) -> None:
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")
