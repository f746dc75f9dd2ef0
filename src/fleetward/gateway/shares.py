"""Who holds how much of what all share: so that one compromised device does not take the others' room."""

from __future__ import annotations


class Shares:
    """Amounts by certificate id, and their `total`. Nothing is kept of who holds nothing."""

    def __init__(self) -> None:
        self.total = 0
        self._by_owner: dict[str, int] = {}

    def of(self, owner: str) -> int:
        return self._by_owner.get(owner, 0)

    def add(self, owner: str, amount: int) -> None:
        """`amount` is negative for what is given back."""
        self.total += amount
        held = self._by_owner.get(owner, 0) + amount
        if held:
            self._by_owner[owner] = held
        else:
            self._by_owner.pop(owner, None)
