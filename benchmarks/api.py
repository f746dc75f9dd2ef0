"""How fast the AWS door is, next to moto_server and MiniStack, measured on this machine in one interleaved run.

Every server gets the same requests from the same client: keep-alive connections that each wait for one answer before
they ask again (and boto3, one caller, where the client is most of the time). Each request is signed; Fleetward verifies
each signature and keeps everything in SQLite with synchronous FULL, the others keep it in memory and verify nothing.
A figure is the median of the rounds, with the least and the most; a goal compares the medians of the same rounds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from adapters import BESIDE
from botocore.exceptions import BotoCoreError, ClientError
from load import Work, boto3_client, boto3_rate, raw_rate
from peers import Server, fleetward, install, ministack, moto_server

from fleetward.store.database import Database, sqlite_url
from fleetward.store.tables.registry import things

THINGS = 1_000
MANY = 1_000_000
PEERS = ("moto_server", "ministack")
STORES = 4
"""Of a thousand things, and of up to a million."""


COUNTER = itertools.count()
DESCRIBE = Work(
    "DescribeThing",
    "GET",
    lambda: itertools.cycle(f"/things/{name(i)}" for i in range(0, THINGS, 37)),
    boto3_call=lambda client: lambda: client.describe_thing(thingName=name(0)),
)
LIST = Work(
    "ListThings(100)",
    "GET",
    lambda: itertools.repeat("/things?maxResults=100"),
    boto3_call=lambda client: lambda: client.list_things(maxResults=100),
)
CREATE = Work("CreateThing", "POST", lambda: (f"/things/new{n}" for n in COUNTER), b"{}", new_each_time=True)


def name(number: int) -> str:
    return f"thing{number:07}"


# --- what is in the stores --------------------------------------------------------------------------------------------


def fill(server: Server) -> None:
    client = boto3_client(server)
    for number in range(THINGS):
        client.create_thing(thingName=name(number))


def fill_offline(folder: Path, count: int) -> None:
    """Writes `count` things into a stopped server's store: copies of one that the server itself has made."""
    server = fleetward(folder)
    boto3_client(server).create_thing(thingName=name(0), attributePayload={"attributes": {"site": "hall-7"}})
    server.stop()
    database = Database(sqlite_url(folder / "data" / "fleetward.db"))
    with database.connect(writing=True) as connection:
        row = dict(connection.execute(sa.select(things)).mappings().one())
        del row["id"]
        for start in range(1, count, 10_000):
            numbers = range(start, min(start + 10_000, count))
            connection.execute(things.insert(), [{**row, "name": name(number)} for number in numbers])
    database.close()


def _filled(server: Server) -> Server:
    try:
        fill(server)
    except BaseException:
        server.stop()
        raise
    return server


def verifies(server: Server) -> bool:
    """Whether a request with a wrong signature is refused."""
    wrong = Server(server.name, server.url, server.key_id, "not the secret", server.process)
    try:
        boto3_client(wrong).describe_thing(thingName=name(0))
    except Exception as error:
        return "Signature" in str(error)
    return False


def page_in_the_middle(server: Server, pages: int) -> Work:
    """ListThings(100) from behind as many pages."""
    client = boto3_client(server)
    token = str(client.list_things(maxResults=100)["nextToken"])
    for _ in range(pages - 1):
        token = client.list_things(maxResults=100, nextToken=token)["nextToken"]
    path = f"/things?maxResults=100&nextToken={quote(token, safe='')}"
    return Work("ListThings(100), a later page", "GET", lambda: itertools.repeat(path))


# --- the run ----------------------------------------------------------------------------------------------------------

Figures = dict[str, dict[str, list[float]]]
"""Work → server → rates, one a round."""


Job = tuple[str, str, Callable[[], float]]
"""Work, server, and what measures one rate."""


def interleaved(jobs: list[Job], rounds: int) -> Figures:
    """Runs every job once a round, so that whatever else the machine does meets all of them alike.

    What fails on a peer is told and left out.
    """
    found: Figures = {}
    failed: set[tuple[str, str]] = set()
    for number in range(rounds):
        for work, server, job in jobs:
            if (work, server) in failed:
                continue
            try:
                found.setdefault(work, {}).setdefault(server, []).append(job())
            except (OSError, RuntimeError, BotoCoreError, ClientError) as error:
                if server not in PEERS:
                    raise
                failed.add((work, server))
                del found[work][server]
                print(f"  {work} on {server} failed and is left out: {error}", file=sys.stderr)
        print(f"\r  round {number + 1} of {rounds}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return found


def side_by_side(folder: Path, rounds: int, seconds: float, missing: dict[str, str]) -> tuple[Figures, dict[str, Any]]:
    """Peers that do not start are left out, and noted as missing."""
    servers = [fleetward(folder / "fleetward")]
    try:
        fill(servers[0])
        for peer in (moto_server, ministack):
            try:
                servers.append(_filled(peer(folder / peer.__name__)))
            except (OSError, RuntimeError, BotoCoreError, ClientError) as error:
                missing[f"missing peer {peer.__name__}"] = str(error)
        reads: list[Job] = []
        for work in (DESCRIBE, LIST):
            reads += [(work.name, one.name, partial(raw_rate, one, work, seconds)) for one in servers]
            reads += [(f"{work.name}, boto3", one.name, partial(boto3_rate, one, work, seconds)) for one in servers]
        writes: list[Job] = [(CREATE.name, one.name, partial(raw_rate, one, CREATE, seconds)) for one in servers]
        writes.append(("CreateThing, one connection", "fleetward", partial(raw_rate, servers[0], CREATE, seconds, 1)))
        # The writes come last: what they leave behind makes the others' lists slower.
        found = interleaved(reads, rounds) | interleaved(writes, rounds)
        return found, {server.name: {"verifies signatures": verifies(server)} for server in servers}
    finally:
        for server in servers:
            server.stop()


def few_and_many(folder: Path, rounds: int, seconds: float, many: int) -> tuple[Figures, dict[str, Any]]:
    """The same requests to servers that hold a thousand things, and ten times as many each, up to a million."""
    sizes = [size for size in (THINGS * 10**n for n in range(STORES)) if size < many] + [many]
    labels = {f"{size:,} things": size for size in sizes}
    for label, count in labels.items():
        print(f"  writing {label}", file=sys.stderr)
        fill_offline(folder / label, count)
    servers = {label: fleetward(folder / label, label) for label in labels}
    try:
        settled = {label: server.settle() for label, server in servers.items()}
        later = {label: page_in_the_middle(server, 5) for label, server in servers.items()}
        jobs: list[Job] = []
        for work in (DESCRIBE, LIST, None):
            for label, server in servers.items():
                asked = work or later[label]
                jobs.append((asked.name, label, partial(raw_rate, server, asked, seconds)))
        found = interleaved(jobs, rounds)
        told = {
            label: {
                "seconds to start": round(one.seconds_to_start, 1),
                "seconds until idle": round(settled[label], 1),
                "resident MB": round(one.resident_megabytes()),
            }
            for label, one in servers.items()
        }
        return found, told
    finally:
        for server in servers.values():
            server.stop()


# --- the report -------------------------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.partition(": ")[2] for line in text.splitlines() if line.startswith("model name")), "unknown")
    return {
        "cores": os.cpu_count(),
        "processor": model,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load before": os.getloadavg()[0],
    }


def show(found: Figures) -> None:
    for work, rates in found.items():
        print(work)
        for server, values in rates.items():
            print(f"  {server:18}{statistics.median(values):9,.0f} /s   [{min(values):,.0f} to {max(values):,.0f}]")


def goals(beside: Figures, scale: Figures) -> list[tuple[str, float, float, bool]]:
    """What is promised: (goal, wanted, reached, whether more is better)."""

    def ratio(figures: Figures, work: str, one: str, other: str) -> float:
        return statistics.median(figures[work][one]) / statistics.median(figures[work][other])

    found = [
        (f"{work}, times {peer}", wanted, ratio(beside, work, "fleetward", peer))
        for work, peer, wanted in BESIDE
        if peer in beside.get(work, ())
    ]
    if beside:
        found.append(("CreateThing a second, durable", 1_000, statistics.median(beside["CreateThing"]["fleetward"])))
    for work, rates in scale.items():
        few, *_, many = rates
        found.append((f"{work}, time with {many} to {few}", 1.5, ratio(scale, work, few, many)))
    return [(goal, wanted, reached, "time with" not in goal) for goal, wanted, reached in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="at least 5")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement in each round")
    parser.add_argument("--things", type=int, default=MANY, help="in the large store")
    parser.add_argument("--only", choices=("peers", "scale"), help="one half of the benchmark")
    parser.add_argument("--json", type=Path, help="write everything here")
    arguments = parser.parse_args()
    told: dict[str, Any] = {"machine": machine()}
    beside: Figures = {}
    scale: Figures = {}
    with tempfile.TemporaryDirectory(prefix="fleetward-bench-") as folder:
        if arguments.only != "scale":
            told["missing"] = {}
            try:
                told["versions"] = install()
            except subprocess.CalledProcessError as error:
                told["missing"]["peers"] = f"cannot be installed from PyPI: {error}"
            beside, told["servers"] = side_by_side(Path(folder), arguments.rounds, arguments.seconds, told["missing"])
        if arguments.only != "peers":
            scale, told["stores"] = few_and_many(Path(folder), arguments.rounds, arguments.seconds, arguments.things)
    print(json.dumps(told, indent=2))
    show(beside)
    show(scale)
    checked = goals(beside, scale)
    for goal, wanted, reached, more in checked:
        met = reached >= wanted if more else reached <= wanted
        print(
            f"{goal:60}{reached:10,.2f}   goal {'≥' if more else '≤'} {wanted:g}: {'reached' if met else 'NOT reached'}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({**told, "peers": beside, "scale": scale, "goals": checked}, indent=2))


if __name__ == "__main__":
    main()
