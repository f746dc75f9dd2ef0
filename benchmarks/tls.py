"""What mutual TLS costs: memory of idle connections, full handshakes, a reconnect storm, throughput next to plain.

All devices show RSA-2048 certificates; no session is resumed. mosquitto runs with the same authority, server
certificate and load.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
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
from rounds import Job, interleaved, progress

DEVICES = 500
STORM = 2_000
IDLE = (100, 1_000, 10_000)
TIMEOUT = 30
"""Seconds after which a device of the storm gives up."""
HOW = (
    "RSA-2048 device certificates signed by the server's authority, TLS 1.3, no resumption. The load runs on the same "
    "cores as the server, and a handshake costs the device about as much as the server: processor time per handshake "
    "is the server's alone. Memory: proportional set size, with the connections idle minus without. Reconnect storm: "
    "2,000 devices connect at the same moment while 500 connected ones publish 2,000 messages a second at QoS 0; a "
    "device that waits longer than 30 s gives up. Throughput: as for the plain listener, both from one server in turn."
)

Tls = tuple[Path, int]


def saturated(broker: Broker, seconds: float, tls: Tls | None) -> Mapping[str, float]:
    with Load(broker.port, devices=DEVICES, tls=tls) as load:
        load.phase(1.0)
        before = cpu_seconds(broker.pid)
        found = load.phase(seconds)
        spent = cpu_seconds(broker.pid) - before
    return {"rate": found["messages"] / found["seconds"], "cpu": 1e6 * spent / found["messages"]}


def handshakes(broker: Broker, seconds: float, tls: Tls) -> Mapping[str, float]:
    """32 devices that connect, disconnect and connect anew."""
    with Load(broker.port, devices=32, tls=tls, churn=True) as load:
        load.phase(0.5)
        before = cpu_seconds(broker.pid)
        found = load.phase(seconds)
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
    port, tls = house.info.mqtt_port, house.tls
    with Load(port, devices=DEVICES, tls=tls, qos=0, rate=2_000) as load:
        before = load.measure(1.0, seconds)
        with Load(
            port, devices=storming, name="storm", tls=tls, idle=True, parallel=storming, timeout=TIMEOUT
        ) as devices:
            during, connecting = load.since(), devices.started
    return {
        "missed": storming - connecting["connected"],
        "timeouts": connecting["timeouts"],
        "seconds": connecting["seconds"],
        "slowest": connecting["connecting"]["max"] / 1e6,
        "lost": during["lost"],
        "before": before["latency"]["p99"] / 1000,
        "during": during["latency"]["p99"] / 1000,
    }


def _over_tls(house: Fleet) -> Broker:
    assert house.server is not None
    return Broker("fleetward", house.info.mqtt_port, house.server.process)


def measure(folder: Path, part: Part, rounds: int, seconds: float, sizes: tuple[int, ...], storming: int) -> None:
    progress("setting up")
    names = [f"device-{number}" for number in range(DEVICES)] + [f"storm-{number}" for number in range(storming)]
    house = fleet.make(folder / "fleetward", [*names, "device-subscriber"], fleet.IDENTITIES).start()
    peer = _mosquitto(folder, house, part)
    fresh = [] if peer is None else [idle(peer, 1_000, house.tls)["memory"]]
    try:
        _side_by_side(part, house, peer, rounds, seconds, storming)
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


def _side_by_side(part: Part, house: Fleet, peer: Broker | None, rounds: int, seconds: float, storming: int) -> None:
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
    found = interleaved(jobs, rounds, "side by side")
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
    stormed = found["storm"]
    part.add(f"storm of {storming:,}: devices that timed out", "devices", stormed["timeouts"], at_most=0)
    part.add(f"storm of {storming:,}: devices not connected", "devices", stormed["missed"], at_most=0)
    part.add(f"storm of {storming:,}: connected ones that were dropped", "devices", stormed["lost"], at_most=0)
    part.add(f"storm of {storming:,}: until all are connected", "s", stormed["seconds"])
    part.add("p99 of the 500 publishing, before the storm", "ms", stormed["before"])
    part.add("p99 of the 500 publishing, during the storm", "ms", stormed["during"])


def _idle(part: Part, house: Fleet, rounds: int, sizes: tuple[int, ...]) -> None:
    """A new server for each measurement of ours: what one round frees, the next would fill unseen."""
    jobs: dict[str, Job] = {f"{size}": partial(idle_in_a_new_server, house, size) for size in sizes}
    found = interleaved(jobs, rounds, "idle connections")
    part.add("memory of an idle connection, 1,000 of them: fleetward", "kB", found["1000"]["memory"], at_most=40)
    by_size = {size: found[f"{size}"]["memory"] for size in sizes}
    part.growth.append(Growth("memory of an idle mTLS connection", "kB", "connections", by_size))


def main() -> None:
    options = parser(__doc__).parse_args()
    sizes, storming = (IDLE[:2], 500) if options.quick else (IDLE, STORM)
    rounds, seconds = (3, 1.5) if options.quick else (options.rounds, options.seconds)
    part, began = Part("tls", "Mutual TLS", HOW), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fleetward-bench-") as folder:
        measure(Path(folder), part, rounds, seconds, sizes, storming)
    hand_in(part, began, options.json)


if __name__ == "__main__":
    main()
