"""How fast detection is, through the product's own functions: what a window's end, a batch and an early tick cost.

    .venv/bin/python benchmarks/detection.py            one million things, and fewer
    .venv/bin/python benchmarks/detection.py --things 10000 1000000 --json FILE

8 metrics, 10 behaviours, three of them percentiles, two durations whose windows end together; a batch holds random
devices, with every metric. Each figure is the median of a few rounds, each size has a process of its own. Memory is
what the process needs at most beyond its inputs: the things to enrol, and the batches.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fleetward.detect.inputs import Configure, Enroll, EnrollMany, Target, WatchedProfile
from fleetward.detect.kernel import Kernel, Outcome
from fleetward.meter.batch import Batch, Cells, Column, Ids
from fleetward.meter.meter import Meter
from fleetward.meter.metrics import BASIC, IDLE_CONNECTIONS, MESSAGE_SIZE, MESSAGES_SENT, UNDELIVERABLE
from fleetward.model import Behavior, Operator, PercentileCriterion, StaticCriterion

METRICS = (*BASIC, UNDELIVERABLE, IDLE_CONNECTIONS)
ROUNDS = 5
BATCH = 100_000
SHORT, LONG = 300, 600
BOUND = 1_000

GOALS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "close_ms": ("≤ 300 ms, 800 ms with 600,000 alarms", lambda value: value <= 300),
    "ingest_per_second": ("≥ 20 M/s", lambda value: value >= 20e6),
    "tick_ms": ("≤ 15 ms", lambda value: value <= 15),
    "peak_mb": ("≤ 400 MB", lambda value: value <= 400),
}


def behaviors(bound: int = BOUND) -> tuple[Behavior, ...]:
    """Ten behaviours over the eight metrics; `bound` decides how many devices break the one about messages sent."""
    at_most, (size, sent, received, denied, attempts, disconnects, lost, idle) = Operator.LESS_THAN_EQUALS, METRICS
    rules = [
        (size, PercentileCriterion(at_most, 9_000, 1_000.0), SHORT),
        (sent, PercentileCriterion(at_most, 5_000, 1_000.0), SHORT),
        (received, PercentileCriterion(at_most, 9_900, 1_000.0), LONG),
        (size, StaticCriterion(at_most, BOUND), SHORT),
        (sent, StaticCriterion(Operator.GREATER_THAN_EQUALS, bound), SHORT),
        (denied, StaticCriterion(at_most, BOUND), SHORT),
        (attempts, StaticCriterion(at_most, BOUND), SHORT),
        (disconnects, StaticCriterion(at_most, BOUND), SHORT),
        (lost, StaticCriterion(at_most, BOUND), LONG),
        (idle, StaticCriterion(at_most, BOUND), SHORT),
    ]
    return tuple(Behavior("P", f"rule-{n}", *rule) for n, rule in enumerate(rules))


def fleet(things: list[Enroll], bound: int) -> Kernel:
    kernel = Kernel()
    kernel.feed(EnrollMany.of(0, things))
    kernel.feed(Configure(0, (WatchedProfile("P", behaviors(bound), targets=(Target("all"),)),)))
    kernel.feed(Batch("bench", 0, 0, 250))
    return kernel


def cells(ids: Ids, few: int) -> dict[Column, Cells]:
    """One row per metric for each device; every device sent 2 messages, those with ids up to `few` only 1."""
    one = np.ones(len(ids), dtype=np.int64)
    sent = np.where(ids <= few, one, 2 * one)
    found = {(metric, ""): Cells(ids, one, one, one, one) for metric in METRICS}
    size = 40 + ids * 7_919 % 60
    found[MESSAGE_SIZE, ""] = Cells(ids, sent, sent * size, size, size)
    found[MESSAGES_SENT, ""] = Cells(ids, sent, sent, one, one)
    return found


def parts(size: int) -> Iterator[Ids]:
    """Every device once, in batches of random ones."""
    order = np.random.default_rng(1).permutation(size) + 1
    yield from (order[first : first + BATCH] for first in range(0, size, BATCH))


def seconds(act: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def measure(size: int, alarms: int) -> dict[str, Any]:
    things = [Enroll(0, id, f"thing-{id:07}") for id in range(1, size + 1)]
    list(cells(next(parts(size)), 0).values())
    gc.collect()
    before = memory("VmRSS")
    start = time.perf_counter()
    kernel = fleet(things, bound=2 if alarms else 1)
    enrolled = time.perf_counter() - start
    found: dict[str, list[float]] = {"close": [], "ingest": [], "tick": [], "peak": [], "events": []}
    state = memory("VmRSS") - before
    for turn in range(ROUNDS):
        # What was raised in one round is cleared in the next.
        one_round(kernel, LONG * 1000 * turn + 250, size, min(size, alarms) if turn % 2 == 0 else 0, turn, found)
    return {
        "things": size,
        "events": max(found["events"]),
        "close_ms": statistics.median(found["close"]) * 1000,
        "close_rounds_ms": [1000 * each for each in found["close"]],
        "ingest_per_second": min(BATCH, size) * len(METRICS) / statistics.median(found["ingest"]),
        "ingest_rounds": [min(BATCH, size) * len(METRICS) / each for each in by_round(found["ingest"])],
        "tick_ms": statistics.median(found["tick"]) * 1000,
        "tick_rounds_ms": [1000 * each for each in by_round(found["tick"])],
        "enrol_s": enrolled,
        "state_mb": state / 1e6,
        "peak_mb": (memory("VmHWM") - before) / 1e6,
    }


def by_round(spent: list[float]) -> list[float]:
    """The median of each round; a round has several batches."""
    each = len(spent) // ROUNDS
    return [statistics.median(spent[turn * each : (turn + 1) * each]) for turn in range(ROUNDS)]


def one_round(kernel: Kernel, start: int, size: int, few: int, turn: int, found: dict[str, list[float]]) -> None:
    """Fills both windows, and ends them together."""
    half, sequence = start - 250 + SHORT * 1000, 1 + turn * 2
    for ids in parts(size):
        batch, seen = Batch("bench", 0, start, start, cells=cells(ids, few)), {}
        found["ingest"].append(seconds(lambda batch=batch, seen=seen: seen.update(kernel.ingest(batch))))
        found["tick"].append(seconds(lambda seen=seen: kernel.tick(seen, start, Outcome())))
    kernel.feed(Batch("bench", sequence, start, half))
    for ids in parts(size):
        kernel.ingest(Batch("bench", 0, half, half, cells=cells(ids, few)))
    end, outcome = Batch("bench", sequence + 1, half, half + SHORT * 1000), []
    found["close"].append(seconds(lambda: outcome.append(kernel.feed(end))))
    found["events"].append(len(outcome[0].events))


def memory(what: str) -> float:
    """What this process uses now (VmRSS), or used at most (VmHWM), in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def publishing() -> float:
    """Seconds that the meter takes for one message."""
    meter, best = Meter("bench", 0), 1.0
    device = meter.device(1, "thing")
    for _ in range(7):
        spent = seconds(lambda: [device.published("temperature-device-01", 26) for _ in range(100_000)])
        best = min(best, spent / 100_000)
        meter.flush(250)
    return best


def shown(found: dict[str, float]) -> str:
    return (
        f"{found['things']:>9,} things, {found['events']:>7,.0f} alarms: both closes {found['close_ms']:6.1f} ms "
        f"({found['close_ms'] * 1e6 / found['things']:.0f} ns a thing), ingest {found['ingest_per_second'] / 1e6:5.1f} "
        f"M/s, early tick {found['tick_ms']:5.2f} ms, enrolled in {found['enrol_s']:4.1f} s, state "
        f"{found['state_mb']:3.0f} MB, at most {found['peak_mb']:3.0f} MB"
    )


def judged(found: dict[str, float]) -> list[str]:
    """Whether the goals for a million things are reached."""
    close = found["close_ms"] <= (800 if found["events"] > 10_000 else 300)
    goals = {"close_ms": close, **{key: is_met(found[key]) for key, (_, is_met) in GOALS.items() if key != "close_ms"}}
    return [f"            {key} {GOALS[key][0]}: {'reached' if met else 'MISSED'}" for key, met in goals.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--things", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    figures: list[dict[str, Any]] = [{"metering_us": publishing() * 1e6}]
    print(f"metering one message: {figures[0]['metering_us']:.2f} µs")
    for size in options.things:
        for alarms in (size // 100, size * 6 // 10):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found = pool.apply(measure, (size, alarms))
            figures.append(found)
            print(shown(found), *(judged(found) if size == 1_000_000 else ()), sep="\n", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
