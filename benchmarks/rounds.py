"""Interleaved rounds: each runs every job once, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping

Job = Callable[[], Mapping[str, float]]
"""Measures once: figure → value."""

Found = dict[str, dict[str, list[float]]]
"""Job → figure → one value a round."""


def interleaved(jobs: Mapping[str, Job], rounds: int, title: str, expendable: Collection[str] = ()) -> Found:
    """Every other round runs the jobs backwards, so that none always comes after the same one.

    An expendable job, a peer's, that fails is told and left out, with all its rounds; any other ends the benchmark.
    """
    found: Found = {name: {} for name in jobs}
    for number in range(rounds):
        for name in list(found) if number % 2 == 0 else list(reversed(found)):
            try:
                figures = jobs[name]()
            except (OSError, RuntimeError) as error:
                if name not in expendable:
                    raise
                del found[name]
                progress(f"{name} failed and is left out: {error}", last=True)
                continue
            for figure, value in figures.items():
                found[name].setdefault(figure, []).append(value)
        progress(f"{title}: round {number + 1} of {rounds}", last=number + 1 == rounds)
    return found


def progress(text: str, last: bool = False) -> None:
    print(f"\r  {text:70}", end="\n" if last else "", file=sys.stderr, flush=True)
