"""What turns when datapoints come: violations begin, go on and end; put into words only when somebody reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fleetward.detect.explain import TOPIC_METRICS, Moment, Verdicts, explanation, told, violation_id
from fleetward.detect.outcome import Log, Mask, Outcome, Progress
from fleetward.detect.slots import Slots
from fleetward.detect.streaks import Runs, Streaks, opened, openings
from fleetward.detect.topics import Contribution
from fleetward.meter.batch import Ids
from fleetward.meter.dimensions import is_within
from fleetward.meter.metrics import metric_of
from fleetward.model import AlarmEvent, AlarmKind, Behavior


@dataclass(frozen=True, slots=True)
class Devices:
    """Who the entries are about, with the openings of their violations."""

    behavior: Behavior
    names: Sequence[str]
    ids: Ids
    openings: Sequence[int]

    def violation(self, index: int) -> str:
        return violation_id(self.behavior, self.names[index], int(self.ids[index]), *opened(self.openings[index]))


@dataclass(frozen=True, slots=True)
class Turned:
    """Violations that were raised, or else cleared."""

    devices: Devices
    verdicts: Verdicts
    raised: Mask
    run: Runs
    topics: Callable[[int], tuple[Contribution, ...]]

    def __len__(self) -> int:
        return len(self.raised)

    def entry(self, index: int) -> AlarmEvent:
        behavior, verdicts = self.devices.behavior, self.verdicts
        name, (_, dimension) = self.devices.names[index], behavior.column
        topics = tuple(
            topic
            for topic in self.topics(int(verdicts.slots[index]))
            if is_within(dimension, behavior.filters, topic[0], name)
        )
        return AlarmEvent(
            kind=AlarmKind.IN_ALARM if self.raised[index] else AlarmKind.CLEARED,
            violation_id=self.devices.violation(index),
            thing=name,
            behavior=behavior,
            time=verdicts.time,
            value=told(verdicts.values[index]),
            explanation=explanation(behavior, verdicts, index, abs(int(self.run[index])), topics),
        )


@dataclass(frozen=True, slots=True)
class Continued:
    """Violations that go on."""

    devices: Devices
    verdicts: Verdicts

    def __len__(self) -> int:
        return len(self.devices.ids)

    def entry(self, index: int) -> Progress:
        behavior, verdicts = self.devices.behavior, self.verdicts
        kind = metric_of(behavior.metric, behavior.value).value
        return Progress(self.devices.violation(index), told(verdicts.values[index]), verdicts.time, kind)


def step(slots: Slots, verdicts: Verdicts, outcome: Outcome) -> None:
    """Adds the datapoints to the streaks; raises and clears the violations that follow."""
    streaks = verdicts.streaks
    turn = streaks.step(verdicts.slots, verdicts.violating)
    continued, turned = np.flatnonzero(turn.continued), np.flatnonzero(turn.raised | turn.cleared)
    if len(continued):
        devices = _devices(slots, streaks, verdicts.slots[continued])
        outcome.progress.add(Continued(devices, verdicts.kept(continued)))
    if len(turned):
        _open(slots, verdicts, verdicts.slots[turn.raised])
        devices, topics = _devices(slots, streaks, verdicts.slots[turned]), _topics(verdicts, turned)
        kept = verdicts.kept(turned)
        outcome.events.add(
            Turned(devices, kept, turn.raised[turned], turn.run[turned], lambda slot: topics.get(slot, ()))
        )
        for slot in verdicts.slots[turn.cleared].tolist():
            del streaks.open[slot]


def _devices(slots: Slots, streaks: Streaks, chosen: Ids) -> Devices:
    began = list(map(streaks.open.__getitem__, chosen.tolist()))
    return Devices(streaks.behavior, slots.names[chosen].tolist(), slots.ids[chosen], began)


def _open(slots: Slots, verdicts: Verdicts, raised: Ids) -> None:
    began = openings(verdicts.window.start, slots.epoch[raised])
    verdicts.streaks.open.update(zip(raised.tolist(), began, strict=True))
    if isinstance(verdicts.window, Moment):
        slots.epoch[raised] += 1  # two reports may come in one millisecond


def _topics(verdicts: Verdicts, turned: Ids) -> Mapping[int, tuple[Contribution, ...]]:
    if isinstance(verdicts.window, Moment) or verdicts.streaks.behavior.metric not in TOPIC_METRICS:
        return {}
    return verdicts.window.topics.top(verdicts.slots[turned])


def kinds(events: Log[AlarmEvent]) -> Mapping[AlarmKind, int]:
    """How many events of each kind there are, without making them."""
    found: Counter[AlarmKind] = Counter()
    for part in events.parts:
        if isinstance(part, Turned):
            raised = int(part.raised.sum())
            found.update({AlarmKind.IN_ALARM: raised, AlarmKind.CLEARED: len(part) - raised})
        else:
            found.update(part.entry(index).kind for index in range(len(part)))
    return found
