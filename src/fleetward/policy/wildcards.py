"""Matching text against `*` (anything, `/` included) and `?` (one character), in time linear in the text.

`*` alone is decided by leftmost search, which never goes back; a pattern with `?` runs as a bit-parallel automaton.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import dropwhile, takewhile
from typing import TypeAlias


class Wildcard(Enum):
    ANY = "*"
    ONE = "?"


Piece: TypeAlias = "str | Wildcard"
"""A pattern is a sequence of these; a `str` stands for itself, whatever characters it holds."""


class Static:
    """A pattern that says the same of every request."""

    __slots__ = ()

    def decides(self, value: str, request: object = None) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Exact(Static):
    text: str

    @property
    def start(self) -> str:
        return self.text

    def matches(self, value: str, request: object = None) -> bool:
        return value == self.text


@dataclass(frozen=True, slots=True)
class Prefix(Static):
    text: str

    @property
    def start(self) -> str:
        return self.text

    def matches(self, value: str, request: object = None) -> bool:
        return value.startswith(self.text)


@dataclass(frozen=True, slots=True)
class Glob(Static):
    """Text with `*`; `segments` are what stands between the stars."""

    segments: tuple[str, ...]

    @property
    def start(self) -> str:
        return self.segments[0]

    def matches(self, value: str, request: object = None) -> bool:
        return between_stars(self.segments, value)


@dataclass(frozen=True, slots=True)
class Automaton(Static):
    """Text with `?`, behind a literal `start`: bit i of the state says that the next i characters are matched.

    `masks` tell at which positions a character may stand (`other`: any further character), `loops` at which positions
    a star lets the state stay, `accept` is the position behind the last character.
    """

    start: str
    masks: Mapping[str, int]
    other: int
    loops: int
    accept: int

    def matches(self, value: str, request: object = None) -> bool:
        if not value.startswith(self.start):
            return False
        state, masks, other, loops = 1, self.masks, self.other, self.loops
        for letter in value[len(self.start) :]:
            state = ((state & masks.get(letter, other)) << 1) | (state & loops)
            if not state:
                return False
        return bool(state & self.accept)


Matcher: TypeAlias = "Exact | Prefix | Glob | Automaton"


def compile_wildcards(text: str) -> Matcher:
    """`text` with its `*` and `?`, and nothing else that is special."""
    return matcher([Wildcard(letter) if letter in ("*", "?") else letter for letter in text])


def matcher(pieces: Sequence[Piece]) -> Matcher:
    if Wildcard.ONE in pieces:
        return automaton(pieces)
    segments = split_at_stars(pieces)
    if len(segments) == 1:
        return Exact(segments[0])
    return Prefix(segments[0]) if len(segments) == 2 and not segments[1] else Glob(tuple(segments))


def leading_text(parts: Iterable[object]) -> str:
    """The literal text that a sequence of parts begins with."""
    return "".join(str(part) for part in takewhile(_is_text, parts))


def _is_text(part: object) -> bool:
    return isinstance(part, str)


def split_at_stars(pieces: Iterable[Piece]) -> list[str]:
    """The texts between the stars of a pattern without `?`; one text when there is no star."""
    segments, current = [], ""
    for piece in pieces:
        if isinstance(piece, str):
            current += piece
        else:
            segments.append(current)
            current = ""
    segments.append(current)
    return segments


def between_stars(segments: Sequence[str], text: str) -> bool:
    """Whether `text` is the segments in order, with anything in between."""
    first, last = segments[0], segments[-1]
    if len(segments) == 1:
        return text == first
    if not (text.startswith(first) and text.endswith(last)):
        return False
    start, end = len(first), len(text) - len(last)
    for segment in segments[1:-1]:
        start = text.find(segment, start, end)
        if start < 0:
            return False
        start += len(segment)
    return start <= end


def automaton(pieces: Sequence[Piece]) -> Automaton:
    masks: dict[str, int] = {}
    position, other, loops = 1, 0, 0
    for piece in dropwhile(_is_text, pieces):
        if piece is Wildcard.ANY:
            loops |= position
        elif piece is Wildcard.ONE:
            other |= position
            position <<= 1
        else:
            for letter in piece:
                masks[letter] = masks.get(letter, 0) | position
                position <<= 1
    masks = {letter: mask | other for letter, mask in masks.items()}
    return Automaton(leading_text(pieces), masks, other, loops, position)
