"""A view of the file system of the function's own: folders of its own over those that all share.

https://man7.org/linux/man-pages/man7/mount_namespaces.7.html, …/user_namespaces.7.html
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18

libc = ctypes.CDLL(None, use_errno=True)


def cover(mounts: Sequence[Sequence[str]], switches_user: bool) -> None:
    """Puts each folder over another one, (what, over what), for this process and its descendants only.

    Whoever is not root needs a namespace of users as well, in which there is nobody but itself: there a process that
    `switches_user` could not become somebody else.
    """
    if not mounts:
        return
    enter_namespace(switches_user)
    mount("none", "/", MS_REC | MS_PRIVATE)
    # One mount may hide what the next one needs.
    sources = [os.open(source, os.O_PATH | os.O_DIRECTORY) for source, _ in mounts]
    for source, (_, target) in zip(sources, mounts, strict=True):
        mount(f"/proc/self/fd/{source}", target, MS_BIND)
        os.close(source)


def enter_namespace(switches_user: bool) -> None:
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWNS) == 0:
        return
    if switches_user or libc.unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    write("setgroups", "deny")
    write("uid_map", f"{uid} {uid} 1")
    write("gid_map", f"{gid} {gid} 1")


def mount(source: str, target: str, flags: int) -> None:
    if libc.mount(source.encode(), target.encode(), None, ctypes.c_ulong(flags), None) != 0:
        raise OSError(ctypes.get_errno(), f"mount over {target}")


def write(name: str, text: str) -> None:
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
