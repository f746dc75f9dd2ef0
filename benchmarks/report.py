"""What every benchmark hands in: figures with their goals, how cost grows, and how it was measured."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import machine

MACHINE = machine.describe()
"""As it was before the benchmark did anything."""

ROUNDS = 5
"""A median of fewer says little."""

FASTER = 1.1
"""An exponent above this is faster than linear growth; below it may be noise."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number: its value in each round, and the bound its median should keep to."""

    name: str
    unit: str
    rounds: Sequence[float]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def goal(self) -> str:
        if self.at_least is not None:
            return f"≥ {short(self.at_least)}"
        return f"≤ {short(self.at_most)}" if self.at_most is not None else ""

    @property
    def reached(self) -> bool | None:
        """None where nothing is promised."""
        if self.at_least is not None:
            return self.median >= self.at_least
        return None if self.at_most is None else self.median <= self.at_most


@dataclass(frozen=True, slots=True)
class Growth:
    """The same figure at several sizes; `rounds` by size."""

    name: str
    unit: str
    sized: str
    """What the sizes count: "connections"."""
    rounds: Mapping[int, Sequence[float]]
    note: str = ""
    """Why it grows as it does."""
    each: bool = False
    """Whether the figure is that of one of those counted, so that a flat curve is linear growth of the whole."""

    def median(self, size: int) -> float:
        return statistics.median(self.rounds[size])

    @property
    def sizes(self) -> list[int]:
        """Those of which something was measured that a logarithm can be taken of, the smallest first."""
        return sorted(size for size, rounds in self.rounds.items() if min(rounds, default=0) > 0)

    def linear(self, size: int) -> float:
        """What it would be if the whole grew linearly from the smallest size on."""
        first = self.sizes[0]
        return self.median(first) * (1 if self.each else size / first)

    @property
    def exponents(self) -> list[float]:
        """From each size to the next the whole grew as n to the power of this: 1 is linear."""
        return self._exponents(statistics.median)

    @property
    def is_faster(self) -> bool:
        """Than linear, somewhere; noise does not lift the median and the least of the rounds alike."""
        both = zip(self.exponents, self._exponents(min), strict=True)
        return any(min(one) > FASTER for one in both)

    def _exponents(self, of_the_rounds: Callable[[Sequence[float]], float]) -> list[float]:
        at = {size: math.log(of_the_rounds(self.rounds[size])) for size in self.sizes}
        return [(at[large] - at[small]) / math.log(large / small) + self.each for small, large in pairwise(self.sizes)]


@dataclass(slots=True)
class Part:
    """One benchmark's results. `how` tells in a few sentences what was done."""

    name: str
    title: str
    how: str
    figures: list[Figure] = field(default_factory=list)
    growth: list[Growth] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    """Whatever else a reader needs: versions of peers, what is missing, settings."""

    def add(self, name: str, unit: str, rounds: Sequence[float], **bound: float) -> None:
        if rounds:
            self.figures.append(Figure(name, unit, list(rounds), **bound))


def parse(text: Mapping[str, Any]) -> Part:
    """A part as it stands in a results file."""
    figures = [Figure(**one) for one in text["figures"]]
    growth = [
        Growth(**{**one, "rounds": {int(size): r for size, r in one["rounds"].items()}}) for one in text["growth"]
    ]
    return Part(text["name"], text["title"], text["how"], figures, growth, text["told"])


# --- the command line of a benchmark ----------------------------------------------------------------------------------


def parser(description: str | None, seconds: float = 3.0) -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--rounds", type=int, default=ROUNDS, help="of each measurement; fewer than 5 are only a look")
    found.add_argument("--seconds", type=float, default=seconds, help="of each measurement in each round")
    found.add_argument("--quick", action="store_true", help="a short look: fewer rounds, smaller sizes")
    found.add_argument("--json", type=Path, help="write the raw numbers here")
    return found


def hand_in(part: Part, began: float, path: Path | None) -> None:
    """Prints the part, and writes it where the caller wants it; `began` is `time.monotonic()` of the start."""
    part.told["took seconds"] = round(time.monotonic() - began)
    print(as_text(part))
    if path is not None:
        path.write_text(json.dumps({"machine": MACHINE, "parts": [asdict(part)]}, indent=1))


def as_text(part: Part) -> str:
    lines = [part.title, *(f"  {key}: {value}" for key, value in part.told.items())]
    lines.append(f"  {'':62}{'median':>10}{'least':>10}{'most':>10}  unit")
    for figure in part.figures:
        verdict = {None: "", True: f"goal {figure.goal}: reached", False: f"goal {figure.goal}: NOT reached"}
        numbers = "".join(f"{short(value):>10}" for value in (figure.median, min(figure.rounds), max(figure.rounds)))
        lines.append(f"  {figure.name:62}{numbers}  {figure.unit:10}{verdict[figure.reached]}")
    for growth in part.growth:
        sizes = ", ".join(f"{size:,}: {short(growth.median(size))}" for size in growth.rounds)
        lines.append(f"  {growth.name} ({growth.unit}) by {growth.sized}: {sizes}")
    return "\n".join(lines)


def short(value: float) -> str:
    """Three digits that mean something, and no more."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round, so that what disturbed one round disturbed both."""
    return [one / other for one, other in zip(above, below, strict=True)]
