"""What one function process may use at most; the rest of its confinement is in `confined/`."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024

MEMORY_FLOOR = 256 * MIB
"""Python with boto3 and a few threads needs this much, whatever memorySize says."""

USERS_PROCESSES = 8192
"""Processes and threads of all functions together."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes. `data` is what a process can write to (heap, stacks); `address_space` counts all it maps.

    `processes` and `threads` (those of all its processes together) are counted by the keeper, function by function;
    `users_processes` by the kernel for all functions together. (AWS: 1024 processes and threads.)
    """

    data: int
    address_space: int
    file_size: int = 512 * MIB
    open_files: int = 1024
    processes: int = 64
    threads: int = 256
    users_processes: int | None = None

    def rlimits(self) -> dict[str, int]:
        """By the name that the module `resource` gives each limit."""
        limits = {
            "RLIMIT_DATA": self.data,
            "RLIMIT_AS": self.address_space,
            "RLIMIT_FSIZE": self.file_size,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_CORE": 0,
        }
        if self.users_processes is not None:
            limits["RLIMIT_NPROC"] = self.users_processes
        return limits


def for_memory(megabytes: int, own_user: bool) -> Limits:
    """The limits of a function with this memorySize.

    The kernel counts processes per user: its limit is a last resort above what functions have each, and only possible
    where they have a user of their own.
    """
    data = max(megabytes * MIB, MEMORY_FLOOR)
    return Limits(data, data + 2048 * MIB, users_processes=USERS_PROCESSES if own_user else None)
