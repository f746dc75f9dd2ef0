"""What a mass alarm costs: 100,000 devices violating at one close, and a thousand alerts on their way out.

    storm      from the closing batch until every violation is stored and its alert queued (SQLite, synchronous FULL)
    release    the same until all of them are ended, because their profile was deleted
    others     meanwhile: how late a thread and a process that wake every 2 ms are, and how long small writers wait
    drain      a running server sends 1,000 messages to one HTTP subscriber and one function

The storm goes through the product's own pipeline: kernel, journal, store, outbox and history, in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import http.server
import io
import json
import logging
import multiprocessing
import os
import platform
import resource
import statistics
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx
import numpy as np
import structlog
from peers import Server, fleetward

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
    """Prints and returns what it took, and what the others felt of it."""
    before, processor = _peak(), time.process_time()
    with Others(storm.database) as others:
        spent = act()
        processor = time.process_time() - processor
    rate = f"{storm.things:,} in {spent:.2f} s = {storm.things / spent:,.0f} /s"
    held, grown = storm.database.longest * 1000, (_peak() - before) / 1e6
    print(f"{name:8} {rate}, processor {processor:.2f} s, longest transaction {held:.0f} ms, memory +{grown:.0f} MB")
    for who, late in others.late.items():
        usual, now = p99(quiet[who]), p99(late)
        print(
            f"  {who:8} p50 {statistics.median(late) * 1000:6.2f} ms, p99 {now * 1000:6.2f} ms (quiet: "
            f"{usual * 1000:.2f} ms, so {now / usual:.1f} ×), at most {max(late) * 1000:.0f} ms"
        )
    felt = {f"{name}, {who}: p99 over quiet": p99(late) / p99(quiet[who]) for who, late in others.late.items()}
    return {f"{name}: seconds": spent, f"{name}: memory MB": grown, **felt}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def storm(things: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="fleetward-storm-") as folder:
        made = Storm(Path(folder), things)
        made.idle()
        with Others(made.database) as others:
            time.sleep(QUIET_SECONDS)
        found = _meanwhile("storm", made, others.late, made.violate)
        print(f"  queued   {made.queued():,} deliveries")
        found |= _meanwhile("release", made, others.late, made.release)
        print(f"  queued   {made.queued():,} deliveries")
        made.close()
        return found


# --- a thousand alerts leave a running server -------------------------------------------------------------------------

HANDLER = """
import urllib.request
def handler(event, context):
    urllib.request.urlopen("{url}/function", data=event["Records"][0]["Sns"]["MessageId"].encode())
"""


class Subscriber(http.server.ThreadingHTTPServer):
    """Takes what it is sent, and confirms its subscription; `ended` says when each message last arrived by a way."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.arrived: dict[str, set[str]] = {"/http": set(), "/function": set()}
        self.last: dict[str, float] = {}
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Take(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.headers.get("x-amz-sns-message-type") == "SubscriptionConfirmation":
            threading.Thread(target=httpx.get, args=(json.loads(body)["SubscribeURL"],)).start()
        else:
            server: Any = self.server
            server.arrived[self.path].add(self.headers.get("x-amz-sns-message-id", body))
            server.last[self.path] = time.perf_counter()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def clients_of(server: Server) -> Callable[[str], Any]:
    keys = {"aws_access_key_id": server.key_id, "aws_secret_access_key": server.secret}
    return lambda service: boto3.client(service, endpoint_url=server.url, region_name="us-east-1", **keys)


def drain(messages: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="fleetward-storm-") as folder:
        server, subscriber = fleetward(Path(folder)), Subscriber()
        try:
            spent = _drained(clients_of(server), subscriber, messages)
            processor = server.processor_seconds()
        finally:
            server.stop()
            subscriber.shutdown()
    print(f"drain    the server used {processor:.2f} s of processor, its start included")
    for way, seconds in spent.items():
        print(f"drain    {messages:,} to one {way[1:]}: {seconds:5.2f} s after the first was published")
    return {f"drain to {way[1:]}: seconds": seconds for way, seconds in spent.items()}


def _drained(client: Callable[[str], Any], subscriber: Subscriber, messages: int) -> dict[str, float]:
    topic = _subscribed(client, subscriber)
    sns, started = client("sns"), time.perf_counter()
    for first in range(0, messages, 10):
        entries = [
            {"Id": str(n), "Message": json.dumps({"thingName": f"t{n}", "fill": "x" * 1500})}
            for n in range(first, min(first + 10, messages))
        ]
        sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    while any(len(arrived) < messages for arrived in subscriber.arrived.values()):
        if time.perf_counter() - started > 300:
            raise RuntimeError(f"not drained: { {way: len(ids) for way, ids in subscriber.arrived.items()} }")
        time.sleep(0.05)
    return {way: last - started for way, last in subscriber.last.items()}


def _subscribed(client: Callable[[str], Any], subscriber: Subscriber) -> str:
    """A topic with a confirmed HTTP subscriber and a function that runs already."""
    topic = str(client("sns").create_topic(Name="Storm")["TopicArn"])
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("handler.py", HANDLER.format(url=subscriber.url))
    function = client("lambda").create_function(
        FunctionName="Drain",
        Runtime="python3.11",
        Role=provision.function_role(client, "Drain"),
        Handler="handler.handler",
        Code={"ZipFile": package.getvalue()},
    )
    provision.permit(client, "Drain", "sns.amazonaws.com", topic)
    client("sns").subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function["FunctionArn"])
    client("sns").subscribe(TopicArn=topic, Protocol="http", Endpoint=f"{subscriber.url}/http")
    while client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsConfirmed"] != "2":
        time.sleep(0.05)
    client("sns").publish(TopicArn=topic, Message="warm up")
    while not all(subscriber.arrived.values()):
        time.sleep(0.05)
    for ids in subscriber.arrived.values():
        ids.clear()
    return topic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--things", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=1_000)
    parser.add_argument("--only", choices=("storm", "drain"))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures of all rounds here")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    figures: dict[str, list[float]] = {}
    for _ in range(arguments.rounds):
        found = storm(arguments.things) if arguments.only != "drain" else {}
        found |= drain(arguments.messages) if arguments.only != "storm" else {}
        for figure, value in found.items():
            figures.setdefault(figure, []).append(value)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
