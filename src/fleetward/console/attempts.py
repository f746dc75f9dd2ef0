"""Guessing takes time: who fails too often, by name or by address, has to wait."""

from __future__ import annotations

from collections import OrderedDict

from fleetward.model import Millis

FREE = 5
"""Failures in a row that cost nothing; each one more doubles the wait."""

LONGEST_SECONDS = 300
MOST = 10_000
"""Names and addresses remembered, the latest."""


class Attempts:
    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, Millis]] = OrderedDict()

    def wait(self, name: str, address: str, now: Millis) -> int:
        """Seconds until the next attempt; 0 when it may be made now."""
        until = max((self._failures[key][1] for key in _keys(name, address) if key in self._failures), default=0)
        return max(0, -(-(until - now) // 1000))

    def note(self, name: str, address: str, succeeded: bool, now: Millis) -> None:
        for key in _keys(name, address):
            count, _ = self._failures.pop(key, (0, 0))
            if not succeeded:
                self._failures[key] = (count + 1, now + _pause(count + 1) * 1000)
        while len(self._failures) > MOST:
            self._failures.popitem(last=False)


def _keys(name: str, address: str) -> tuple[str, str]:
    return f"name {name[:64]}", f"address {address}"


def _pause(failures: int) -> int:
    """Seconds. An address has many names behind it at times, so a few failures are free for both."""
    return 0 if failures <= FREE else int(min(LONGEST_SECONDS, 2 ** (failures - FREE)))
