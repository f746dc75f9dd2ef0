"""Which system calls a function may make: a filter for the kernel, as a table of calls and a program made of it.

It closes what Landlock and the user leave open where functions share a user with each other or with the server: limits,
priorities, signals and memory of other processes, namespaces, the kernel's own machinery, sockets in the file system.

A filter sees numbers only, and knows no process but the caller. So a call that names another process, or makes one, is
put to the keeper (confined/), who lets it pass when that process is one of the function's, or when there are not too
many yet. https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

ARCHITECTURES: Mapping[str, tuple[int, int]] = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""Machine → (its audit number, its column in the table of calls)."""

_CALLS: Mapping[str, tuple[int, int]] = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clone": (56, 220),
    "clone3": (435, 435),
    "fcntl": (72, 25),
    "fork": (57, -1),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "keyctl": (250, 219),
    "kill": (62, 129),
    "migrate_pages": (256, 238),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "msgctl": (71, 187),
    "msgget": (68, 186),
    "msgrcv": (70, 188),
    "msgsnd": (69, 189),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41),
    "prlimit64": (302, 261),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "semctl": (66, 191),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "setns": (308, 268),
    "setpriority": (141, 140),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmget": (29, 194),
    "socket": (41, 198),
    "tgkill": (234, 131),
    "tkill": (200, 130),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vfork": (58, -1),
}
"""Name → number on x86_64 and on aarch64; -1 where there is no such call."""

# What a call gets: seccomp's return values.
_ALLOW, _REFUSE, _ASK = 0x7FFF0000, 0x00050000, 0x7FC00000
_EPERM = _REFUSE | errno.EPERM

_NEW_NAMESPACES = 0x7E020000
_PROCESS, _IOPRIO_PROCESS = 0, 1
_F_SETOWN, _F_SETOWN_EX, _FIOSETOWN, _SIOCSPGRP = 8, 15, 0x8901, 0x8902
_AF_INET, _AF_INET6, _AF_NETLINK = 2, 10, 16

_REFUSED = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease"),
    *("pidfd_getfd", "pidfd_send_signal", "kcmp", "perf_event_open", "bpf", "userfaultfd"),
    *("keyctl", "add_key", "request_key", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("shmget", "shmat", "shmctl", "semget", "semop", "semtimedop", "semctl"),
    *("msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink"),
    *("mount", "umount2", "pivot_root", "chroot", "unshare", "setns"),
    *("move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"),
)


@dataclass(frozen=True, slots=True)
class _Only:
    """Argument number `at` is one of `values`, or the call fails with `error`."""

    at: int
    values: tuple[int, ...]
    error: int = errno.EPERM


@dataclass(frozen=True, slots=True)
class _Never:
    """Argument number `at` is none of `values`."""

    at: int
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Target:
    """Argument number `at` is a process or a group of processes; 0 is the caller's own."""

    at: int


_Rule: TypeAlias = _Only | _Never | _Target

_RULES: Mapping[str, tuple[_Rule, ...]] = {
    "prlimit64": (_Target(0),),
    "kill": (_Target(0),),
    "tkill": (_Target(0),),
    "tgkill": (_Target(0),),
    "rt_sigqueueinfo": (_Target(0),),
    "rt_tgsigqueueinfo": (_Target(0),),
    "sched_setaffinity": (_Target(0),),
    "sched_setattr": (_Target(0),),
    "sched_setparam": (_Target(0),),
    "sched_setscheduler": (_Target(0),),
    "migrate_pages": (_Target(0),),
    "move_pages": (_Target(0),),
    "setpriority": (_Only(0, (_PROCESS,)), _Target(1)),
    "ioprio_set": (_Only(0, (_IOPRIO_PROCESS,)), _Target(1)),
    # Whom the kernel signals for a file.
    "fcntl": (_Never(1, (_F_SETOWN, _F_SETOWN_EX)),),
    "ioctl": (_Never(1, (_FIOSETOWN, _SIOCSPGRP)),),
    "socket": (_Only(0, (_AF_INET, _AF_INET6, _AF_NETLINK), errno.EAFNOSUPPORT),),
}


def _numbers() -> dict[str, int]:
    _, column = ARCHITECTURES.get(platform.machine(), (0, 0))
    return {name: both[column] for name, both in _CALLS.items() if both[column] >= 0}


NUMBERS: Mapping[str, int] = _numbers()
"""The calls named here → their numbers on this machine."""


def missing() -> str:
    """Why there is no filter on this machine, or nothing."""
    if platform.machine() not in ARCHITECTURES or struct.calcsize("P") != 8:
        return f"the system calls of {platform.machine()} are not known"
    if not _available(_REFUSE):
        return "the kernel has no seccomp"
    return ""


def can_ask() -> bool:
    """Whether a keeper can be asked, and can answer "go on" (since Linux 5.5)."""
    release = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2] if part.isdigit())
    return release >= (5, 5) and _available(_ASK)


def targets() -> dict[int, int]:
    """Calls that the keeper is asked about because they name a process → which argument does."""
    return {
        NUMBERS[name]: rule.at
        for name, rules in _RULES.items()
        if name in NUMBERS
        for rule in rules
        if isinstance(rule, _Target)
    }


def program(ask: bool) -> bytes:
    """The filter. Without `ask` it refuses whatever names another process, and lets processes be made."""
    audit, _ = ARCHITECTURES[platform.machine()]
    code = [_load(4), *_unless(audit, _ret(_REFUSE | errno.ENOSYS)), _load(0)]
    if platform.machine() == "x86_64":  # The x32 variants of all calls.
        code += [_op(0x35, 0, 1, 0x40000000), _ret(_REFUSE | errno.ENOSYS)]
    for name in _REFUSED:
        code += _when(NUMBERS[name], [_ret(_EPERM)])
    for name, rules in _RULES.items():
        code += _when(NUMBERS[name], _judged(rules, _ASK if ask else _EPERM))
    birth = _ret(_ASK if ask else _ALLOW)
    code += _when(NUMBERS["clone"], [_argument(0), _op(0x45, 0, 1, _NEW_NAMESPACES), _ret(_EPERM), birth])
    for name in ("fork", "vfork"):
        if name in NUMBERS:
            code += _when(NUMBERS[name], [birth])
    # Its flags are behind a pointer; the C library then takes clone.
    code += _when(NUMBERS["clone3"], [_ret(_REFUSE | errno.ENOSYS)])
    return b"".join([*code, _ret(_ALLOW)])


def _judged(rules: Iterable[_Rule], foreign: int) -> list[bytes]:
    code: list[bytes] = []
    for rule in rules:
        code.append(_argument(rule.at))
        match rule:
            case _Only(_, values, error):
                # Each match jumps over the other comparisons and the refusal.
                code += [_op(0x15, len(values) - index, 0, value) for index, value in enumerate(values)]
                code.append(_ret(_REFUSE | error))
            case _Never(_, values):
                for value in values:
                    code += _when(value, [_ret(_EPERM)])
            case _Target():
                code += _unless(0, _ret(foreign))
    return [*code, _ret(_ALLOW)]


# --- one instruction each: BPF on struct seccomp_data (number, architecture, instruction pointer, 6 arguments) --------


def _op(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _load(offset: int) -> bytes:
    return _op(0x20, 0, 0, offset)


def _argument(at: int) -> bytes:
    """Its low 32 bits: all of them hold what C calls an int here (both machines are little-endian)."""
    return _load(16 + 8 * at)


def _ret(action: int) -> bytes:
    return _op(0x06, 0, 0, action)


def _when(value: int, block: list[bytes]) -> list[bytes]:
    return [_op(0x15, 0, len(block), value), *block]


def _unless(value: int, instruction: bytes) -> list[bytes]:
    return [_op(0x15, 1, 0, value), instruction]


def _available(action: int) -> bool:
    """seccomp(SECCOMP_GET_ACTION_AVAIL)"""
    number = {"x86_64": 317, "aarch64": 277}[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.syscall(number, ctypes.c_uint(2), ctypes.c_uint(0), ctypes.byref(ctypes.c_uint32(action))) == 0)
