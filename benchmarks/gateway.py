"""The gateway on its plain listener next to mosquitto and amqtt: throughput, processor time, latency, cache misses.

Fleetward checks 50 policy statements for every message, meters it, and judges it by a security profile; the others let
everybody do everything. All get the same load from the same program (mqttload.c), one after the other in each round.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import brokers
import fleet
from brokers import Broker
from mqttload import Load
from processes import cpu_seconds
from report import Growth, Part, hand_in, parser, ratios
from rounds import Found, Job, interleaved, progress

DEVICES = 500
SIZES = (50, 500, 5_000)
WARM_UP = 1.0
QUIET_RATE = 2_000
HOW = (
    "500 devices publish 120 B at QoS 1 to one subscriber of all, from one C program on the same machine. A device "
    "sends its next message when the last was acknowledged and has arrived, so every read brings the broker one "
    "packet and nothing is dropped; with more than 500 devices, 500 messages are under way, of all in turn. Fleetward "
    "checks 50 policy statements (five policies of ten, with wildcards and variables), meters, and has one security "
    "profile active. Latency: the same devices at QoS 0, 2,000 messages a second on a fixed timetable, from due to "
    "arrived. Cache misses: every message goes to a topic never seen before. Ratios are taken round by round."
)

MESSAGE_NOTES = {
    "fleetward": "What a message touches of its connection has left the processor's caches when many send in turn: "
    "see the findings.",
    "mosquitto": "For comparison: the same load.",
}
LATENCY_NOTE = "The rate stays, so that only what a connection itself costs could show."


def saturated(broker: Broker, seconds: float, devices: int = DEVICES, **options: object) -> Mapping[str, float]:
    """As fast as it goes: messages a second from device to subscriber, and processor time for each."""
    with Load(broker.port, devices=devices, **options) as load:
        load.phase(max(WARM_UP, devices / 2_000))  # until every device has sent a few
        before = cpu_seconds(broker.pid)
        found = load.phase(seconds)
        spent = cpu_seconds(broker.pid) - before
    if found["connected"] < devices or not found["messages"]:
        raise RuntimeError(f"{broker.name} did not carry the load: {load.started}, {found}")
    return {"rate": found["messages"] / found["seconds"], "cpu": 1e6 * spent / found["messages"]}


def quiet(broker: Broker, seconds: float, devices: int = DEVICES) -> Mapping[str, float]:
    """Latency in milliseconds well below saturation."""
    with Load(broker.port, devices=devices, qos=0, rate=QUIET_RATE) as load:
        found = load.measure(WARM_UP, seconds)
    return {name: found["latency"][name] / 1000 for name in ("p50", "p99")}


def running_peers(folder: Path, part: Part) -> list[Broker]:
    """The peers that can be had here; the part tells which cannot."""
    found = []
    for start in (brokers.mosquitto, brokers.amqtt):
        try:
            found.append(start(folder / start.__name__))
        except (brokers.Missing, RuntimeError) as error:
            part.told[f"missing peer {start.__name__}"] = str(error)
    return found


def measure(folder: Path, part: Part, rounds: int, seconds: float, sizes: tuple[int, ...]) -> None:
    progress("setting up")
    names = [f"device-{number}" for number in range(max(sizes))] + ["device-subscriber"]
    house = fleet.make(folder / "fleetward", names).start()
    assert house.server is not None
    running = [Broker("fleetward", house.plain_port, house.server.process)]
    try:
        running += running_peers(folder, part)
        part.told["peers"] = brokers.versions()
        jobs = _jobs(running, seconds)
        ours = {"saturated fleetward", "quiet fleetward", "misses"}
        found = interleaved(jobs, rounds, "side by side", expendable=jobs.keys() - ours)
        lasting = [one for one in running if {f"saturated {one.name}", f"quiet {one.name}"} <= found.keys()]
        part.told |= {f"peer {one.name}": "failed during the run" for one in running if one not in lasting}
        _figures(part, found, lasting)
        part.growth += _growth(lasting, sizes, max(3, rounds // 2), seconds / 2)
    finally:
        house.stop()
        for broker in running[1:]:
            broker.stop()


def _jobs(running: list[Broker], seconds: float) -> dict[str, Job]:
    jobs: dict[str, Job] = {}
    for broker in running:
        jobs[f"saturated {broker.name}"] = partial(saturated, broker, seconds)
        jobs[f"quiet {broker.name}"] = partial(quiet, broker, seconds)
    jobs["misses"] = partial(saturated, running[0], seconds, fresh_topics=True)
    return jobs


def _figures(part: Part, found: Found, running: list[Broker]) -> None:
    ours, peers = found["saturated fleetward"], {broker.name for broker in running[1:]}
    if "mosquitto" in peers:
        part.add(
            "QoS 1, 500 connections: times mosquitto",
            "×",
            ratios(ours["rate"], found["saturated mosquitto"]["rate"]),
            at_least=0.75,
        )
    if "amqtt" in peers:
        part.add(
            "QoS 1, 500 connections: times amqtt",
            "×",
            ratios(ours["rate"], found["saturated amqtt"]["rate"]),
            at_least=5,
        )
    for broker in running:
        part.add(f"QoS 1, 500 connections: {broker.name}", "msg/s", found[f"saturated {broker.name}"]["rate"])
    for broker in running:
        bound = {"at_most": 20.0} if broker is running[0] else {}
        part.add(
            f"processor time for a message: {broker.name}", "µs", found[f"saturated {broker.name}"]["cpu"], **bound
        )
    for name, most in (("p50", 0.2), ("p99", 4.0)):
        for broker in running:
            bound = {"at_most": most} if broker is running[0] else {}
            part.add(
                f"QoS 0 at 2,000 msg/s, latency {name}: {broker.name}",
                "ms",
                found[f"quiet {broker.name}"][name],
                **bound,
            )
    part.add("policy-cache misses: a new topic every message", "msg/s", found["misses"]["rate"], at_least=10_000)
    part.add("policy-cache misses: processor time for a message", "µs", found["misses"]["cpu"])


def _growth(running: list[Broker], sizes: tuple[int, ...], rounds: int, seconds: float) -> list[Growth]:
    """Fleetward and, for comparison, mosquitto with a tenth of the connections and with ten times as many."""
    compared = [broker for broker in running if broker.name != "amqtt"]
    jobs: dict[str, Job] = {}
    for size in sizes:
        for broker in compared:
            jobs[f"{broker.name} {size}"] = partial(saturated, broker, seconds, size)
        jobs[f"quiet {size}"] = partial(quiet, running[0], seconds, size)
    found = interleaved(jobs, rounds, "by connections")
    growing = []
    for broker in compared:
        spent = {size: found[f"{broker.name} {size}"]["cpu"] for size in sizes}
        name = f"processor time for a message, {broker.name}"
        growing.append(Growth(name, "µs", "connections", spent, MESSAGE_NOTES.get(broker.name, ""), each=True))
    latency = {size: found[f"quiet {size}"]["p50"] for size in sizes}
    growing.append(Growth("latency p50 at 2,000 msg/s", "ms", "connections", latency, LATENCY_NOTE))
    return growing


def main() -> None:
    options = parser(__doc__, seconds=2.0).parse_args()
    sizes = (50, 500) if options.quick else SIZES
    rounds, seconds = (3, 1.5) if options.quick else (options.rounds, options.seconds)
    part, began = Part("gateway", "The gateway, plain listener", HOW), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fleetward-bench-") as folder:
        measure(Path(folder), part, rounds, seconds, sizes)
    hand_in(part, began, options.json)


if __name__ == "__main__":
    main()
