"""What one function process may use at most; the rest of its confinement is in `launcher.py`."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024

MEMORY_FLOOR = 256 * MIB
"""Python with boto3 and a few threads needs this much, whatever memorySize says."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes. `data` is what a process can write to (heap, stacks); `address_space` counts all it maps."""

    data: int
    address_space: int
    file_size: int = 512 * MIB
    open_files: int = 1024
    processes: int | None = None

    def rlimits(self) -> dict[str, int]:
        """By the name that the module `resource` gives each limit."""
        limits = {
            "RLIMIT_DATA": self.data,
            "RLIMIT_AS": self.address_space,
            "RLIMIT_FSIZE": self.file_size,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_CORE": 0,
        }
        if self.processes is not None:
            limits["RLIMIT_NPROC"] = self.processes
        return limits


def for_memory(megabytes: int, own_user: bool) -> Limits:
    """The limits of a function with this memorySize.

    The number of processes counts per user: it can only be limited (AWS: 1024) where functions have one of their own.
    """
    data = max(megabytes * MIB, MEMORY_FLOOR)
    return Limits(data, data + 2048 * MIB, processes=1024 if own_user else None)
