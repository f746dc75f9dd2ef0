"""Guessing takes time: who fails too often, by name or by address, has to wait."""

from __future__ import annotations

from collections import OrderedDict

from fleetward.model import Millis

FREE_OF_NAME, FREE_OF_ADDRESS = 5, 20
"""Failures in a row that cost nothing; each one more doubles the wait. An address has many names behind it at times."""

FORGOTTEN_SECONDS = 900
"""After so long without another one failures do not count any more."""

LONGEST_SECONDS = 300
MOST = 10_000
"""Names and addresses remembered, the latest."""


class Attempts:
    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, Millis, Millis]] = OrderedDict()

    def wait(self, name: str, address: str, now: Millis) -> int:
        """Seconds until the next attempt; 0 when it may be made now."""
        until = max((self._failures[key][1] for key in _keys(name, address) if key in self._failures), default=0)
        return max(0, -(-(until - now) // 1000))

    def begin(self, name: str, address: str, now: Millis) -> None:
        """An attempt is made. It counts as failed until it `succeeded`: many may be under way at once."""
        for key, free in _keys(name, address).items():
            count, _, last = self._failures.pop(key, (0, 0, now))
            count = 1 if now - last > FORGOTTEN_SECONDS * 1000 else count + 1
            self._failures[key] = (count, now + _pause(count - free) * 1000, now)
        while len(self._failures) > MOST:
            self._failures.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        """The name starts anew; its address has one failure less, so that a sign-in of one's own hides no guessing."""
        of_name, of_address = _keys(name, address)
        self._failures.pop(of_name, None)
        if of_address in self._failures:
            count, until, last = self._failures[of_address]
            self._failures[of_address] = (count - 1, until, last)


def _keys(name: str, address: str) -> dict[str, int]:
    """Under what failures are counted, and how many are free."""
    return {f"name {name[:64]}": FREE_OF_NAME, f"address {address}": FREE_OF_ADDRESS}


def _pause(failures: int) -> int:
    """Seconds, after so many failures beyond the free ones."""
    return 0 if failures <= 0 else min(LONGEST_SECONDS, 2 ** min(failures, 16))
