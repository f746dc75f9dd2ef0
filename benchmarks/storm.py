"""What a mass alarm costs: 100,000 devices that violate at one close.

    storm      from the closing batch until every violation is stored and its alert queued (SQLite, synchronous FULL)
    release    the same until all of them are ended, because their profile was deleted
    others     meanwhile: how late a thread and a process that wake every 2 ms are, and how long small writers wait

It goes through the product's own pipeline: kernel, journal, store, outbox and history, in this process.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from report import Growth, Part, hand_in, parser
from rounds import Job, interleaved

from fleetward.access import entities, roles
from fleetward.access.authorizer import Authorizer
from fleetward.access.entities import ROLE
from fleetward.access.service_roles import AlertPublisher
from fleetward.arn import Arns
from fleetward.detect import profile_store
from fleetward.detect.inputs import Enroll, Target
from fleetward.meter.batch import Batch, Cells, TopicCells
from fleetward.notify import deliveries, subscriptions, topics
from fleetward.notify.service import Notifier
from fleetward.notify.signature import Signer
from fleetward.pipeline import Pipeline
from fleetward.registry.view import FleetView
from fleetward.settings import Settings
from fleetward.simulate import provision
from fleetward.store.database import Database, Transaction, sqlite_url
from fleetward.store.history import History
from fleetward.store.migrate import migrate
from fleetward.store.trail import SYSTEM, Actor

ARNS = Arns("us-east-1", "123456789012")
TOPIC = ARNS.topic("Storm")
SIZES = (1_000, 10_000, 100_000)
GROWTH_ROUNDS = 3
HOW = (
    "100,000 devices violate at one close, through the product's own pipeline in one process (kernel, journal, SQLite "
    "with synchronous FULL, outbox, history): until every violation is stored and its alert queued; then until all "
    "are ended, because the profile was deleted. Meanwhile a thread and a process wake every 2 ms, and small writers "
    "write. What a running server's devices feel of it is under Neighbours."
)
NOTE = "Every violation is a few rows; they are written in pieces, each of them a transaction."
WINDOW = 300_000
WAKE_SECONDS = 0.002
QUIET_SECONDS = 3.0
WRITE_EVERY_SECONDS = 0.02
BEHAVIOR = {
    "name": "SendsTooSeldom",
    "metric": "aws:num-messages-sent",
    "criteria": {"comparisonOperator": "greater-than-equals", "durationSeconds": 300, "value": {"count": 10}},
}


# --- the house, without its gateway -----------------------------------------------------------------------------------


class TimedDatabase(Database):
    """Notes how long the longest transaction held the store."""

    longest = 0.0

    @contextmanager
    def transaction(self, now: int, actor: Actor = SYSTEM) -> Iterator[Transaction]:
        with self._writing:
            started = time.perf_counter()
            with super().transaction(now, actor) as tx:
                yield tx
            self.longest = max(self.longest, time.perf_counter() - started)


class Storm:
    """A pipeline on a real store that watches `things` devices; each will have sent one message in the window."""

    def __init__(self, folder: Path, things: int) -> None:
        self.things = things
        self.now = WINDOW * 4
        self.told = threading.Event()
        self.database = TimedDatabase(sqlite_url(folder / "fleetward.db"))
        migrate(self.database)
        settings = Settings(data_dir=folder)
        self.history = History.open(folder / "history.duckdb")
        signer = Signer.load_or_create(folder / "sns", self.now)
        nobody: Any = lambda *_: False  # noqa: E731
        self.notifier = Notifier(
            self.database, settings, self._clock, ARNS, lambda: "http://localhost", nobody, nobody, nobody, signer
        )
        publish = AlertPublisher(Authorizer(self.database, ARNS), self.notifier.publish_all)
        self.pipeline = Pipeline(settings, self._clock, self.database, self.history, folder / "windows", publish, ARNS)
        self._provision(signer)
        self.pipeline.tell(lambda outcome: self.told.set() if len(outcome.events) else None)
        self.pipeline.start(FleetView(ARNS))
        for number in range(1, things + 1):
            self.pipeline.put(Enroll(self.now, number, f"thing-{number:07}"))
        self.pipeline.put(self._batch(0, self.now + 250))
        self.idle()
        gc.freeze()  # as the server does once its fleet is there

    def _clock(self) -> int:
        return self.now

    def _provision(self, signer: Signer) -> None:
        may = provision.document(provision.allow("sns:Publish", TOPIC))
        trust = provision.document(
            {"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}
        )
        targets = {"SNS": {"alertTargetArn": TOPIC, "roleArn": ARNS.role("alerts")}}
        wanted = {"FilterPolicy": '{"violationEventType": [{"prefix": "alarm"}, "in-alarm"]}'}
        wanted["FilterPolicyScope"] = "MessageBody"
        with self.database.transaction(self.now) as tx:
            roles.create(tx, ARNS, "alerts", "/", "", trust, 3600)
            entities.put_inline(tx, ROLE, "alerts", "publish", may)
            topics.create(tx, "Storm", {}, {}, TOPIC)
            made = self.notifier.subscribe(tx, TOPIC, "http", "http://127.0.0.1:9/alerts", wanted)
            self.notifier.confirm(tx, TOPIC, signer.token(made.token_name))
            profile_store.create(tx, ARNS, "Storm", {"behaviors": [BEHAVIOR], "alertTargets": targets}, {})
            profile_store.attach(tx, "Storm", Target("all"))

    def _batch(self, sequence: int, end: int, **cells: Any) -> Batch:
        self.now, start = end, self.now
        return Batch("bench", sequence, start, end, **cells)

    def violate(self) -> float:
        """Seconds from the closing batch to the last queued alert."""
        ids, one = np.arange(1, self.things + 1), np.ones(self.things, dtype=np.int64)
        topic = TopicCells(("sensors/readings",), ids, one - 1, one, 100 * one)
        sent = {("aws:num-messages-sent", ""): Cells(ids, one, one, one, one)}
        self.pipeline.put(self._batch(1, self.now + 250, connected=ids, cells=sent, topics=topic))
        self.idle()
        return self._until_told(lambda: self.pipeline.put(self._batch(2, WINDOW * 5)))

    def release(self) -> float:
        """Seconds from the deletion of the profile to the last end of a violation."""

        def delete() -> None:
            with self.database.transaction(self.now) as tx:
                profile_store.delete(tx, ARNS, "Storm")

        return self._until_told(delete)

    def idle(self) -> None:
        while not self.pipeline._inputs.empty():
            time.sleep(0.05)
        time.sleep(0.5)

    def _until_told(self, act: Callable[[], None]) -> float:
        self.told.clear()
        self.database.longest = 0.0
        started = time.perf_counter()
        act()
        if not self.told.wait(300):
            raise RuntimeError("nothing was told within five minutes")
        return time.perf_counter() - started

    def queued(self) -> int:
        with self.database.read() as look:
            return sum(deliveries.count(look).values()) - 1  # the confirmation

    def close(self) -> None:
        self.pipeline.stop()
        self.history.close()
        self.database.close()


# --- who else wants the processor or the store ------------------------------------------------------------------------


async def _lateness(over: Callable[[], bool]) -> list[float]:
    """How late this event loop was at each of its wakings, seconds."""
    late = []
    while not over():
        due = time.perf_counter() + WAKE_SECONDS
        await asyncio.sleep(WAKE_SECONDS)
        late.append(time.perf_counter() - due)
    return late


def _in_a_process(ready: Any, over: Any, late: Any) -> None:
    ready.set()
    late.put(asyncio.run(_lateness(over.is_set)))


class Others:
    """A thread and a process that stand in for a gateway, and a writer that stands in for API calls."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._over = threading.Event()
        context = multiprocessing.get_context("spawn")
        self._process_over, self._of_process, self._ready = context.Event(), context.Queue(), context.Event()
        arguments = (self._ready, self._process_over, self._of_process)
        self._process = context.Process(target=_in_a_process, args=arguments)
        self._threads = [threading.Thread(target=self._wake), threading.Thread(target=self._write)]
        self.late: dict[str, list[float]] = {}

    def __enter__(self) -> Others:
        self._process.start()
        self._ready.wait()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._process_over.set()
        self.late["process"] = self._of_process.get()
        for one in (self._process, *self._threads):
            one.join()

    def _wake(self) -> None:
        self.late["thread"] = asyncio.run(_lateness(self._over.is_set))

    def _write(self) -> None:
        waited = self.late["writer"] = []
        while not self._over.is_set():
            started = time.perf_counter()
            with self._database.transaction(0) as tx:
                subscriptions.find(tx, "nobody")
            waited.append(time.perf_counter() - started)
            time.sleep(WRITE_EVERY_SECONDS)


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def _meanwhile(name: str, storm: Storm, quiet: dict[str, list[float]], act: Callable[[], float]) -> dict[str, float]:
    """What it took, and what the others felt of it."""
    before = _peak()
    with Others(storm.database) as others:
        spent = act()
    felt = {f"{name}, {who}": p99(late) / p99(quiet[who]) for who, late in others.late.items()}
    held = storm.database.longest * 1000
    return {f"{name}, seconds": spent, f"{name}, MB": (_peak() - before) / 1e6, f"{name}, held": held, **felt}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def storm(things: int) -> dict[str, float]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="fleetward-storm-") as folder:
        made = Storm(Path(folder), things)
        made.idle()
        with Others(made.database) as others:
            time.sleep(QUIET_SECONDS)
        found = _meanwhile("storm", made, others.late, made.violate)
        if made.queued() != things:
            raise RuntimeError(f"{made.queued():,} alerts were queued, not {things:,}")
        found |= _meanwhile("release", made, others.late, made.release)
        made.close()
        return found


# --- the run ----------------------------------------------------------------------------------------------------------


def in_a_new_process(things: int) -> Mapping[str, float]:
    """What a process needed at most can be asked of it only once."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(storm, things).result()


def main() -> None:
    options = parser(__doc__).parse_args()
    sizes, rounds = (SIZES[:2], 1) if options.quick else (SIZES, options.rounds)
    part, began = Part("storm", "A mass alarm", HOW), time.monotonic()
    jobs: dict[str, Job] = {f"{size}": partial(in_a_new_process, size) for size in sizes}
    largest = f"{sizes[-1]}"
    found = interleaved({largest: jobs.pop(largest)}, rounds, f"{sizes[-1]:,} violations at one close")
    found |= interleaved(jobs, min(rounds, GROWTH_ROUNDS), "by size")
    for what, text in (("storm", f"{sizes[-1]:,} violations"), ("release", "their end")):
        goal = {"at_most": 10.0} if what == "storm" and sizes[-1] == SIZES[-1] else {}
        part.add(f"{text}: until all is stored and queued", "s", found[largest][f"{what}, seconds"], **goal)
        part.add(f"{text}: memory it needed", "MB", found[largest][f"{what}, MB"])
        part.add(f"{text}: longest transaction", "ms", found[largest][f"{what}, held"])
        for who in ("process", "thread", "writer"):
            part.add(f"{text}: p99 of a {who} during over quiet", "×", found[largest][f"{what}, {who}"])
    for what, text in (("storm", "until all violations are stored and queued"), ("release", "until all are ended")):
        seconds = {size: found[f"{size}"][f"{what}, seconds"] for size in sizes}
        part.growth.append(Growth(text, "s", "violations", seconds, NOTE))
    hand_in(part, began, options.json)


if __name__ == "__main__":
    main()
