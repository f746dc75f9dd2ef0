"""What the kernel asks the keeper when the function is about to make a process or touches one.

struct seccomp_notif and seccomp_notif_resp: https://man7.org/linux/man-pages/man2/seccomp_unotify.2.html
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
import time

RECEIVE, SEND = 0xC0502100, 0xC0182101
CONTINUE = 1
COUNT_AGAIN_SECONDS = 0.05
CLONE, CLONE_THREAD = {"x86_64": 56}.get(os.uname().machine, 220), 0x00010000


class Crowd:
    """The function's processes and threads, counted only when so many were born since the last time that it matters."""

    def __init__(self, processes: int, threads: int) -> None:
        self.most = (processes, threads)
        self.room = (0, 0)
        self.counted_at = 0.0

    def admits(self, thread: bool) -> bool:
        """Whether one more may be born."""
        if min(self.room) <= 0 and time.monotonic() > self.counted_at + COUNT_AGAIN_SECONDS:
            self.count()
        if min(self.room) <= 0:
            return False
        self.room = (self.room[0] - (not thread), self.room[1] - 1)
        return True

    def is_full(self) -> bool:
        self.count()
        return min(self.room) < 0

    def count(self) -> None:
        mine = descendants()
        self.room = (self.most[0] - len(mine), self.most[1] - sum(map(threads_of, mine)))
        self.counted_at = time.monotonic()


def threads_of(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0


def answer(listener: int, targets: dict[str, int], crowd: Crowd) -> None:
    question = bytearray(80)
    try:
        fcntl.ioctl(listener, RECEIVE, question)
        serial, _, _, number, _, _, *arguments = struct.unpack("=QIIiIQ6Q", question)
        at = targets.get(str(number))
        if at is None:
            error = 0 if crowd.admits(number == CLONE and bool(arguments[0] & CLONE_THREAD)) else errno.EAGAIN
        else:
            error = 0 if is_mine(ctypes.c_int(arguments[at]).value) else errno.EPERM
        fcntl.ioctl(listener, SEND, bytearray(struct.pack("=QqiI", serial, 0, -error, 0 if error else CONTINUE)))
    except OSError:
        pass  # Who asked is dead.


def is_mine(target: int) -> bool:
    """Whether a process, a thread or (negative) a group of processes is the function's."""
    mine = descendants()
    if target > 0:
        return target in mine or any(os.path.exists(f"/proc/{pid}/task/{target}") for pid in mine)
    return target < -1 and any(group_of(pid) == -target for pid in mine)


def group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def parents() -> dict[int, int]:
    """Of every process on the machine."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    # The command in parentheses may hold anything; what follows the last one is: state, parent, …
                    found[int(name)] = int(stat.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
    return found


def descendants() -> set[int]:
    above, mine, new = parents(), set[int](), {os.getpid()}
    while new:
        new = {child for child, parent in above.items() if parent in new} - mine
        mine |= new
    return mine
