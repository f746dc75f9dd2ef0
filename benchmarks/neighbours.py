"""Whether what one does delays the others' messages: a flood, a busy API, a hundred thousand violations at one close.

500 devices publish at QoS 0 on a fixed timetable all the while; the figure is their p99 latency during the disturbance
over that just before it, in each round. The disturber's own program shares the cores with the server.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import fleet
import uvloop
from fleet import Fleet
from load import Work, signed
from mqttload import Load
from peers import Server
from report import Part, hand_in, parser
from rounds import Job, interleaved, progress

DEVICES, RATE = 500, 2_000
API_RATE, API_CONNECTIONS = 1_000, 8
VIOLATIONS = 100_000
SHORTEST_WINDOW = 20
SAMPLE = 1_000
"""Devices by whose speed the window is chosen in which all must have sent their one message."""
SETTLE = 15.0
"""Seconds after a close in which its violations are looked for."""
HOW = (
    "500 devices publish 2,000 messages a second at QoS 0 over plain connections to one subscriber, on a fixed "
    "timetable. Flood: one more device publishes as fast as the server reads, to another topic. API: 1,000 signed "
    "DescribeThing a second on 8 connections. Close: 100,000 registered devices each connected once in the window and "
    "sent one message that is too small, which is judged at the window's end; p99 from the close on for 15 seconds. "
    "All of it shares the machine's cores with the server."
)


def beside(house: Fleet, seconds: float, disturbance: object) -> Mapping[str, float]:
    """p99 before and during; what `disturbance` yields tells how much of it there was."""
    with Load(house.plain_port, devices=DEVICES, qos=0, rate=RATE) as load:
        before = load.measure(1.0, seconds)
        with disturbance() as amount:  # type: ignore[operator]
            during = load.measure(0.2, seconds)
            told = amount()
    return _compared(before, during, told)


def _compared(before: Mapping, during: Mapping, amount: float) -> Mapping[str, float]:  # type: ignore[type-arg]
    one, other = before["latency"]["p99"] / 1000, during["latency"]["p99"] / 1000
    return {"before": one, "during": other, "times": other / one, "amount": amount, "lost": during["lost"]}


@contextmanager
def flood(house: Fleet) -> Iterator[object]:
    options = {"devices": 1, "name": "flooder", "topic": "flood", "qos": 0, "flood": True, "unheard": True}
    with Load(house.plain_port, **options) as flooder:
        began = time.monotonic()
        yield lambda: flooder.since()["published"] / (time.monotonic() - began)


# --- a busy API -------------------------------------------------------------------------------------------------------


@contextmanager
def busy_api(house: Fleet) -> Iterator[object]:
    """Yields how many calls a second were answered."""
    assert house.server is not None
    answered = multiprocessing.Value("l", 0)
    caller = multiprocessing.Process(target=_call, args=(house.server.address, _request(house.server), answered))
    caller.start()
    while not answered.value:
        time.sleep(0.01)
    began, first = time.monotonic(), answered.value
    try:
        yield lambda: (answered.value - first) / (time.monotonic() - began)
    finally:
        caller.kill()
        caller.join()


def _request(server: Server) -> bytes:
    return signed(server, Work("DescribeThing", "GET", lambda: iter(())), "/things/device-0")


def _call(address: tuple[str, int], request: bytes, answered: multiprocessing.sharedctypes.Synchronized[int]) -> None:
    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection(*address)
        due = time.monotonic() + number / API_RATE
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
            if b" 200 " not in head:
                raise RuntimeError(head.decode())
            answered.value += 1
            due += API_CONNECTIONS / API_RATE

    async def all_of_them() -> None:
        await asyncio.gather(*(one(number) for number in range(API_CONNECTIONS)))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(all_of_them())


# --- a mass alarm -----------------------------------------------------------------------------------------------------


def close(house: Fleet, seconds: float, violating: int) -> Mapping[str, float]:
    """p99 before a window in which `violating` devices send too little, and from its end on."""
    window = max(SHORTEST_WINDOW, round(1.5 * violating * _send_once(house, SAMPLE) / SAMPLE))
    _watch(house, window)
    with Load(house.plain_port, devices=DEVICES, qos=0, rate=RATE) as load:
        before = load.measure(1.0, seconds)
        end = (time.time() // window + 1) * window
        time.sleep(max(0.0, end + 0.5 - time.time()))
        _send_once(house, violating)
        if time.time() > end + window:
            raise RuntimeError(f"not all {violating:,} have sent within the window of {window} s")
        time.sleep(max(0.0, end + window - time.time()))
        load.since()
        during = load.phase(SETTLE)
    raised = _raised(house)
    _forget(house)
    return _compared(before, during, raised)


def _send_once(house: Fleet, devices: int) -> float:
    """Each of the devices connects, sends one small message and leaves; the seconds that took."""
    with Load(house.plain_port, devices=devices, name="storm", payload=12, once=True) as storm:
        if storm.started["connects"] < devices:
            raise RuntimeError(f"not all have sent: {storm.started}")
        return float(storm.started["seconds"])


def _watch(house: Fleet, window: int) -> None:
    criteria = {"comparisonOperator": "greater-than-equals", "value": {"count": 100}, "durationSeconds": window}
    behavior = {"name": "TooSmall", "metric": "aws:message-byte-size", "criteria": criteria}
    house.client("iot").create_security_profile(securityProfileName="Storm", behaviors=[behavior])
    house.client("iot").attach_security_profile(securityProfileName="Storm", securityProfileTargetArn=house.all_things)


def _raised(house: Fleet) -> int:
    """Violations of the profile that are stored."""
    pages = (
        house.client("iot")
        .get_paginator("list_active_violations")
        .paginate(securityProfileName="Storm", PaginationConfig={"PageSize": 250})
    )
    return sum(len(page["activeViolations"]) for page in pages)


def _forget(house: Fleet) -> None:
    house.client("iot").delete_security_profile(securityProfileName="Storm")
    assert house.server is not None
    house.server.settle()


# --- the run ----------------------------------------------------------------------------------------------------------


def measure(folder: Path, part: Part, rounds: int, seconds: float, violating: int) -> None:
    progress("setting up")
    names = [f"device-{number}" for number in range(DEVICES)] + [f"storm-{number}" for number in range(violating)]
    house = fleet.make(folder, [*names, "device-subscriber", "flooder-0"]).start()
    try:
        jobs: dict[str, Job] = {
            "a flood from one device": partial(beside, house, seconds, partial(flood, house)),
            "1,000 API calls/s": partial(beside, house, seconds, partial(busy_api, house)),
        }
        found = interleaved(jobs, rounds, "disturbances")
        name = f"{violating:,} violations at one close"
        found |= interleaved({name: partial(close, house, seconds, violating)}, rounds, name)
    finally:
        house.stop()
    for name, figures in found.items():
        part.add(f"p99 during over before: {name}", "×", figures["times"], at_most=2)
    for name, figures in found.items():
        part.add(f"p99 before: {name}", "ms", figures["before"])
        part.add(f"p99 during: {name}", "ms", figures["during"])
        part.add(f"how much of it: {name}", "/s" if name in jobs else "", figures["amount"])
        part.add(f"others dropped: {name}", "devices", figures["lost"], at_most=0)


def main() -> None:
    options = parser(__doc__, seconds=5.0).parse_args()
    rounds, seconds = (2, 2.0) if options.quick else (options.rounds, options.seconds)
    violating = 5_000 if options.quick else VIOLATIONS
    part, began = Part("neighbours", "Neighbours", HOW), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fleetward-bench-") as folder:
        measure(Path(folder) / "house", part, rounds, seconds, violating)
    hand_in(part, began, options.json)


if __name__ == "__main__":
    main()
