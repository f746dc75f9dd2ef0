"""What running servers cost: processor time and memory of a process and all its descendants, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(_stat(folder.name)[1])
        except FileNotFoundError:  # it ended just now
            continue
        children.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time since each started; what ended meanwhile counts through its parent."""
    return sum(_cpu_seconds(each) for each in tree(pid))


def _cpu_seconds(pid: int) -> float:
    return sum(int(field) for field in _stat(pid)[11:15]) / TICKS


def _stat(pid: int | str) -> list[str]:
    """The fields after the name, proc_pid_stat(5): [1] is the parent, [11] to [14] are times."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def memory_bytes(pid: int) -> int:
    """Proportional set size: what is shared is shared out."""
    return sum(_kilobytes(f"/proc/{each}/smaps_rollup", "Pss:") for each in tree(pid)) * 1024


def resident_bytes(pid: int) -> int:
    return sum(_kilobytes(f"/proc/{each}/status", "VmRSS:") for each in tree(pid)) * 1024


def _kilobytes(path: str, name: str) -> int:
    return int(Path(path).read_text().partition(f"\n{name}")[2].split()[0])
