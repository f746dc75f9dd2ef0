"""Whether what one does delays the others' messages: a flood, a busy API, a hundred thousand violations at one close.

500 devices publish at QoS 0 on a fixed timetable all the while; the figure is their p99 latency during the disturbance
over that just before it, in each round. The disturber's own program shares the cores with the server.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import fleet
import uvloop
from fleet import Fleet
from load import Work, signed
from mqttload import Load
from peers import Server
from report import Growth, Part, hand_in, parser
from rounds import Job, interleaved, progress

from fleetward.alarm.violations import count_open
from fleetward.store.database import Reader

DEVICES, RATE = 500, 2_000
API_CONNECTIONS = 8
VIOLATIONS = (1_000, 10_000, 100_000)
GROWTH_ROUNDS = 3
SHORTEST_WINDOW = 8
SAMPLE = 1_000
"""Devices by whose speed the window is chosen in which all must have sent their one message."""
HOW = (
    "500 devices publish 2,000 messages a second at QoS 0 over plain connections to one subscriber, on a fixed "
    "timetable. Flood: one more device publishes as fast as the server reads, to another topic. API: 1,000 signed "
    "DescribeThing a second on 8 connections. Close: 100,000 registered devices each connected once in the window and "
    "sent one message that is too small, which is judged at the window's end; p99 from the close on until all are "
    "stored. All of it shares the machine's cores with the server, whose gateway is a process of its own, its default."
)


def beside(
    house: Fleet, seconds: float, disturbance: AbstractContextManager[Callable[[], float]]
) -> Mapping[str, float]:
    """p99 before and during; what `disturbance` yields tells how much of it there was."""
    with Load(house.plain_port, devices=DEVICES, qos=0, rate=RATE) as load:
        before = load.measure(1.0, seconds)
        with disturbance as amount:
            during = load.measure(0.2, seconds)
            told = amount()
    return _compared(before, during, told)


def _compared(before: Mapping, during: Mapping, amount: float) -> Mapping[str, float]:  # type: ignore[type-arg]
    one, other = before["latency"]["p99"] / 1000, during["latency"]["p99"] / 1000
    return {"before": one, "during": other, "times": other / one, "amount": amount, "lost": during["lost"]}


@contextmanager
def flood(house: Fleet, devices: int) -> Iterator[Callable[[], float]]:
    options = {"devices": devices, "name": "flooder", "topic": "flood", "qos": 0, "flood": True, "unheard": True}
    with Load(house.plain_port, **options) as flooder:
        began = time.monotonic()
        yield lambda: flooder.since()["published"] / (time.monotonic() - began)


# --- a busy API -------------------------------------------------------------------------------------------------------


@contextmanager
def busy_api(house: Fleet, rate: int) -> Iterator[Callable[[], float]]:
    """Yields how many calls a second were answered."""
    assert house.server is not None
    answered = multiprocessing.Value("l", 0)
    caller = multiprocessing.Process(target=_call, args=(house.server.address, _request(house.server), rate, answered))
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


def _call(
    address: tuple[str, int], request: bytes, rate: int, answered: multiprocessing.sharedctypes.Synchronized[int]
) -> None:
    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection(*address)
        due = time.monotonic() + number / rate
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
            if b" 200 " not in head:
                raise RuntimeError(head.decode())
            answered.value += 1
            due += API_CONNECTIONS / rate

    async def all_of_them() -> None:
        await asyncio.gather(*(one(number) for number in range(API_CONNECTIONS)))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(all_of_them())


# --- a mass alarm -----------------------------------------------------------------------------------------------------


def close(house: Fleet, seconds: float, violating: int) -> Mapping[str, float]:
    """p99 before a window in which `violating` devices send too little, and from its end until all are stored."""
    with Load(house.plain_port, devices=DEVICES, qos=0, rate=RATE) as load:
        before = load.measure(1.0, seconds)
        end = _misbehave(house, violating)
        time.sleep(max(0.0, end - time.time()))
        load.since()
        raised = _raised(house, violating)
        during = load.since()
    _forget(house)
    return _compared(before, during, raised)


def _misbehave(house: Fleet, violating: int) -> float:
    """Has each of the devices send one message that is too small, all in one window; returns when that ends."""
    sample = min(SAMPLE, violating)
    expected = _send_once(house, sample) * violating / sample
    for longer in (1.3, 2, 4):
        window, start = _next_window(round(longer * expected))
        _watch(house, window)
        time.sleep(max(0.0, start + 0.5 - time.time()))
        _send_once(house, violating)
        if time.time() < start + window:
            return start + window
        _forget(house)
    raise RuntimeError(f"not all {violating:,} have sent within a window of {window} s")


def _next_window(sending: int) -> tuple[int, int]:
    """Of the windows that are long enough, and not much longer, the one that ends first: (seconds, its start).

    Windows are aligned to the epoch, and a profile judges only those that start after it was attached.
    """
    shortest, soon = max(SHORTEST_WINDOW, sending), int(time.time()) + 2
    lengths = range(shortest, shortest + shortest // 3 + 1)
    return min(((length, -(-soon // length) * length) for length in lengths), key=sum)


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


def _raised(house: Fleet, expected: int) -> int:
    """Waits until that many violations are stored, or no more come; returns how many are."""
    found, before = 0, -1
    while found < expected and found > before:
        time.sleep(max(2.0, expected / 50_000))
        with fleet.store(house.folder, writing=False) as connection:
            before, found = found, count_open(Reader(connection))
    return found


def _forget(house: Fleet) -> None:
    house.client("iot").delete_security_profile(securityProfileName="Storm")
    assert house.server is not None
    house.server.settle()


# --- the run ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Disturbance:
    """One that is asked for at one size, and looked at in three."""

    title: str
    what: str
    sizes: tuple[int, ...]
    asked: int
    sized: str
    unit: str
    act: Callable[[Fleet, float, int], Mapping[str, float]]
    note: str

    def jobs(self, house: Fleet, seconds: float) -> dict[str, Job]:
        return {self.name(size): partial(self.act, house, seconds, size) for size in self.sizes}

    def name(self, size: int) -> str:
        return self.what.format(size)


def disturbances(violating: tuple[int, ...]) -> list[Disturbance]:
    return [
        Disturbance(
            "a flood",
            "a flood, devices: {:,}",
            (1, 10, 100),
            1,
            "flooding devices",
            "messages/s",
            lambda house, seconds, size: beside(house, seconds, flood(house, size)),
            "Each client has a bounded share of a turn of the gateway's loop: the more flood, the longer it is.",
        ),
        Disturbance(
            "a busy API",
            "API calls/s: {:,}",
            (10, 100, 1_000),
            1_000,
            "API calls a second",
            "calls/s",
            lambda house, seconds, size: beside(house, seconds, busy_api(house, size)),
            "The API is answered by another process: what it takes from the gateway is time on the cores they share.",
        ),
        Disturbance(
            "a mass alarm",
            "violations at one close: {:,}",
            violating,
            violating[-1],
            "violations at one close",
            "stored",
            close,
            "The violations are stored by another process, in pieces: more of them take longer, not more at a time.",
        ),
    ]


def measure(folder: Path, part: Part, rounds: int, seconds: float, violating: tuple[int, ...]) -> None:
    progress("setting up")
    names = [f"device-{number}" for number in range(DEVICES)] + [f"storm-{number}" for number in range(max(violating))]
    names += [f"flooder-{number}" for number in range(100)]
    house = fleet.make(folder, [*names, "device-subscriber"]).start()
    each = disturbances(violating)
    jobs = {name: job for one in each for name, job in one.jobs(house, seconds / 2).items()}
    asked = {one.name(one.asked): partial(one.act, house, seconds, one.asked) for one in each}
    for name in asked:
        del jobs[name]
    try:
        found = interleaved(asked, rounds, "disturbances") | interleaved(jobs, min(rounds, GROWTH_ROUNDS), "by size")
    finally:
        house.stop()
    for one in each:
        name = one.name(one.asked)
        part.add(f"p99 during over before, {name}", "×", found[name]["times"], at_most=2)
    for one in each:
        name = one.name(one.asked)
        part.add(f"p99 before, {name}", "ms", found[name]["before"])
        part.add(f"p99 during, {name}", "ms", found[name]["during"])
        part.add(f"how much of it, {name}", one.unit, found[name]["amount"])
        part.add(f"others dropped, {name}", "devices", found[name]["lost"], at_most=0)
    for one in each:
        times = {size: found[one.name(size)]["times"] for size in one.sizes}
        part.growth.append(Growth(f"p99 during over before, {one.title}", "×", one.sized, times, one.note))


def main() -> None:
    options = parser(__doc__, seconds=3.0).parse_args()
    rounds, seconds = (2, 1.5) if options.quick else (options.rounds, options.seconds)
    violating = VIOLATIONS[:2] if options.quick else VIOLATIONS
    part, began = Part("neighbours", "Neighbours", HOW), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fleetward-bench-") as folder:
        measure(Path(folder) / "house", part, rounds, seconds, violating)
    hand_in(part, began, options.json)


if __name__ == "__main__":
    main()
