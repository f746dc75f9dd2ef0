"""What mutual TLS costs: memory of idle connections, full handshakes, a reconnect storm, throughput next to plain.

All devices show RSA-2048 certificates; no session is resumed. mosquitto runs with the same authority, server
certificate and load.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import brokers
import fleet
from brokers import Broker
from fleet import Fleet
from mqttload import Load
from processes import cpu_seconds, memory_bytes
from report import Growth, Part, hand_in, parser, ratios
from rounds import Found, Job, interleaved, progress

DEVICES = 500
STORMS = (20, 200, 2_000)
IDLE = (100, 1_000, 10_000)
AT_ONCE = (4, 40, 400)
"""Devices that shake hands at the same time."""
PUBLISHING = (5, 50, DEVICES)
GROWTH_ROUNDS = 3
TIMEOUT = 30
"""Seconds after which a device of the storm gives up."""
HOW = (
    "RSA-2048 device certificates signed by the server's authority, TLS 1.3, no resumption. The load runs on the same "
    "cores as the server, and a handshake costs the device about as much as the server: processor time per handshake "
    "is the server's alone. Memory: proportional set size, with the connections idle minus without. Reconnect storm: "
    "the connections of 2,000 devices break at the same moment, and all of them dial at once, while 500 connected ones "
    "publish 2,000 messages a second at QoS 0; a device that is not connected after 30 s gives up. Throughput: as for "
    "the plain listener, both from one server in turn. The devices share 50 certificates."
)
NOTES = {
    "message": "With few, a wake-up of the loop finds few messages to share its cost; with many, as on the plain "
    "listener, what a message touches of its connection has left the processor's caches.",
    "handshake": "Nearly all of it is the cryptography of that one handshake.",
    "storm": "Handshakes are made one after the other, at the rate above.",
    "idle": "The smaller the number, the more the memory that the allocator took ahead weighs in it.",
}

Tls = tuple[Path, int]


def saturated(broker: Broker, seconds: float, tls: Tls | None, devices: int = DEVICES) -> Mapping[str, float]:
    with Load(broker.port, devices=devices, tls=tls) as load:
        load.phase(1.0)
        before = cpu_seconds(broker.pid)
        found = load.phase(seconds)
        spent = cpu_seconds(broker.pid) - before
    return {"rate": found["messages"] / found["seconds"], "cpu": 1e6 * spent / found["messages"]}


def handshakes(broker: Broker, seconds: float, tls: Tls, at_once: int = 32) -> Mapping[str, float]:
    """Devices that connect, disconnect and connect anew."""
    with Load(broker.port, devices=at_once, parallel=at_once, tls=tls, churn=True) as load:
        load.phase(max(0.5, at_once / 200))  # until as many end as begin
        before = cpu_seconds(broker.pid)
        found = load.phase(max(seconds, at_once / 200))
        spent = cpu_seconds(broker.pid) - before
    if found["timeouts"] or found["refused"]:
        raise RuntimeError(f"{broker.name} did not carry the handshakes: {found}")
    return {"rate": found["connects"] / found["seconds"], "cpu": 1e3 * spent / found["connects"]}


def idle(broker: Broker, connections: int, tls: Tls) -> Mapping[str, float]:
    """Memory of each idle connection, in kB; it must be in the server, not in what a former round left free."""
    before = memory_bytes(broker.pid)
    with Load(broker.port, devices=connections, tls=tls, idle=True, parallel=32) as load:
        time.sleep(1)
        grown = memory_bytes(broker.pid) - before
        if load.started["connected"] < connections:
            raise RuntimeError(f"{broker.name} did not take the connections: {load.started}")
    return {"memory": grown / connections / 1000}


def idle_in_a_new_server(house: Fleet, connections: int) -> Mapping[str, float]:
    house.stop()
    house.start()
    try:
        with Load(house.info.mqtt_port, devices=8, tls=house.tls, idle=True):
            pass  # what the first connections need once
        return idle(_over_tls(house), connections, house.tls)
    finally:
        house.stop()


def storm(house: Fleet, seconds: float, storming: int) -> Mapping[str, float]:
    """All of the storming devices are connected, lose their connections together and come back together."""
    port, tls = house.info.mqtt_port, house.tls
    devices = {"devices": storming, "name": "storm", "tls": tls, "idle": True, "timeout": TIMEOUT}
    with Load(port, devices=DEVICES, tls=tls, qos=0, rate=2_000) as load:
        with Load(port, parallel=32, **devices) as connected:
            if connected.started["connected"] < storming:
                raise RuntimeError(f"not all were connected before the storm: {connected.started}")
            before = load.measure(1.0, seconds)
        with Load(port, parallel=storming, **devices) as again:
            during, back = load.since(), again.started
    return {
        "missed": storming - back["connected"],
        "timeouts": back["timeouts"],
        "seconds": back["seconds"],
        "slowest": back["connecting"]["max"] / 1e6,
        "lost": during["lost"],
        "arrived": 100 * during["messages"] / max(1, during["published"]),
        "before": before["latency"]["p99"] / 1000,
        "during": during["latency"]["p99"] / 1000,
    }


def _over_tls(house: Fleet) -> Broker:
    assert house.server is not None
    return Broker("fleetward", house.info.mqtt_port, house.server.process)


def measure(folder: Path, part: Part, rounds: int, seconds: float, sizes: tuple[int, ...], storms: list[int]) -> None:
    progress("setting up")
    names = [f"device-{number}" for number in range(max(DEVICES, *AT_ONCE))]
    names += [f"storm-{number}" for number in range(max(storms))]
    house = fleet.make(folder / "fleetward", [*names, "device-subscriber"], fleet.IDENTITIES).start()
    peer = _mosquitto(folder, house, part)
    fresh = [] if peer is None else [idle(peer, 1_000, house.tls)["memory"]]
    try:
        found = _side_by_side(part, house, peer, rounds, seconds, storms[-1])
        part.growth += _growth(house, found, seconds / 2, storms)
        _idle(part, house, rounds, sizes)
        part.add("memory of an idle connection, 1,000 of them: mosquitto", "kB", fresh)
    finally:
        house.stop()
        if peer is not None:
            peer.stop()


def _mosquitto(folder: Path, house: Fleet, part: Part) -> Broker | None:
    try:
        return brokers.mosquitto_over_tls(folder / "mosquitto", house.folder / "data")
    except (brokers.Missing, RuntimeError) as error:
        part.told["missing peer mosquitto"] = str(error)
        return None


def _side_by_side(part: Part, house: Fleet, peer: Broker | None, rounds: int, seconds: float, storming: int) -> Found:
    assert house.server is not None
    ours, plain = _over_tls(house), Broker("fleetward, plain", house.plain_port, house.server.process)
    jobs: dict[str, Job] = {
        "plain": partial(saturated, plain, seconds, None),
        "tls": partial(saturated, ours, seconds, house.tls),
        "handshakes": partial(handshakes, ours, seconds, house.tls),
        "storm": partial(storm, house, seconds, storming),
    }
    if peer is not None:
        jobs["tls mosquitto"] = partial(saturated, peer, seconds, house.tls)
        jobs["handshakes mosquitto"] = partial(handshakes, peer, seconds, house.tls)
    found = interleaved(jobs, rounds, "side by side", expendable=("tls mosquitto", "handshakes mosquitto"))
    part.add(
        "throughput over TLS: times plain", "×", ratios(found["tls"]["rate"], found["plain"]["rate"]), at_least=0.6
    )
    for name, figures in (("fleetward", found["tls"]), ("mosquitto", found.get("tls mosquitto", {}))):
        part.add(f"QoS 1 over TLS, 500 connections: {name}", "msg/s", figures.get("rate", []))
        part.add(f"processor time for a message over TLS: {name}", "µs", figures.get("cpu", []))
    for name, figures in (("fleetward", found["handshakes"]), ("mosquitto", found.get("handshakes mosquitto", {}))):
        bound: dict[str, Any] = {"at_least": 500} if name == "fleetward" else {}
        part.add(f"full handshakes and CONNECTs: {name}", "/s", figures.get("rate", []), **bound)
        part.add(f"processor time for each: {name}", "ms", figures.get("cpu", []))
    _stormed(part, found["storm"], f"storm of {storming:,}")
    return found


def _stormed(part: Part, found: Mapping[str, list[float]], name: str) -> None:
    part.add(f"{name}: devices that timed out", "devices", found["timeouts"], at_most=0)
    part.add(f"{name}: devices not connected", "devices", found["missed"], at_most=0)
    part.add(f"{name}: connected ones that were dropped", "devices", found["lost"], at_most=0)
    part.add(f"{name}: messages of the 500 that arrived in its time", "%", found["arrived"], at_least=99)
    part.add(f"{name}: until all are connected again", "s", found["seconds"])
    part.add(f"{name}: the last one's wait", "s", found["slowest"])
    part.add("p99 of the 500 publishing, before the storm", "ms", found["before"])
    part.add("p99 of the 500 publishing, during the storm", "ms", found["during"])


def _growth(house: Fleet, measured: Found, seconds: float, storms: list[int]) -> list[Growth]:
    """With what was measured already as the largest size."""
    ours, jobs = _over_tls(house), dict[str, Job]()
    for size in PUBLISHING[:-1]:
        jobs[f"message {size}"] = partial(saturated, ours, seconds, house.tls, size)
    for size in AT_ONCE:
        jobs[f"handshake {size}"] = partial(handshakes, ours, seconds, house.tls, size)
    for size in storms[:-1]:
        jobs[f"storm {size}"] = partial(storm, house, seconds, size)
    found = interleaved(jobs, GROWTH_ROUNDS, "by size")
    found |= {f"message {PUBLISHING[-1]}": measured["tls"], f"storm {storms[-1]}": measured["storm"]}

    def growth(name: str, unit: str, sized: str, what: str, sizes: Iterable[int], figure: str) -> Growth:
        rounds = {size: found[f"{what} {size}"][figure] for size in sizes}
        return Growth(name, unit, sized, rounds, NOTES[what], each=figure == "cpu")

    return [
        growth("processor time for a message over TLS", "µs", "connections", "message", PUBLISHING, "cpu"),
        growth("processor time for a handshake", "ms", "devices that connect at once", "handshake", AT_ONCE, "cpu"),
        growth("storm until all are connected again", "s", "devices", "storm", storms, "seconds"),
    ]


def _idle(part: Part, house: Fleet, rounds: int, sizes: tuple[int, ...]) -> None:
    """A new server for each measurement of ours: what one round frees, the next would fill unseen."""
    jobs: dict[int, Job] = {size: partial(idle_in_a_new_server, house, size) for size in sizes}
    found = interleaved({"1000": jobs.pop(1_000)}, rounds, "1,000 idle connections")
    found |= interleaved({f"{size}": job for size, job in jobs.items()}, GROWTH_ROUNDS, "idle connections, by number")
    part.add("memory of an idle connection, 1,000 of them: fleetward", "kB", found["1000"]["memory"], at_most=40)
    by_size = {size: found[f"{size}"]["memory"] for size in sizes}
    name = "memory of an idle mTLS connection"
    part.growth.append(Growth(name, "kB", "connections", by_size, NOTES["idle"], each=True))


def main() -> None:
    options = parser(__doc__, seconds=2.0).parse_args()
    sizes, storms = (IDLE[:2], STORMS[:2]) if options.quick else (IDLE, STORMS)
    rounds, seconds = (2, 1.0) if options.quick else (options.rounds, options.seconds)
    part, began = Part("tls", "Mutual TLS", HOW), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fleetward-bench-") as folder:
        measure(Path(folder), part, rounds, seconds, sizes, list(storms))
    hand_in(part, began, options.json)


if __name__ == "__main__":
    main()
