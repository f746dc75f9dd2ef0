"""Writes docs/performance.md, and the plots beside it, from the results files of one or several runs.

    python benchmarks/performance.py benchmarks/results/*.json > docs/performance.md

Where two files have the same part, the later one on the command line counts.
"""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plots import plot
from report import FASTER, Figure, Growth, Part, parse, short

FINDINGS = Path(__file__).with_name("findings.md")
PLOTS = Path(__file__).parents[1] / "docs" / "images"
PLOT_PREFIX = "growth-"
HEAD = """\
# Performance

Measured, not promised: this page is generated from a run of `make bench` (`benchmarks/performance.py`); the raw
numbers are in

{files}.

A figure is the median of its rounds, with the least and the most of them; the rounds are interleaved, so that whatever
else the machine did met all alike. Ratios are taken round by round. Yours will differ: run it.
"""
GROWTH_HEAD = f"""\
## How cost grows

Each at several sizes, with the others as they are above. Both axes are logarithmic; the dashed line is linear growth of
the whole (flat, where the figure is that of one message or one connection). The exponents tell how the whole grew from
one size to the next: n^1 is linear, n^0 does not depend on the size at all. Faster than linearly is said of more than
n^{FASTER} in both the median and the least of the rounds.

"""
QUICK = "\n**From a short look (`--quick`): few rounds, small sizes, not for quoting.**\n"
VERDICTS = {None: "", True: "reached", False: "**not reached**"}


def page(files: list[Path], plots: Path) -> str:
    runs = [json.loads(path.read_text()) for path in files]
    parts = {text["name"]: parse(text) for run in runs for text in run["parts"]}
    names = ", ".join(f"`benchmarks/results/{path.name}`" for path in files)
    growing = [growth for part in parts.values() for growth in part.growth]
    sections = [
        HEAD.format(files=names) + (QUICK if any(run.get("quick") for run in runs) else ""),
        _machine(runs[-1]["machine"]),
        _goals(runs, parts),
        *(_part(part) for part in parts.values()),
        _growth(growing, plots),
        FINDINGS.read_text(),
    ]
    return "\n".join(sections)


def _machine(machine: dict[str, Any]) -> str:
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    return (
        f"## The machine\n\n{machine['processor']}, {machine['cores']} cores, {machine['memory GB']} GB; "
        f"{machine['system']}; Python {machine['python']}, {libraries}. "
        f"Load average before the run: {machine['load before']}. Began {machine['began']}.\n"
    )


def _goals(runs: list[dict[str, Any]], parts: Mapping[str, Part]) -> str:
    promised = [figure for part in parts.values() for figure in part.figures if figure.reached is not None]
    told = f"Reached: {sum(bool(figure.reached) for figure in promised)} of {len(promised)}."
    failed = sorted({name for run in runs for name in run.get("failed", ())} - set(parts))
    if failed:
        told += f" **Could not be measured in this run: {', '.join(failed)}.**"
    return f"## Goals\n\n{told}\n\n{_table(promised)}"


def _table(figures: list[Figure]) -> str:
    lines = ["| figure | goal | median | least … most | unit | |", "|---|---|---|---|---|---|"]
    for one in figures:
        span = f"{short(min(one.rounds))} … {short(max(one.rounds))}"
        cells = (one.name, one.goal, short(one.median), span, one.unit, VERDICTS[one.reached])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _part(part: Part) -> str:
    told = "".join(f"- {key}: {_told(value)}\n" for key, value in part.told.items())
    rounds = sorted({len(figure.rounds) for figure in part.figures})
    counted = " or ".join(str(number) for number in rounds)
    how = textwrap.fill(part.how, 120)
    return f"## {part.title}\n\n{how}\n\n{_table(part.figures)}\n- rounds: {counted}\n{told}"


def _told(value: Any) -> str:
    return ", ".join(f"{key} {each}" for key, each in value.items()) if isinstance(value, dict) else str(value)


def _growth(growing: list[Growth], plots: Path) -> str:
    """Writes the plots and shows them, in place of those of the page before."""
    plots.mkdir(parents=True, exist_ok=True)
    for old in plots.glob(f"{PLOT_PREFIX}*.svg"):
        old.unlink()
    text = GROWTH_HEAD
    for growth in growing:
        if len(growth.sizes) < 2:
            continue
        file = PLOT_PREFIX + re.sub(r"[^a-z0-9]+", "-", growth.name.lower()).strip("-") + ".svg"
        (plots / file).write_text(plot(growth))
        text += f"![{growth.name} by {growth.sized}]({plots.name}/{file})\n\n{_growth_told(growth)}\n\n"
    return text


def _growth_told(growth: Growth) -> str:
    """The exponents from each size to the next, and why."""
    steps = " and ".join(f"n^{exponent:.2f}" for exponent in growth.exponents)
    verdict = "faster than linearly, " if growth.is_faster else ""
    return textwrap.fill(f"**{growth.name}** by {growth.sized}: {verdict}{steps}. {growth.note}".strip(), 120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--plots", type=Path, default=PLOTS, help="folder for the plots, beside the page")
    arguments = parser.parse_args()
    print(page(arguments.results, arguments.plots))


if __name__ == "__main__":
    main()
