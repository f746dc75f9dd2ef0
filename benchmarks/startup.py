"""How long `fleetward serve` takes until it is healthy, with an empty store and a full one; its memory; `--help`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from itertools import count
from pathlib import Path

import fleet
import httpx
from peers import Server, fleetward
from processes import cpu_seconds, memory_bytes, resident_bytes
from report import Growth, Part, hand_in, parser
from rounds import Job, interleaved, progress

from fleetward.client import ServerInfo, clients

THINGS = (10_000, 100_000, 1_000_000)
HOW = (
    "From starting the process to the first 200 from /health; a first start makes the data folder, the certificate "
    "authority and the root key. Processor time and memory (proportional set size) are those of the server and its "
    "children, of an empty store once it is idle. Full stores are written offline, from copies of a thing that the "
    "server made, and started several times."
)
GROWN = (
    ("serve to healthy", "s", "seconds", "Imports are the fixed part; then every thing is read once."),
    ("memory once healthy", "MB", "memory", "The server and the gateway each keep what they decide by of every thing."),
)
COMMAND = [str(Path(sys.executable).with_name("fleetward")), "--help"]


def start(folder: Path) -> tuple[Server, float]:
    """The server, and the seconds until it was healthy."""
    began = time.monotonic()
    server = fleetward(folder)
    while not httpx.get(f"{server.url}/health").is_success:
        time.sleep(0.01)
    return server, time.monotonic() - began


def first_start(folder: Path, numbers: count[int]) -> Mapping[str, float]:
    server, seconds = start(folder / f"first-{next(numbers)}")
    try:
        server.settle()
        pid = server.process.pid
        return {"seconds": seconds, "memory": memory_bytes(pid) / 1e6, "resident": resident_bytes(pid) / 1e6}
    finally:
        server.stop()


def start_again(folder: Path) -> Mapping[str, float]:
    server, seconds = start(folder)
    try:
        pid = server.process.pid
        return {"seconds": seconds, "processor": cpu_seconds(pid), "memory": memory_bytes(pid) / 1e6}
    finally:
        server.stop()


def help_text() -> Mapping[str, float]:
    began = time.monotonic()
    subprocess.run(COMMAND, check=True, stdout=subprocess.DEVNULL)
    return {"seconds": time.monotonic() - began}


def fill(folder: Path, things: int) -> None:
    """Writes that many things into a stopped server's store."""
    progress(f"writing {things:,} things")
    server = fleetward(folder)
    info = ServerInfo.load(folder / "data")
    assert info is not None
    attributes = {"attributes": {"site": "hall-7"}}
    clients(info)("iot").create_thing(thingName="pattern", attributePayload=attributes)
    server.stop()
    with fleet.store(folder) as connection:
        fleet.copy_things(connection, [f"thing{number:07}" for number in range(1, things)])


def main() -> None:
    options = parser(__doc__).parse_args()
    sizes, rounds = (THINGS[:2], 3) if options.quick else (THINGS, options.rounds)
    part, began = Part("startup", "Start-up", HOW), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fleetward-bench-") as name:
        folder = Path(name)
        jobs: dict[str, Job] = {"first": partial(first_start, folder, count()), "help": help_text}
        for size in sizes:
            fill(folder / f"{size}", size)
            jobs[f"{size}"] = partial(start_again, folder / f"{size}")
        found = interleaved(jobs, rounds, "starting")
    part.add("serve to healthy, empty store (first start)", "s", found["first"]["seconds"], at_most=3.0)
    goal = {"at_most": 10.0} if sizes[-1] == THINGS[-1] else {}
    part.add(f"serve to healthy, {sizes[-1]:,} things", "s", found[f"{sizes[-1]}"]["seconds"], **goal)
    part.add(f"processor time until then, {sizes[-1]:,} things", "s", found[f"{sizes[-1]}"]["processor"])
    part.add("resident memory, empty store (shared pages shared out)", "MB", found["first"]["memory"], at_most=250)
    part.add(
        "resident sets of its processes, empty store (shared pages counted in each)",
        "MB",
        found["first"]["resident"],
    )
    part.add("fleetward --help", "s", found["help"]["seconds"], at_most=0.3)
    for what, unit, figure, note in GROWN:
        by_size = {size: found[f"{size}"][figure] for size in sizes}
        part.growth.append(Growth(what, unit, "things", by_size, note))
    hand_in(part, began, options.json)


if __name__ == "__main__":
    main()
