"""Random input streams for the kernel: few devices, small numbers, short windows, everything that can happen.

A stream follows from a seed and a length; a shorter one is a prefix of a longer one, so a failure shrinks.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
from hypothesis import strategies as st

from fleetward.detect.inputs import Configure, Enroll, Input, Release, Target, WatchedProfile, Withdraw
from fleetward.meter.batch import Batch, Cells, TopicCells, unregistered_id
from fleetward.meter.metrics import MESSAGE_SIZE, METRICS, Kind
from fleetward.model import Behavior, Operator, PercentileCriterion, StaticCriterion

NAMES = {1: "alpha", 2: "beta", 3: "gamma", 4: "alpha", **{unregistered_id(name): name for name in ("alpha", "omega")}}
METRIC_NAMES = (MESSAGE_SIZE, "aws:num-messages-sent", "aws:num-authorization-failures")
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
        return stream

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
        operator = self.random.choice(tuple(Operator))
        if self.random.random() < 0.5:
            criterion: StaticCriterion | PercentileCriterion = StaticCriterion(operator, self.random.randint(0, 14))
        else:
            hundredths = self.random.choice((0, 10, 1000, 5000, 5000, 9000, 9999, 10000))
            criterion = PercentileCriterion(operator, hundredths, self.random.choice((0.0, 0.0, 10.0, 12.5, 50.0)))
        return Behavior(
            profile=profile,
            name=f"b{number}",
            metric=self.random.choice(METRIC_NAMES),
            criterion=criterion,
            duration_seconds=self.random.choice((5, 10, 15, 30)),
            datapoints_to_alarm=self.random.choice((1, 1, 2, 3)),
            datapoints_to_clear=self.random.choice((1, 1, 2)),
            suppress_alerts=self.random.random() < 0.5,
        )

    # --- batches ---

    def batch(self) -> Batch:
        odd = self.random.random() < 0.03
        start = self.clock + (self.random.choice((-250, 250, 500, 3_000, 40_000, 2 * DAY, 3 * DAY)) if odd else 0)
        end = start + self.random.choice((250, 1000, 2500, 2500, 2500, 5000) + (12_000,) * odd)
        cells = {(metric, ""): self.cells(metric) for metric in METRIC_NAMES if self.random.random() < 0.6}
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
        return Cells(ids(*chosen), *(ids(*column) for column in (zip(*rows, strict=True) if rows else ((),) * 4)))

    def row(self, metric: str) -> tuple[int, int, int, int]:
        count = self.random.randint(1, 4)
        largest = 15 if METRICS[metric].kind is Kind.SIZE else 1
        sizes = [self.random.randint(1, largest) for _ in range(count)]
        return count, sum(sizes), min(sizes), max(sizes)


streams = st.builds(lambda seed, length: Streams(seed).inputs(length), st.integers(0, 2**32 - 1), st.integers(1, 120))
