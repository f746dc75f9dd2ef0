"""Detection, case by case: each folder of tests/cases says who did what, and which alarms must follow.

See tests/cases/README.md for the three files of a case.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from fleetward.alarm.message import metric_value
from fleetward.detect import profile_members, profiles
from fleetward.detect.behavior_checks import Catalog
from fleetward.detect.inputs import Configure, Enroll, Input, Release, Report, Target, WatchedProfile, Withdraw
from fleetward.detect.kernel import Kernel
from fleetward.detect.watched import demand, with_filters
from fleetward.meter.batch import TICK_MILLIS, unregistered_id
from fleetward.meter.meter import DeviceMeter, Meter
from fleetward.model import AlarmEvent, Dimension, ValueKind

CASES = sorted(path for path in (Path(__file__).parent / "cases").iterdir() if path.is_dir())
MIDNIGHT = 1_767_225_600_000
"""2026-01-01 00:00:00 UTC: the "00:00:00" of every case."""

TYPES = {
    "string-list": ValueKind.STRINGS,
    "ip-address-list": ValueKind.CIDRS,
    "number-list": ValueKind.NUMBERS,
    "number": ValueKind.NUMBER,
}


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_case(case: Path) -> None:
    """The alarms of a case are those that its folder expects, in that order."""
    told = list(Play(json.loads((case / "profile.json").read_text())).run(observations(case)))
    expected = json.loads((case / "expected.json").read_text())
    assert [without_topics(event) for event in told] == [without_topics(event) for event in expected]
    for event, wanted in zip(told, expected, strict=True):
        assert event.get("topics") == wanted.get("topics", event.get("topics"))


def test_there_are_enough_cases() -> None:
    """No case was lost: there are at least sixty, and each has its three files."""
    files = {"profile.json", "observations.jsonl", "expected.json"}
    assert len(CASES) >= 60
    assert all({path.name for path in case.iterdir()} == files for case in CASES)


def observations(case: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (case / "observations.jsonl").read_text().splitlines() if line]


class Play:
    """A meter and a kernel, and a clock that goes from one observation to the next."""

    def __init__(self, profile: dict[str, Any]) -> None:
        self.now = MIDNIGHT
        self.kernel = Kernel()
        self.meter = Meter("gateway", self.now)
        self.profile = profile
        self.ids: dict[str, int] = {}
        self.held: set[DeviceMeter] = set()
        self.reports = 0

    def run(self, steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for name in dict.fromkeys(step["device"] for step in steps if "device" in step):
            if name not in self.profile.get("unregistered", ()):
                self.ids[name] = len(self.ids) + 1
                yield from self.feed(Enroll(self.now, self.ids[name], name, self.groups(name)))
        yield from self.feed(self.configure(self.profile))
        for at, together in groupby(steps, key=itemgetter("at")):
            yield from self.wait(moment(at))
            items = [ACTS[step["does"]](self, step) for step in together]
            for item in items:
                yield from self.feed(item) if item is not None else ()
            if None in items:
                yield from self.wait(self.now + TICK_MILLIS)

    def wait(self, until: int) -> Iterator[dict[str, Any]]:
        """Hands over what was counted at every end of a window, as a gateway that ticks does."""
        seconds = {b.duration_seconds for b in self.behaviors() if b.duration_seconds} | {300}
        while self.now < until:
            ends = (self.now - self.now % (1000 * each) + 1000 * each for each in seconds)
            self.now = min(until, *ends)
            yield from self.feed(self.meter.flush(self.now))

    def feed(self, item: Input) -> Iterator[dict[str, Any]]:
        return map(shown, self.kernel.feed(item).events)

    # --- profiles ---

    def behaviors(self) -> tuple[Any, ...]:
        return profiles.parse("P", self.profile.get("behaviors", ()))

    def configure(self, profile: dict[str, Any], lost: frozenset[str] = frozenset()) -> Configure:
        self.profile = {**self.profile, **profile}
        named = {name: Dimension(name, tuple(texts)) for name, texts in self.profile.get("dimensions", {}).items()}
        customs = {name: TYPES[of] for name, of in self.profile.get("customMetrics", {}).items()}
        assert profiles.validate(self.profile["behaviors"], Catalog(customs, frozenset(named))) == []
        margin = profiles.margin_percent(self.profile.get("tags", {}).get(profiles.MARGIN_TAG))
        watched = WatchedProfile(
            "P",
            tuple(with_filters(parsed, named) for parsed in profiles.parse("P", self.profile["behaviors"], margin)),
            profile_members.retained_columns(self.profile),
            tuple(map(target, self.profile.get("targets", ["all/things"]))),
            lost=lost,
        )
        self.meter.meet(demand([watched], named))
        return Configure(self.now, (watched,))

    def lose(self, metric: str) -> Configure:
        """What detection hears of a profile whose behaviours use a metric that is gone."""
        lost = [behavior for behavior in self.profile["behaviors"] if behavior["metric"] == metric]
        left = [behavior for behavior in self.profile["behaviors"] if behavior not in lost]
        return self.configure({"behaviors": left}, frozenset(behavior["name"] for behavior in lost))

    def groups(self, name: str) -> frozenset[str]:
        return frozenset(group for group, members in self.profile.get("groups", {}).items() if name in members)

    # --- what devices do ---

    def device(self, step: dict[str, Any]) -> DeviceMeter:
        name = step["device"]
        device = self.meter.device(self.ids.get(name, unregistered_id(name)), name)
        self.held.add(device)
        return device

    def report(self, step: dict[str, Any]) -> Report:
        name, self.reports = step["device"], self.reports + 1
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in step["values"].items()}
        return Report(self.now, self.ids.get(name, unregistered_id(name)), name, self.reports, values)

    def repeat(self, step: dict[str, Any], act: Callable[[DeviceMeter], None]) -> None:
        for _ in range(step.get("times", 1)):
            act(self.device(step))

    def deregister(self, step: dict[str, Any]) -> Withdraw:
        return Withdraw(self.now, self.ids.pop(step["device"]))

    def join(self, step: dict[str, Any]) -> Enroll:
        return Enroll(self.now, self.ids[step["device"]], step["device"], frozenset(step["groups"]))


def _connect(device: DeviceMeter, address: str) -> None:
    device.attempted()
    device.connected(address)


ACTS: dict[str, Callable[[Play, Any], Input | None]] = {
    "publish": lambda p, s: p.repeat(s, lambda d: d.published(s.get("topic", "t"), s["bytes"])),
    "receive": lambda p, s: p.repeat(s, lambda d: d.received(s.get("topic", "t"), s.get("bytes", 1))),
    "be denied": lambda p, s: p.repeat(s, lambda d: d.denied(s.get("topic", ""))),
    "try to connect": lambda p, s: p.repeat(s, lambda d: d.attempted()),
    "connect": lambda p, s: p.repeat(s, lambda d: _connect(d, s.get("from", "192.0.2.1"))),
    "disconnect": lambda p, s: p.repeat(s, lambda d: d.disconnected()),
    "disconnect without a word": lambda p, s: p.repeat(s, lambda d: (d.disconnected(), d.idled())[1]),
    "try topic": lambda p, s: p.repeat(s, lambda d: d.tried(s["topic"])),
    "try many topics": lambda p, s: [p.device(s).tried(f"guess/{n}") for n in range(s["times"])] and None,
    "publish to nobody": lambda p, s: p.repeat(s, lambda d: d.undelivered()),
    "use client id": lambda p, s: p.repeat(s, lambda d: d.identified(s["clientId"])),
    "acknowledge": lambda p, s: p.repeat(s, lambda d: d.spoke()),
    "report": Play.report,
    "deregister": Play.deregister,
    "join groups": Play.join,
    "be released": lambda p, s: Release(p.now, s["device"]),
    "change the profile": lambda p, s: p.configure(s["profile"]),
    "remove the custom metric": lambda p, s: p.lose(s["metric"]),
    "delete the profile": lambda p, s: Configure(p.now, ()),
    "let time pass": lambda p, s: Release(p.now, ""),
}


def target(text: str) -> Target:
    kind = {"all/things": "all", "all/registered-things": "registered", "all/unregistered-things": "unregistered"}
    return Target(kind[text]) if text in kind else Target("group", text.removeprefix("thinggroup/"))


def moment(text: str) -> int:
    """Milliseconds of "00:05:00", "00:05:00.250" or "2d 00:05:00" after midnight, 2026-01-01 UTC."""
    days, _, clock = text.rpartition("d ")
    hours, minutes, seconds = clock.split(":")
    return MIDNIGHT + round(((int(days or 0) * 24 + int(hours)) * 60 + int(minutes)) * 60_000 + float(seconds) * 1000)


def clock(time: int) -> str:
    """The inverse of `moment`."""
    rest, millis = divmod(time - MIDNIGHT, 1000)
    days, rest = divmod(rest, 86_400)
    text = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}" + (f".{millis:03}" if millis else "")
    return f"{days}d {text}" if days else text


def shown(event: AlarmEvent) -> dict[str, Any]:
    """An event as the expected.json of a case has it."""
    told: dict[str, Any] = {
        "at": clock(event.time),
        "device": event.thing,
        "behavior": event.behavior.name,
        "event": event.kind.value,
    }
    if event.explanation is not None and event.explanation.topics:
        told["topics"] = [topic for topic, _, _ in event.explanation.topics]
    return {**told, "value": metric_value(event)} if event.value is not None else {**told, "why": event.reason}


def without_topics(event: dict[str, Any]) -> dict[str, Any]:
    """A case need not say which topics contributed."""
    return {key: value for key, value in event.items() if key != "topics"}
