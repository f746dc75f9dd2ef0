"""How fast a compromised device is cut off, measured on this machine through the public doors.

Two figures, each over many runs with a warm function and connected devices:

    window close   from the end of the deciding window (percentile criterion) to the dropped connection
    static bound   from the offending publish (bound on single messages) to the dropped connection

The whole way is inside: decision, transaction, SNS delivery, the function's boto3 call, the registry change, the cut.
All the while other devices publish BACKGROUND messages a second over TLS.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mqttload import Load
from report import Part, hand_in, parser

from fleetward.client import ServerInfo, clients
from fleetward.gateway.codec import Reader, encode
from fleetward.gateway.packets import V311, Connack, Connect, Publish
from fleetward.simulate import provision
from fleetward.simulate.provision import Broker, Keys

WINDOW = 5
PEERS = 10
"""Healthy devices that send in every window, so that the percentile has a population."""
TOPIC = "bench/readings"
BACKGROUND, BACKGROUND_DEVICES = 5_000, 1_000
BACKGROUND_PAYLOAD = 12
"""Bytes: small enough that a window of such messages stays far below one of a compromised device's."""
STATISTICAL = {
    "comparisonOperator": "less-than-equals",
    "durationSeconds": WINDOW,
    "statisticalThreshold": {"statistic": "p50"},
}
RUNS = 200
BLOCKS = 5
"""A figure's rounds are the runs in that many blocks, one after the other."""
HOW = (
    "From the end of the deciding window (percentile criterion), or from the offending publish (bound on single "
    "messages), to the dropped connection, with everything in between: decision, transaction, SNS delivery, the "
    "function's boto3 call, the registry change, the cut. The function is warm, the devices are connected over mutual "
    "TLS; {together} of them turn bad in the same window. Meanwhile 1,000 other devices publish {background:,} "
    "messages a second at QoS 0 over TLS. {runs} runs each; p50 and p95 are taken in five blocks of them."
)


class Device(asyncio.Protocol):
    """A small MQTT client; `dropped` is set to the time at which the server closed the connection."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
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
        self._transport.write(encode(Publish(TOPIC, b"x" * size), V311))

    def close(self) -> None:
        self._transport.close()


async def connect(name: str, server: ServerInfo, context: ssl.SSLContext) -> Device:
    loop = asyncio.get_running_loop()
    _, device = await loop.create_connection(Device, server.mqtt_host, server.mqtt_port, ssl=context)
    device._transport.write(encode(Connect(name, keep_alive=0), V311))
    reason = await asyncio.wait_for(device.accepted, 10)
    if reason:
        raise RuntimeError(f"{name} was refused: {reason}")
    return device


def fleet(client: Callable[[str], Any], place: str, names: list[str]) -> Keys:
    """One certificate for all devices of the benchmark, and a thing for each."""
    client("iot").create_policy(
        policyName="BenchPolicy", policyDocument=provision.document(provision.allow("iot:*", "*"))
    )
    keys = provision.certificate(client, "BenchPolicy")
    for name in names:
        client("iot").create_thing(thingName=name)
        client("iot").attach_thing_principal(thingName=name, principal=keys.certificate_arn)
    return keys


def watch(client: Callable[[str], Any], place: str, topic_arn: str, role_arn: str, criteria: dict[str, Any]) -> None:
    """One security profile on message size, attached to all things; any other is detached."""
    iot, target = client("iot"), f"arn:aws:iot:{place}:all/things"
    for mapping in iot.list_security_profiles_for_target(securityProfileTargetArn=target)[
        "securityProfileTargetMappings"
    ]:
        iot.delete_security_profile(securityProfileName=mapping["securityProfileIdentifier"]["name"])
    iot.create_security_profile(
        securityProfileName="Bench",
        behaviors=[{"name": "TooLarge", "metric": "aws:message-byte-size", "criteria": criteria}],
        alertTargets={"SNS": {"alertTargetArn": topic_arn, "roleArn": role_arn}},
        tags=[{"Key": "statistical-margin-percent", "Value": "10"}],
    )
    iot.attach_security_profile(securityProfileName="Bench", securityProfileTargetArn=target)


async def window_close(devices: dict[str, Device], peers: list[Device], names: list[str], together: int) -> list[float]:
    """Seconds from the window's end to the drop; `together` devices are compromised in each window."""
    delays: list[float] = []
    await asyncio.sleep(WINDOW + 1)
    for start in range(0, len(names), together):
        end = (time.time() // WINDOW + 1) * WINDOW
        await asyncio.sleep(max(0.0, end - WINDOW / 2 - time.time()))
        if time.time() > end - 1:
            end += WINDOW
            await asyncio.sleep(end - WINDOW / 2 - time.time())
        for peer in peers:
            peer.publish(20)
        bad = [devices[name] for name in names[start : start + together]]
        for device in bad:
            device.publish(3000)
        dropped = await asyncio.wait_for(asyncio.gather(*(device.dropped for device in bad)), WINDOW * 3)
        delays += [moment - end for moment in dropped]
        print(f"\r  window close: {len(delays)} of {len(names)} runs", end="", file=sys.stderr)
    print(file=sys.stderr)
    return delays


async def static_bound(devices: dict[str, Device], names: list[str]) -> list[float]:
    """Seconds from the offending publish to the drop, one device at a time."""
    delays: list[float] = []
    await asyncio.sleep(1)
    for name in names:
        await asyncio.sleep(0.13)
        sent = time.time()
        devices[name].publish(3000)
        delays.append(await asyncio.wait_for(devices[name].dropped, 15) - sent)
        print(f"\r  static bound: {len(delays)} of {len(names)} runs", end="", file=sys.stderr)
    print(file=sys.stderr)
    return delays


async def measure(runs: int, together: int, background: int, folder: Path) -> dict[str, list[float]]:
    server = start(folder)
    client = clients(server)
    place = f"{server.region}:{server.account_id}"
    peers = [f"peer{number}" for number in range(PEERS)]
    bad = [f"bad{number:04}" for number in range(2 * runs)]
    print("  setting up", file=sys.stderr)
    keys = fleet(client, place, [*peers, *bad, *(f"load-{number}" for number in range(BACKGROUND_DEVICES))])
    provision.isolation(client)
    topic_arn = provision.alerting(client, "bench@example.com")
    role_arn = provision.alert_role(client, "BenchAlerts", topic_arn)
    event = json.dumps({"Records": [{"Sns": {"Message": json.dumps({"thingName": "nobody"})}}]})
    client("lambda").invoke(FunctionName=provision.ISOLATE_FUNCTION, Payload=event)
    context = tls(keys, Broker(server.mqtt_host, server.mqtt_port, Path(server.ca_file).read_text()), folder)
    devices = {name: await connect(name, server, context) for name in peers + bad}
    with others(server, folder, background):
        watch(client, place, topic_arn, role_arn, STATISTICAL)
        close = await window_close(devices, [devices[name] for name in peers], bad[:runs], together)
        watch(client, place, topic_arn, role_arn, {"comparisonOperator": "less-than-equals", "value": {"count": 1000}})
        static = await static_bound(devices, bad[runs:])
    for device in devices.values():
        device.close()
    return {"window close": close, "static bound": static}


@contextmanager
def others(server: ServerInfo, folder: Path, rate: int) -> Iterator[None]:
    """Other devices that publish all the while, `rate` messages a second together."""
    if not rate:
        yield
        return
    devices = {"name": "load", "devices": BACKGROUND_DEVICES, "payload": BACKGROUND_PAYLOAD, "qos": 0}
    with Load(server.mqtt_port, tls=(folder, 1), rate=rate, unheard=True, **devices) as load:
        yield
        carried = load.since()
        if carried["connected"] < BACKGROUND_DEVICES:
            raise RuntimeError(f"the background did not last: {load.started}, {carried}")


def tls(keys: Keys, broker: Broker, folder: Path) -> ssl.SSLContext:
    (folder / "ca.pem").write_text(broker.ca_pem)
    (folder / "0.pem").write_text(keys.certificate_pem)
    (folder / "0.key").write_text(keys.private_key_pem)
    context = ssl.create_default_context(cadata=broker.ca_pem)
    context.load_cert_chain(folder / "0.pem", folder / "0.key")
    return context


def start(folder: Path) -> ServerInfo:
    data = folder / "data"
    command = [
        sys.executable,
        "-m",
        "fleetward",
        "serve",
        "--data-dir",
        str(data),
        "--api-port",
        "0",
        "--mqtt-port",
        "0",
    ]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    STARTED.append(process)
    while (server := ServerInfo.load(data)) is None:
        if process.poll() is not None:
            raise RuntimeError((folder / "server.log").read_text())
        time.sleep(0.05)
    return server


STARTED: list[subprocess.Popen[bytes]] = []


def blocks(delays: list[float], rank: int) -> list[float]:
    """The rank-th twentieth of each block of the runs, in seconds."""
    size = max(2, len(delays) // BLOCKS)
    parts = [delays[start : start + size] for start in range(0, len(delays) - size + 1, size)]
    return [statistics.quantiles(part, n=20, method="inclusive")[rank - 1] for part in parts]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--runs", type=int, default=RUNS)
    arguments.add_argument("--together", type=int, default=5, help="devices compromised in the same window")
    arguments.add_argument("--background", type=int, default=BACKGROUND, help="messages a second of other devices")
    options = arguments.parse_args()
    runs, began = min(options.runs, 40) if options.quick else options.runs, time.monotonic()
    how = HOW.format(runs=runs, together=options.together, background=options.background)
    part = Part("isolation", "From the deciding event to the dropped connection", how)
    with tempfile.TemporaryDirectory(prefix="fleetward-bench-") as folder:
        try:
            found = asyncio.run(measure(runs, options.together, options.background, Path(folder)))
        finally:
            for process in STARTED:
                process.terminate()
                process.wait(10)
    for name, most in (("static bound", 0.5), ("window close", 1.0)):
        part.add(f"{name}: p95", "s", blocks(found[name], 19), at_most=most)
        part.add(f"{name}: p50", "s", blocks(found[name], 10))
        part.add(f"{name}: slowest of all", "s", [max(found[name])])
    hand_in(part, began, options.json)


if __name__ == "__main__":
    main()
