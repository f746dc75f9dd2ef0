"""Runs the benchmarks one after the other and keeps all their numbers in one results file: what `make bench` calls.

    python benchmarks/bench.py [--quick] [--only NAME …] [--results FILE]

A benchmark that cannot run (no compiler, no network for a peer) is told, and the others go on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import adapters
import machine

HERE = Path(__file__).parent
RESULTS = HERE / "results"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One script. `adapt` turns what it writes into parts where it has a form of its own."""

    name: str
    about: str
    minutes: float
    """On two cores, in full."""
    options: tuple[str, ...] = ()
    quick: tuple[str, ...] = ("--quick",)
    adapt: Callable[[Any], list[dict[str, Any]]] = lambda found: found["parts"]  # type: ignore[no-any-return]


BENCHMARKS = (
    Benchmark("gateway", "throughput and latency next to mosquitto and amqtt", 3),
    Benchmark("tls", "mutual TLS: memory, handshakes, reconnect storm", 5),
    Benchmark("neighbours", "what a flood, a busy API or a mass alarm does to others", 8),
    Benchmark("isolation", "from the deciding event to the cut, with 5,000 msg/s beside", 4, ("--runs", "100")),
    Benchmark(
        "api",
        "the AWS door next to moto_server and MiniStack",
        3,
        ("--rounds", "5", "--seconds", "1"),
        ("--rounds", "2", "--seconds", "1", "--things", "20000"),
        adapters.api,
    ),
    Benchmark("functions", "a warm function's overhead, a thousand alerts drained", 2),
    Benchmark("storm", "a mass alarm until it is stored and queued", 3),
    Benchmark(
        "detection",
        "windows, batches and ticks at a million things",
        2,
        (),
        ("--things", "10000", "100000"),
        adapters.detection,
    ),
    Benchmark("history", "metric history and back-test", 2, (), ("--things", "1000", "--days", "2"), adapters.history),
    Benchmark("startup", "serve to healthy, memory, --help", 3),
    Benchmark("console", "how long each page takes to be shown, with a million things", 6),
)

WHAT_IT_DOES = """\
Benchmarks: {names}; about {minutes:.0f} minutes.
They run servers on free ports of 127.0.0.1, in temporary folders, and compile a load generator with cc.
Peers are installed beside this environment, in {home}, never into the system:
mosquitto (Debian packages, unless installed), amqtt, moto[server] and ministack (PyPI).
"""


def run(benchmark: Benchmark, quick: bool) -> list[dict[str, Any]]:
    """The parts of one benchmark; none when it failed, which is told."""
    print(f"\n--- {benchmark.name}: {benchmark.about}", flush=True)
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        options = benchmark.quick if quick else benchmark.options
        command = [sys.executable, str(HERE / f"{benchmark.name}.py"), *options, "--json", file.name]
        try:
            subprocess.run(command, check=True)
            return benchmark.adapt(json.loads(Path(file.name).read_text()))
        except subprocess.CalledProcessError:
            told = "it ended with an error"
        except (ValueError, LookupError) as error:
            told = f"what it wrote cannot be read: {error!r}"
        print(f"--- {benchmark.name} failed, the others go on: {told}", flush=True)
        return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short look: few rounds, small sizes, not for quoting")
    parser.add_argument("--only", nargs="+", choices=[one.name for one in BENCHMARKS], help="only these")
    parser.add_argument("--results", type=Path, help="file for the raw numbers; one named after the time by default")
    arguments = parser.parse_args()
    chosen = [one for one in BENCHMARKS if not arguments.only or one.name in arguments.only]
    minutes = sum(one.minutes for one in chosen) / (3 if arguments.quick else 1)
    names = ", ".join(one.name for one in chosen)
    print(WHAT_IT_DOES.format(names=names, minutes=max(1, minutes), home=Path(sys.prefix) / "peers"), flush=True)
    results = arguments.results or RESULTS / time.strftime("%Y-%m-%d-%H%M%S.json", time.gmtime())
    results.parent.mkdir(parents=True, exist_ok=True)
    kept: dict[str, Any] = {"machine": machine.describe(), "quick": arguments.quick, "parts": [], "failed": []}
    interrupted = False
    for benchmark in chosen:
        try:
            found = run(benchmark, arguments.quick)
        except KeyboardInterrupt:
            interrupted = True
            break
        kept["parts"] += found
        kept["failed"] += [] if found else [benchmark.name]
        results.write_text(json.dumps(kept, indent=1))
    if not results.exists():
        sys.exit("nothing was measured")
    print(f"\nraw numbers: {results}")
    print(f"the page:    {sys.executable} {HERE / 'performance.py'} {results} > docs/performance.md")
    if interrupted:
        sys.exit("interrupted: the file has what was finished")
    if kept["failed"]:
        sys.exit(f"failed: {', '.join(kept['failed'])}")


if __name__ == "__main__":
    main()
