"""A meter and a kernel wired together, with a clock that tests move."""

from __future__ import annotations

from fleetward.detect.inputs import Configure, Enroll, Release, Target, WatchedProfile, Withdraw
from fleetward.detect.kernel import Kernel
from fleetward.meter.batch import unregistered_id
from fleetward.meter.meter import Meter
from fleetward.meter.metrics import MESSAGE_SIZE
from fleetward.model import AlarmEvent, Behavior, Criterion, Operator, PercentileCriterion, StaticCriterion

P50 = 5000
LARGE = PercentileCriterion(Operator.LESS_THAN_EQUALS, P50)
LARGE_10 = PercentileCriterion(Operator.LESS_THAN_EQUALS, P50, 10.0)
SMALL = PercentileCriterion(Operator.GREATER_THAN, P50)
AT_MOST_1000 = StaticCriterion(Operator.LESS_THAN_EQUALS, 1000)


def behavior(criterion: Criterion, metric: str = MESSAGE_SIZE, seconds: int = 300, **more) -> Behavior:
    return Behavior("DetectLargeMessageSize", "Size", metric, criterion, seconds, **more)


class House:
    """Everything that happened so far is in `events`, `progress` and `windows`."""

    def __init__(self, *behaviors: Behavior, target: Target | None = None, strict: bool = False, now: int = 0) -> None:
        self.now = now
        self.kernel = Kernel(strict_grid=strict)
        self.meter = Meter("gateway", now)
        self.devices: dict = {}
        self.events: list[AlarmEvent] = []
        self.progress: list = []
        self.windows: list = []
        self.watch(*behaviors, target=target)

    def feed(self, item) -> list[AlarmEvent]:
        outcome = self.kernel.feed(item)
        self.events += outcome.events
        self.progress += outcome.progress
        self.windows += outcome.windows
        return outcome.events

    def watch(self, *behaviors: Behavior, target: Target | None = None) -> list[AlarmEvent]:
        profiles = (WatchedProfile("DetectLargeMessageSize", behaviors, targets=(target or Target("all"),)),)
        return self.feed(Configure(self.now, profiles if behaviors else ()))

    def enroll(self, id: int, name: str, *groups: str) -> list[AlarmEvent]:
        self.devices[name] = self.meter.device(id, name)
        return self.feed(Enroll(self.now, id, name, frozenset(groups)))

    def release(self, name: str) -> list[AlarmEvent]:
        return self.feed(Release(self.now, name))

    def withdraw(self, id: int) -> list[AlarmEvent]:
        return self.feed(Withdraw(self.now, id))

    def device(self, name: str):
        if name not in self.devices:
            self.devices[name] = self.meter.device(unregistered_id(name), name)
        return self.devices[name]

    def send(self, name: str, payload: int, times: int = 1, topic: str = "") -> None:
        topic = topic or f"temperature-device-{name[-2:]}"
        for _ in range(times):
            self.device(name).published(topic, len(topic) + payload)

    def wait(self, seconds: float) -> list[AlarmEvent]:
        """Lets time pass; what was done before counts at its beginning."""
        self.now += round(seconds * 1000)
        return self.feed(self.meter.flush(self.now))
