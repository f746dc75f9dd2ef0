"""What a warm function costs over its handler's own time, and how fast alerts leave for a function and for an HTTP
subscriber.

    overhead   Invoke through the Lambda API, one caller: the call's time less what the handler measured of itself
    drain      1,000 messages published to a topic, until the last has reached its HTTP subscriber and its function
"""

from __future__ import annotations

import json
import re
import socket
import statistics
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import boto3
from load import REGION, Work, signed
from peers import Server, fleetward
from report import Growth, Part, hand_in, parser
from rounds import Job, interleaved, progress
from subscriber import Subscriber

from fleetward.simulate import provision

CALLS = 300
CALLERS = (1, 10, 100)
PAYLOADS = (1_000, 10_000, 100_000)
MESSAGES = (10, 100, 1_000)
GROWTH_ROUNDS = 3
HANDLER = """
import time
def handler(event, context):
    began = time.perf_counter()
    sum(range(10_000))
    return {"took": time.perf_counter() - began}
"""
TELL = """
import urllib.request
def handler(event, context):
    urllib.request.urlopen("{url}/function", data=event["Records"][0]["Sns"]["MessageId"].encode())
"""
HOW = (
    "Overhead: a warm function is called through the Lambda API (Invoke), by one caller on a keep-alive connection, "
    "each request signed and verified; what its handler says that it took itself is subtracted from each call. Inside "
    "the server: the same of the duration in the function's own REPORT line. Cold: the first call after the code was "
    "changed. Functions are confined as the server's log says. Drain: 1,000 messages of 1.5 kB are published by "
    "PublishBatch to a topic with one HTTP subscriber and one function (which itself makes an HTTP request), from the "
    "first publish to the last arrival."
)
CALLERS_NOTE = "A function has one process, which takes one event after the other: each caller waits for all before it."
PAYLOAD_NOTE = (
    "The event is checked, signed and copied; that becomes visible beside the fixed part with tens of kilobytes."
)
DRAIN_NOTE = "Each message is delivered by itself: linear, after a fixed part."


# --- calling ----------------------------------------------------------------------------------------------------------


class Caller:
    """One keep-alive connection that calls the function `Timed`."""

    def __init__(self, server: Server, payload: int = 0, told: bool = False) -> None:
        body = json.dumps({"fill": "x" * payload}).encode()
        headers = {"x-amz-log-type": "Tail"} if told else {}
        work = Work("Invoke", "POST", lambda: iter(()), body, service="lambda", headers=headers)
        self._request = signed(server, work, "/2015-03-31/functions/Timed/invocations")
        self._socket = socket.create_connection(server.address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")

    def call(self) -> tuple[float, float, str]:
        """Milliseconds of the call, those of the handler in it, and the tail of the log when it is told."""
        began = time.perf_counter()
        self._socket.sendall(self._request)
        status, headers = self._answers.readline(), dict[str, str]()
        while line := self._answers.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = self._answers.read(int(headers["content-length"]))
        spent = time.perf_counter() - began
        if b" 200 " not in status or "x-amz-function-error" in headers:
            raise RuntimeError(f"Invoke failed: {status!r} {body!r}")
        return 1000 * spent, 1000 * json.loads(body)["took"], b64decode(headers.get("x-amz-log-result", "")).decode()

    def overheads(self, calls: int) -> list[float]:
        return [spent - took for spent, took, _ in (self.call() for _ in range(calls))]

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


def overhead(server: Server, calls: int, callers: int = 1, payload: int = 0) -> Mapping[str, float]:
    """Over the handler's own time, in milliseconds, of all calls of all callers."""
    all_of_them = [Caller(server, payload) for _ in range(callers)]
    with ThreadPoolExecutor(callers) as threads:
        spent = [one for each in threads.map(lambda caller: caller.overheads(calls), all_of_them) for one in each]
    for caller in all_of_them:
        caller.close()
    return {"p50": statistics.median(spent), "p99": statistics.quantiles(spent, n=100, method="inclusive")[98]}


def inside(server: Server, calls: int) -> Mapping[str, float]:
    """The same, of the time that the server says the invocation took."""
    caller, spent = Caller(server, told=True), []
    for _ in range(calls):
        _, took, log = caller.call()
        found = re.search(r"\tDuration: ([\d.]+) ms", log)
        assert found is not None, log
        spent.append(float(found[1]) - took)
    caller.close()
    return {"p50": statistics.median(spent)}


def through_boto3(client: Any, calls: int) -> Mapping[str, float]:
    spent = []
    for _ in range(calls):
        began = time.perf_counter()
        took = json.loads(client.invoke(FunctionName="Timed")["Payload"].read())["took"]
        spent.append(1000 * (time.perf_counter() - began - took))
    return {"p50": statistics.median(spent)}


def cold(client: Any, numbers: count[int]) -> Mapping[str, float]:
    client.update_function_code(FunctionName="Timed", ZipFile=_package(f"{HANDLER}# {next(numbers)}"))
    began = time.perf_counter()
    client.invoke(FunctionName="Timed")["Payload"].read()
    return {"ms": 1000 * (time.perf_counter() - began)}


# --- draining ---------------------------------------------------------------------------------------------------------


def drained(sns: Any, topic: str, subscriber: Subscriber, messages: int) -> Mapping[str, float]:
    """Seconds until the last has arrived, by each way."""
    subscriber.forget()
    text = {"fill": "x" * 1500}
    entries = [{"Id": f"{number}", "Message": json.dumps({"thing": number} | text)} for number in range(messages)]
    began = time.perf_counter()
    for first in range(0, messages, 10):
        sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries[first : first + 10])
    subscriber.wait_for(messages)
    return {way: last - began for way, last in subscriber.last.items()}


def subscribed(client: Callable[[str], Any], subscriber: Subscriber) -> str:
    """A topic with a confirmed HTTP subscriber and a function that runs already."""
    topic = str(client("sns").create_topic(Name="Drain")["TopicArn"])
    arn = _function(client, "Drain", TELL.format(url=subscriber.url))
    provision.permit(client, "Drain", "sns.amazonaws.com", topic)
    client("sns").subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn)
    client("sns").subscribe(TopicArn=topic, Protocol="http", Endpoint=f"{subscriber.url}/http")
    while client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsConfirmed"] != "2":
        time.sleep(0.05)
    client("sns").publish(TopicArn=topic, Message="warm up")
    subscriber.wait_for(1)
    return topic


# --- the run ----------------------------------------------------------------------------------------------------------


def measure(server: Server, part: Part, rounds: int, calls: int, sizes: tuple[int, ...]) -> None:
    client, subscriber = _clients(server), Subscriber()
    _function(client, "Timed", HANDLER)
    topic = subscribed(client, subscriber)
    overhead(server, calls)
    jobs: dict[str, Job] = {
        "overhead": partial(overhead, server, calls),
        "inside": partial(inside, server, calls),
        "boto3": partial(through_boto3, client("lambda"), calls // 3),
        "cold": partial(cold, client("lambda"), count()),
        "drain": partial(drained, client("sns"), topic, subscriber, sizes[-1]),
    }
    by_size: dict[str, Job] = {
        f"drain {size}": partial(drained, client("sns"), topic, subscriber, size) for size in sizes
    }
    by_size |= {f"callers {size}": partial(overhead, server, max(3, calls // size), size) for size in CALLERS}
    by_size |= {f"payload {size}": partial(overhead, server, calls // 3, payload=size) for size in PAYLOADS}
    found = interleaved(jobs, rounds, "functions")
    grown = interleaved(by_size, min(rounds, GROWTH_ROUNDS), "by size")
    part.add("warm function: Invoke over the handler's own time, p50", "ms", found["overhead"]["p50"], at_most=1)
    part.add("warm function: Invoke over the handler's own time, p99", "ms", found["overhead"]["p99"])
    part.add("warm function: inside the server, p50", "ms", found["inside"]["p50"])
    part.add("warm function: through boto3, p50", "ms", found["boto3"]["p50"])
    part.add("cold function: first call after a change of its code", "ms", found["cold"]["ms"])
    for way in ("http", "function"):
        part.add(f"{sizes[-1]:,} alerts to one {way}", "s", found["drain"][way], at_most=20)

    def growth(
        name: str, unit: str, sized: str, what: str, all_of_them: tuple[int, ...], figure: str, why: str
    ) -> Growth:
        return Growth(name, unit, sized, {size: grown[f"{what} {size}"][figure] for size in all_of_them}, why)

    part.growth = [
        growth("Invoke over the handler's own time", "ms", "callers at once", "callers", CALLERS, "p50", CALLERS_NOTE),
        growth("Invoke by event size", "ms", "bytes of the event", "payload", PAYLOADS, "p50", PAYLOAD_NOTE),
        growth("alerts to one HTTP subscriber", "s", "alerts", "drain", sizes, "http", DRAIN_NOTE),
        growth("alerts to one function", "s", "alerts", "drain", sizes, "function", DRAIN_NOTE),
    ]


def _clients(server: Server) -> Callable[[str], Any]:
    keys = {"aws_access_key_id": server.key_id, "aws_secret_access_key": server.secret}
    return lambda service: boto3.client(service, endpoint_url=server.url, region_name=REGION, **keys)


def _function(client: Callable[[str], Any], name: str, source: str) -> str:
    made = client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=provision.function_role(client, name),
        Handler="handler.handler",
        Code={"ZipFile": _package(source)},
    )
    return str(made["FunctionArn"])


def _package(source: str) -> bytes:
    return provision.zip_of({"handler.py": source})


def main() -> None:
    options = parser(__doc__).parse_args()
    rounds, calls, sizes = (2, 60, MESSAGES[:2]) if options.quick else (options.rounds, CALLS, MESSAGES)
    part, began = Part("functions", "Functions and alerts on their way out", HOW), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fleetward-bench-") as folder:
        progress("setting up")
        server = fleetward(Path(folder) / "house")
        try:
            measure(server, part, rounds, calls, sizes)
        finally:
            server.stop()
    hand_in(part, began, options.json)


if __name__ == "__main__":
    main()
