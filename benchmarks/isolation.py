"""How fast a compromised device is cut off, measured on this machine through the public doors.

Two figures, each over many runs with a warm function and connected devices:

    window close   from the end of the deciding window (percentile criterion) to the dropped connection
    static bound   from the offending publish (bound on single messages) to the dropped connection

The whole way is inside: decision, transaction, SNS delivery, the function's boto3 call, the registry change, the cut.
All the while other devices publish BACKGROUND messages a second over TLS. How it grows: with that background, and with
the number of devices that turn bad in the same window.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

from fleet import Fleet, make
from mqttload import Load
from report import Growth, Part, hand_in, parser
from rounds import progress

from fleetward.client import ServerInfo
from fleetward.gateway.codec import Reader, encode
from fleetward.gateway.packets import V311, Connack, Connect, Publish
from fleetward.simulate import provision

WINDOW = 5
PEERS = 10
"""Healthy devices that send in every window, so that the percentile has a population."""
BACKGROUND, BACKGROUND_DEVICES = 5_000, 1_000
BACKGROUND_PAYLOAD = 12
"""Bytes: small enough that a window of such messages stays far below one of a compromised device's."""
BACKGROUNDS = (50, 500, BACKGROUND)
TOGETHER = (1, 10, 100)
GROWTH_ROUNDS, GROWTH_RUNS = 3, 10
STATISTICAL = {
    "comparisonOperator": "less-than-equals",
    "durationSeconds": WINDOW,
    "statisticalThreshold": {"statistic": "p50"},
}
STATIC = {"comparisonOperator": "less-than-equals", "value": {"count": 1000}}
RUNS = 200
BLOCKS = 5
"""A figure's rounds are the runs in that many blocks, one after the other."""
HOW = (
    "From the end of the deciding window (percentile criterion), or from the offending publish (bound on single "
    "messages), to the dropped connection, with everything in between: decision, transaction, SNS delivery, the "
    "function's boto3 call, the registry change, the cut. The function is warm, the devices are connected over mutual "
    "TLS; {together} of them turn bad in the same window. Meanwhile 1,000 other devices publish {background:,} "
    "messages a second at QoS 0 over TLS to one subscriber. {runs} runs each; p50 and p95 are taken in five blocks of "
    "them."
)
BACKGROUND_NOTE = "The gateway has a process of its own; what is left is that all share the cores."
TOGETHER_NOTE = (
    "Their alerts go to one function, which takes one event after the other, as its one process does: so the last one "
    "waits for all before it."
)


class Device(asyncio.Protocol):
    """A small MQTT client; `dropped` is set to the time at which the server closed the connection."""

    def __init__(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        self._name = name
        self.accepted: asyncio.Future[int] = loop.create_future()
        self.dropped: asyncio.Future[float] = loop.create_future()
        self._reader = Reader(1 << 20, V311)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        for packet in self._reader.packets():
            if isinstance(packet, Connack):
                self.accepted.set_result(packet.reason)

    def connection_lost(self, _reason: Exception | None) -> None:
        if not self.dropped.done():
            self.dropped.set_result(time.time())

    def publish(self, size: int) -> None:
        self._transport.write(encode(Publish(f"bench/{self._name}", b"x" * size), V311))

    def close(self) -> None:
        self._transport.close()


async def connect(name: str, server: ServerInfo, context: ssl.SSLContext) -> Device:
    loop = asyncio.get_running_loop()
    _, device = await loop.create_connection(partial(Device, name), server.mqtt_host, server.mqtt_port, ssl=context)
    device._transport.write(encode(Connect(name, keep_alive=0), V311))
    reason = await asyncio.wait_for(device.accepted, 10)
    if reason:
        raise RuntimeError(f"{name} was refused: {reason}")
    return device


def watch(house: Fleet, alerts: dict[str, str], criteria: dict[str, Any]) -> None:
    """One security profile on message size, attached to all things; any other is detached."""
    iot, target = house.client("iot"), house.all_things
    found = iot.list_security_profiles_for_target(securityProfileTargetArn=target)
    for mapping in found["securityProfileTargetMappings"]:
        iot.delete_security_profile(securityProfileName=mapping["securityProfileIdentifier"]["name"])
    iot.create_security_profile(
        securityProfileName="Bench",
        behaviors=[{"name": "TooLarge", "metric": "aws:message-byte-size", "criteria": criteria}],
        alertTargets={"SNS": alerts},
        tags=[{"Key": "statistical-margin-percent", "Value": "10"}],
    )
    iot.attach_security_profile(securityProfileName="Bench", securityProfileTargetArn=target)


async def window_close(bad: list[Device], peers: list[Device], together: int) -> list[float]:
    """Seconds from the window's end to the drop; that many devices are compromised in each window."""
    delays: list[float] = []
    for start in range(0, len(bad), together):
        end = (time.time() // WINDOW + 1) * WINDOW
        await asyncio.sleep(max(0.0, end - WINDOW / 2 - time.time()))
        if time.time() > end - 1:
            end += WINDOW
            await asyncio.sleep(end - WINDOW / 2 - time.time())
        for peer in peers:
            peer.publish(20)
        now_bad = bad[start : start + together]
        for device in now_bad:
            device.publish(3000)
        dropped = await asyncio.wait_for(asyncio.gather(*(device.dropped for device in now_bad)), WINDOW * 6)
        delays += [moment - end for moment in dropped]
        progress(f"window close: {len(delays)} of {len(bad)} runs", last=len(delays) == len(bad))
    return delays


async def static_bound(bad: list[Device]) -> list[float]:
    """Seconds from the offending publish to the drop, one device at a time."""
    delays: list[float] = []
    for device in bad:
        await asyncio.sleep(0.13)
        sent = time.time()
        device.publish(3000)
        delays.append(await asyncio.wait_for(device.dropped, 15) - sent)
        progress(f"static bound: {len(delays)} of {len(bad)} runs", last=len(delays) == len(bad))
    return delays


class Bench:
    """A running house whose alerts isolate, the healthy devices in it, and bad ones to be used up."""

    def __init__(self, house: Fleet) -> None:
        self.house = house
        self.context = ssl.create_default_context(cafile=house.certificates / "ca.pem")
        self.context.load_cert_chain(house.certificates / "0.pem", house.certificates / "0.key")
        self._names = (f"bad-{number}" for number in count())
        provision.isolation(house.client)
        topic = provision.alerting(house.client, "bench@example.com")
        self.alerts = {"alertTargetArn": topic, "roleArn": provision.alert_role(house.client, "BenchAlerts", topic)}
        event = json.dumps({"Records": [{"Sns": {"Message": json.dumps({"thingName": "nobody"})}}]})
        house.client("lambda").invoke(FunctionName=provision.ISOLATE_FUNCTION, Payload=event)

    async def connect(self, names: Iterable[str]) -> list[Device]:
        return [await connect(name, self.house.info, self.context) for name in names]

    async def bad(self, devices: int) -> list[Device]:
        return await self.connect(islice(self._names, devices))

    async def watch(self, criteria: dict[str, Any]) -> None:
        """From the next whole window on."""
        watch(self.house, self.alerts, criteria)
        await asyncio.sleep(WINDOW + 1)


@contextmanager
def others(house: Fleet, rate: int) -> Iterator[Callable[[], float]]:
    """Other devices that publish all the while, `rate` messages a second together; yields how many have arrived."""
    devices = {"name": "load", "topic": "load", "devices": BACKGROUND_DEVICES, "payload": BACKGROUND_PAYLOAD, "qos": 0}
    with Load(house.info.mqtt_port, tls=(house.certificates, 1), rate=rate, **devices) as load:

        def carried() -> float:
            found = load.since()
            if found["connected"] <= BACKGROUND_DEVICES:
                raise RuntimeError(f"the background did not last: {load.started}, {found}")
            return float(found["messages"] / found["seconds"])

        yield carried


async def measure(house: Fleet, part: Part, runs: int, together: int, background: int, quick: bool) -> None:
    bench = Bench(house)
    peers = await bench.connect(f"peer-{number}" for number in range(PEERS))
    sizes, rounds = (TOGETHER[:2], 1) if quick else (TOGETHER, GROWTH_ROUNDS)
    by_number: dict[int, list[float]] = {size: [] for size in sizes}
    by_background: dict[int, list[float]] = {}
    with others(house, background) as carried:
        await bench.watch(STATISTICAL)
        close = await window_close(await bench.bad(runs), peers, together)
        rates = [carried()]
        for size in sizes * rounds:
            by_number[size].append(max(await window_close(await bench.bad(size), peers, size)))
        await bench.watch(STATIC)
        carried()
        static = await static_bound(await bench.bad(runs))
        rates.append(carried())
    for rate in BACKGROUNDS:
        with others(house, rate):
            delays = await static_bound(await bench.bad(GROWTH_RUNS * GROWTH_ROUNDS))
        by_background[rate] = blocks(delays, 10, GROWTH_ROUNDS)
    for peer in peers:
        peer.close()
    for name, found, most in (("static bound", static, 0.5), ("window close", close, 1.0)):
        part.add(f"{name}: p95", "s", blocks(found, 19), at_most=most)
        part.add(f"{name}: p50", "s", blocks(found, 10))
        part.add(f"{name}: slowest of all", "s", [max(found)])
    part.add("background that arrived meanwhile", "msg/s", rates, at_least=0.98 * background)
    part.growth.append(Growth("static bound, p50", "s", "messages a second beside", by_background, BACKGROUND_NOTE))
    part.growth.append(
        Growth("window close until the last is cut", "s", "devices bad in one window", by_number, TOGETHER_NOTE)
    )


def blocks(delays: list[float], rank: int, parts: int = BLOCKS) -> list[float]:
    """The rank-th twentieth of each block of the runs, in seconds."""
    size = max(2, len(delays) // parts)
    each = [delays[start : start + size] for start in range(0, len(delays) - size + 1, size)]
    return [statistics.quantiles(block, n=20, method="inclusive")[rank - 1] for block in each]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--runs", type=int, default=RUNS)
    arguments.add_argument("--together", type=int, default=5, help="devices compromised in the same window")
    arguments.add_argument("--background", type=int, default=BACKGROUND, help="messages a second of other devices")
    options = arguments.parse_args()
    runs, began = min(options.runs, 20) if options.quick else options.runs, time.monotonic()
    how = HOW.format(runs=runs, together=options.together, background=options.background)
    part = Part("isolation", "From the deciding event to the dropped connection", how)
    bad = 2 * runs + GROWTH_ROUNDS * (sum(TOGETHER) + GROWTH_RUNS * len(BACKGROUNDS))
    names = [f"bad-{number}" for number in range(bad)] + [f"peer-{number}" for number in range(PEERS)]
    names += ["load-subscriber", *(f"load-{number}" for number in range(BACKGROUND_DEVICES))]
    with tempfile.TemporaryDirectory(prefix="fleetward-bench-") as folder:
        progress("setting up")
        house = make(Path(folder) / "house", names).start()
        try:
            asyncio.run(measure(house, part, runs, options.together, options.background, options.quick))
        finally:
            house.stop()
    hand_in(part, began, options.json)


if __name__ == "__main__":
    main()
