"""What of the file system the function sees.

Kernel 5.13 and later: https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import struct

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
RULE_PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
READ = EXECUTE | READ_FILE | READ_DIR
RIGHTS_BY_VERSION = ((1, (1 << 13) - 1), (2, 1 << 13), (3, TRUNCATE))
SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11

libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """0 where the kernel has no Landlock."""
    return max(0, libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))


def confine_files(readable: list[str], writable: list[str], hidden: list[str]) -> None:
    """Reading all that is not below `hidden`, writing nothing, but for what is below `readable` and `writable`.

    And no tracing or signalling of other processes.
    """
    known = version()
    if known == 0:
        return
    rights = sum(bits for since, bits in RIGHTS_BY_VERSION if known >= since)
    attributes = struct.pack("QQQ", rights, 0, SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if known >= 6 else 0)
    size = 24 if known >= 6 else 8
    ruleset = libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    for path in ("/", *readable):
        grant(ruleset, path, READ & rights, hidden)
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
    try:
        entries = list(os.scandir(path))
    except PermissionError:
        return
    for entry in entries:
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
