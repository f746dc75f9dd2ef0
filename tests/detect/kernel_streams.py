"""Random input streams for the kernel: few devices, small numbers, short windows, everything that can happen.

A stream follows from a seed and a length; a shorter one is a prefix of a longer one, so a failure shrinks.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
from hypothesis import strategies as st

from fleetward.detect.inputs import Configure, Enroll, Input, Release, Report, Target, WatchedProfile, Withdraw
from fleetward.meter.batch import Batch, Cells, Column, TopicCells, unregistered_id
from fleetward.meter.metrics import (
    CLIENT_IDS,
    DISTINCT,
    MESSAGE_SIZE,
    NEW_NETWORK,
    SILENCE,
    SOURCE_IP,
    TOPICS_TRIED,
    Duration,
    Kind,
    Metric,
    metric_of,
)
from fleetward.model import (
    AverageCriterion,
    Behavior,
    Criterion,
    PercentileCriterion,
    SetCriterion,
    StaticCriterion,
    ValueKind,
)

NAMES = {1: "alpha", 2: "beta", 3: "gamma", 4: "alpha", **{unregistered_id(name): name for name in ("alpha", "omega")}}
BASICS = tuple((name, "") for name in (MESSAGE_SIZE, "aws:num-messages-sent", "aws:num-authorization-failures"))
OTHERS = (
    (MESSAGE_SIZE, "IN:doors"),
    ("aws:num-messages-sent", "NOT_IN:doors"),
    (SOURCE_IP, ""),
    (SOURCE_IP, "IN:doors"),
    (TOPICS_TRIED, ""),
    (CLIENT_IDS, ""),
    ("fleetward:undeliverable-messages", ""),
    (NEW_NETWORK, ""),
    (SILENCE, ""),
)
"""What batches bring; timers and what reports bring come besides."""
TIMERS = (("aws:disconnect-duration", ""), (SILENCE, ""))
REPORTED = {
    "aws:all-bytes-out": ValueKind.COUNT,
    "aws:num-listening-tcp-ports": ValueKind.COUNT,
    "aws:listening-tcp-ports": ValueKind.PORTS,
    "aws:destination-ip-addresses": ValueKind.CIDRS,
    "temperature": ValueKind.NUMBER,
    "firmware": ValueKind.STRINGS,
    "lockcodes": ValueKind.NUMBERS,
}
ELEMENTS = {
    ValueKind.CIDRS: ("10.0.0.1", "10.0.0.2", "192.0.2.1", "2001:db8::1"),
    ValueKind.PORTS: (22, 23, 80, 443),
    ValueKind.NUMBERS: (1.0, 2.5, -3.0, 4.0),
    ValueKind.STRINGS: ("a", "b", "c", "d"),
}
SETS = {**ELEMENTS, ValueKind.CIDRS: ("10.0.0.0/31", "192.0.2.0/24", "2001:db8::/32", "10.0.0.2/32")}
GROUPS = ("red", "blue")
DAY = 86_400_000


def ids(*rows: int) -> np.ndarray:
    return np.array(rows, dtype=np.int64)


class Streams:
    """Makes up one stream. Quiet stretches of regular batches lie between the things that happen."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.run = self.sequence = 0
        self.clock = self.random.choice((0, 250, 7_000, 1_700_000_000_000))
        self.profiles = tuple(self.profile(name) for name in "PQ")
        self.busy = self.random.sample(tuple(NAMES), self.random.randint(2, 5))

    def inputs(self, length: int) -> list[Input]:
        stream: list[Input] = [Configure(self.clock, self.profiles)]
        stream += [Enroll(self.clock, id, NAMES[id], self.groups()) for id in (1, 2, 3)]
        happenings = (self.configure, self.edit, self.enroll, self.release, self.release, self.withdraw, self.restart)
        for _ in range(length):
            if self.random.random() < 0.08:
                stream += self.random.choice(happenings)()
            stream.append(self.batch())
            if self.random.random() < 0.3:
                stream.append(self.report())
        return stream

    def report(self) -> Report:
        id = self.random.choice(self.busy)
        chosen = [name for name in REPORTED if self.random.random() < 0.5]
        late = self.random.choice((0, -100, 100, 300))
        return Report(self.clock + late, id, NAMES[id], 1, {name: self.reported(REPORTED[name]) for name in chosen})

    def reported(self, kind: ValueKind) -> int | float | tuple:
        if kind is ValueKind.COUNT:
            return self.random.randint(0, 15)
        if kind is ValueKind.NUMBER:
            return self.random.randint(-4 if self.random.random() < 0.2 else 0, 40) / 4
        return self.some(ELEMENTS[kind], 0)

    def some(self, elements: tuple, least: int) -> tuple:
        return tuple(self.random.sample(elements, self.random.randint(least, 3)))

    # --- what happens ---

    def configure(self) -> list[Input]:
        self.profiles = tuple(self.profile(name) for name in "PQ" if self.random.random() < 0.8)
        return [Configure(self.clock, self.profiles)]

    def edit(self) -> list[Input]:
        """Other targets, a silenced behaviour, or nothing new."""
        profiles = []
        for profile in self.profiles:
            what = self.random.choice(("targets", "suppress", "nothing"))
            if what == "targets":
                profile = replace(profile, targets=self.targets())
            elif what == "suppress":
                profile = replace(profile, behaviors=tuple(replace(b, suppress_alerts=True) for b in profile.behaviors))
            profiles.append(profile)
        self.profiles = tuple(profiles)
        return [Configure(self.clock + 100, self.profiles)]

    def enroll(self) -> list[Input]:
        id = self.random.randint(1, 4)
        return [Enroll(self.clock, id, NAMES[id], self.groups())]

    def release(self) -> list[Input]:
        return [Release(self.clock + self.random.choice((0, 100)), self.random.choice(tuple(NAMES.values())))]

    def withdraw(self) -> list[Input]:
        return [Withdraw(self.clock, self.random.randint(1, 4))]

    def restart(self) -> list[Input]:
        self.run, self.sequence = self.run + 1, 0
        return []

    def groups(self) -> frozenset[str]:
        return frozenset(group for group in GROUPS if self.random.random() < 0.5)

    # --- profiles ---

    def profile(self, name: str) -> WatchedProfile:
        behaviors = tuple(self.behavior(name, number) for number in range(self.random.randint(1, 3)))
        return WatchedProfile(name, behaviors, targets=self.targets())

    def targets(self) -> tuple[Target, ...]:
        kinds = self.random.choices(("all", "registered", "unregistered", "group"), (6, 1, 1, 1), k=2)
        return tuple(
            Target(kind, self.random.choice(GROUPS) if kind == "group" else None)
            for kind in kinds[: self.random.choice((0, 1, 1, 1, 2))]
        )

    def behavior(self, profile: str, number: int) -> Behavior:
        names = [(name, "") for name in REPORTED]
        column: Column = self.random.choice(self.random.choice((BASICS, BASICS, OTHERS, TIMERS, names)))
        metric = metric_of(column[0], REPORTED.get(column[0], ValueKind.COUNT))
        criterion = self.criterion(metric)
        return Behavior(
            profile=profile,
            name=f"b{number}",
            metric=column[0],
            criterion=criterion,
            duration_seconds=self.duration(metric, criterion),
            datapoints_to_alarm=self.random.choice((1, 1, 2, 3)),
            datapoints_to_clear=self.random.choice((1, 1, 2)),
            suppress_alerts=self.random.random() < 0.5,
            dimension=column[1],
            value=metric.value,
        )

    def duration(self, metric: Metric, criterion: Criterion) -> int:
        if metric.name == SOURCE_IP or metric.kind is Kind.TIMER:
            return self.random.choice((5, 10))  # its own in real life, and too long here
        static = isinstance(criterion, StaticCriterion)
        if metric.duration is Duration.FORBIDDEN or (
            metric.kind is Kind.GAUGE and static and self.random.random() < 0.5
        ):
            return 0
        return self.random.choice((5, 10, 15, 30))

    def criterion(self, metric: Metric) -> Criterion:
        operator = self.random.choice(metric.operators)
        if metric.kind is Kind.SET:
            return SetCriterion(operator, self.some(SETS[metric.value], 1))
        if metric.kind is Kind.TIMER or self.random.random() < 0.5:
            return StaticCriterion(operator, self.random.randint(0, 14))
        margin = self.random.choice((0.0, 0.0, 10.0, 12.5, 50.0))
        if self.random.random() < 0.25:
            return AverageCriterion(operator, margin)
        return PercentileCriterion(operator, self.random.choice((0, 10, 1000, 5000, 5000, 9000, 9999, 10000)), margin)

    # --- batches ---

    def batch(self) -> Batch:
        odd = self.random.random() < 0.03
        start = self.clock + (self.random.choice((-250, 250, 500, 3_000, 40_000, 2 * DAY, 3 * DAY)) if odd else 0)
        end = start + self.random.choice((250, 1000, 2500, 2500, 2500, 5000) + (12_000,) * odd)
        cells = {column: self.cells(column[0]) for column in BASICS + OTHERS if self.random.random() < 0.5}
        topics = None
        if (MESSAGE_SIZE, "") in cells:
            size = cells[MESSAGE_SIZE, ""]
            topics = TopicCells(("a", "b"), size.device, size.device % 2, size.count, size.total)
        batch = Batch(
            f"run-{self.run}", self.sequence, start, end, NAMES, self.sessions(), self.sessions(), cells, topics
        )
        self.clock, self.sequence = max(end, self.clock), self.sequence + 1
        return batch

    def sessions(self) -> np.ndarray:
        return ids(*(id for id in self.busy + self.busy[:1] if self.random.random() < 0.1))

    def cells(self, metric: str) -> Cells:
        chosen = [id for id in self.busy if self.random.random() < 0.5]
        rows = [self.row(metric) for _ in chosen]
        columns = [ids(*column) for column in (zip(*rows, strict=True) if rows else ((),) * 4)]
        return Cells(ids(*chosen), *columns, self.items(metric, len(chosen)))

    def items(self, metric: str, rows: int) -> list[tuple[str, ...]] | None:
        if metric not in DISTINCT and metric not in (SOURCE_IP, NEW_NETWORK):
            return None
        return [self.some(ELEMENTS[ValueKind.CIDRS], 1) for _ in range(rows)]

    def row(self, metric: str) -> tuple[int, int, int, int]:
        count = self.random.randint(1, 4)
        largest = 15 if metric == MESSAGE_SIZE else 1
        sizes = [self.random.randint(1, largest) for _ in range(count)]
        return count, sum(sizes), min(sizes), max(sizes)


streams = st.builds(lambda seed, length: Streams(seed).inputs(length), st.integers(0, 2**32 - 1), st.integers(1, 120))
