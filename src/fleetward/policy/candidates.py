"""The statements that may be about a resource, found by the literal text that their patterns begin with.

A device with a new topic for every message is decided anew for each: what it costs then depends on how many statements
speak of such topics, not on how many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Generic, Protocol, TypeVar


class Candidate(Protocol):
    @property
    def index(self) -> int: ...

    @property
    def starts(self) -> Iterable[str]:
        """It applies to no resource that begins with none of these."""


Kind = TypeVar("Kind", bound=Candidate)

_place = attrgetter("index")


class Candidates(Generic[Kind]):
    __slots__ = ("_by_start", "_lengths")

    def __init__(self, statements: Iterable[Kind]) -> None:
        self._by_start: dict[str, list[Kind]] = {}
        for statement in statements:
            for start in statement.starts:
                self._by_start.setdefault(start, []).append(statement)
        self._lengths = sorted({len(start) for start in self._by_start})

    def about(self, resource: str) -> Sequence[Kind]:
        """In the order of the document; one with several patterns may come more than once."""
        found: list[Kind] = []
        for length in self._lengths:
            if length > len(resource):
                break
            found += self._by_start.get(resource[:length], ())
        if len(found) > 1:
            found.sort(key=_place)
        return found
