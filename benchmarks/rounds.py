"""Interleaved rounds: each runs every job once, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

Job = Callable[[], Mapping[str, float]]
"""Measures once: figure → value."""

Found = dict[str, dict[str, list[float]]]
"""Job → figure → one value a round."""


def interleaved(jobs: Mapping[str, Job], rounds: int, title: str) -> Found:
    """Every other round runs the jobs backwards, so that none always comes after the same one."""
    found: Found = {name: {} for name in jobs}
    for number in range(rounds):
        names = list(jobs) if number % 2 == 0 else list(reversed(jobs))
        for name in names:
            for figure, value in jobs[name]().items():
                found[name].setdefault(figure, []).append(value)
        progress(f"{title}: round {number + 1} of {rounds}", last=number + 1 == rounds)
    return found


def progress(text: str, last: bool = False) -> None:
    print(f"\r  {text:70}", end="\n" if last else "", file=sys.stderr, flush=True)
