"""Which process is at the other end of a loopback connection: so that nobody steals another function's events."""

from __future__ import annotations

import os
import sys

_TCP_TABLE = "/proc/net/tcp"


def is_held_by(pid: int, peer: tuple[str, int], here: tuple[str, int]) -> bool:
    """Whether process `pid` holds the socket `peer` that is connected to our socket `here` (both IPv4).

    Reads the kernel's table of TCP connections, which takes milliseconds when there are thousands: use a thread.
    """
    inode = _inode(f"{_hex(peer)} {_hex(here)}".encode())
    return inode is not None and f"socket:[{inode}]" in _open_files(pid)


def _hex(address: tuple[str, int]) -> str:
    """As in /proc/net/tcp: the address as a number in the machine's own byte order, the port as it is."""
    host, port = address
    number = int.from_bytes(bytes(map(int, host.split("."))), sys.byteorder)
    return f"{number:08X}:{port:04X}"


def _inode(connection: bytes) -> int | None:
    with open(_TCP_TABLE, "rb") as table:
        for line in table:
            if connection in line:
                return int(line.split()[9])
    return None


def _open_files(pid: int) -> set[str]:
    links = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                links.add(os.readlink(f"/proc/{pid}/fd/{name}"))
            except OSError:  # Closed meanwhile.
                continue
    except OSError:
        pass
    return links
