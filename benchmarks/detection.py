"""How fast detection is, through the product's own functions: what a window's end, a batch and an early tick cost.

    .venv/bin/python benchmarks/detection.py            one million things
    .venv/bin/python benchmarks/detection.py 10000 100000 1000000

8 metrics, 10 behaviours, three of them percentiles, two durations whose windows end together. Each figure is the median
of a few rounds; the machine and what else it does are part of it.
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np

from fleetward.detect.inputs import Configure, Enroll, Target, WatchedProfile
from fleetward.detect.kernel import Kernel, Outcome
from fleetward.meter.batch import Batch, Cells, Column
from fleetward.meter.meter import Meter
from fleetward.meter.metrics import BASIC, IDLE_CONNECTIONS, MESSAGE_SIZE, UNDELIVERABLE
from fleetward.model import Behavior, Operator, PercentileCriterion, StaticCriterion

METRICS = (*BASIC, UNDELIVERABLE, IDLE_CONNECTIONS)
ROUNDS = 5
BATCH = 100_000
SHORT, LONG = 300, 600
BOUND = 1_000


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


def fleet(size: int, bound: int) -> Kernel:
    kernel = Kernel()
    for id in range(1, size + 1):
        kernel.feed(Enroll(0, id, f"thing-{id:07}"))
    kernel.feed(Configure(0, (WatchedProfile("P", behaviors(bound), targets=(Target("all"),)),)))
    kernel.feed(Batch("bench", 0, 0, 250))
    return kernel


def cells(first: int, rows: int, few: int) -> dict[Column, Cells]:
    """One row per metric for each of `rows` devices; every device sent 2 messages, the first `few` only 1."""
    ids, one = np.arange(first, first + rows), np.ones(rows, dtype=np.int64)
    sent = np.where(ids <= few, one, 2 * one)
    found = {(metric, ""): Cells(ids, one, one, one, one) for metric in METRICS}
    bytes_ = 90 + ids % 20
    found[MESSAGE_SIZE, ""] = Cells(ids, one, bytes_, bytes_, bytes_)
    found["aws:num-messages-sent", ""] = Cells(ids, sent, sent, one, one)
    return found


def seconds(act: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def measure(size: int, alarms: int) -> Mapping[str, float]:
    """Seconds of a close that raises `alarms`, of taking one batch, and of its early tick; bytes of the kernel."""
    before = memory()
    kernel = fleet(size, bound=2 if alarms else 1)
    state = memory() - before
    rows, sequence = min(BATCH, size), 1
    ingests, ticks, closes, raised = [], [], [], 0
    for turn in range(ROUNDS):
        few = min(size, alarms) if turn % 2 == 0 else 0  # what was raised in one round is cleared in the next
        start = LONG * 1000 * turn + 250
        for first in range(1, size + 1, rows):
            batch = Batch("bench", sequence, start, start, cells=cells(first, min(rows, size + 1 - first), few))
            seen: dict[Column, tuple[np.ndarray, Cells]] = {}
            ingests.append(seconds(lambda batch=batch, seen=seen: seen.update(kernel.ingest(batch))))
            sent = {column: seen[column] for column in ((MESSAGE_SIZE, ""), (UNDELIVERABLE, ""))}
            ticks.append(seconds(lambda sent=sent, now=start: kernel.tick(sent, now, Outcome())))
            sequence += 1
        half = LONG * 1000 * turn + SHORT * 1000
        kernel.feed(Batch("bench", sequence, start, half))
        for first in range(1, size + 1, rows):
            kernel.ingest(Batch("bench", 0, half, half, cells=cells(first, min(rows, size + 1 - first), few)))
        end = Batch("bench", sequence + 1, half, half + SHORT * 1000)
        outcome: list[Outcome] = []
        closes.append(seconds(lambda end=end, outcome=outcome: outcome.append(kernel.feed(end))))
        raised = max(raised, len(outcome[0].events))
        sequence += 2
    observations = rows * len(METRICS)
    return {
        "close": statistics.median(closes),
        "ingest": observations / statistics.median(ingests),
        "tick": statistics.median(ticks),
        "state": state,
        "peak": memory() - before,
        "events": raised,
    }


def memory() -> float:
    """The most this process ever used, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def publishing() -> float:
    """Seconds that the meter takes for one message."""
    meter, best = Meter("bench", 0), 1.0
    device = meter.device(1, "thing")
    for _ in range(7):
        spent = seconds(lambda: [device.published("temperature-device-01", 26) for _ in range(100_000)])
        best = min(best, spent / 100_000)
        meter.flush(250)
    return best


def main(sizes: list[int]) -> None:
    print(f"metering one message: {publishing() * 1e6:.2f} µs")
    for size in sizes:
        for alarms in (size // 100, size * 6 // 10):
            found = measure(size, alarms)
            print(
                f"{size:>9,} things, {found['events']:>9,.0f} events: both closes {found['close'] * 1000:7.1f} ms, "
                f"ingest {found['ingest'] / 1e6:5.1f} M/s, early tick {found['tick'] * 1000:5.2f} ms, "
                f"state {found['state'] / 1e6:5.0f} MB, peak {found['peak'] / 1e6:5.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [1_000_000])
