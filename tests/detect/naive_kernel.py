"""A slow, plain reading of the specification, one device and one behaviour at a time: the oracle for the kernel.

It keeps every observation and looks at all of them again for each question. It shares no code with the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from ipaddress import ip_address, ip_network

from fleetward.detect.inputs import Configure, Enroll, Release, Report, Withdraw
from fleetward.meter.metrics import BASIC, DISTINCT, MESSAGE_SIZE, NEW_NETWORK, SILENCE, Kind, metric_of
from fleetward.model import AverageCriterion, Behavior, Operator, SetCriterion, StaticCriterion

DAY = 24 * 3600 * 1000
TWO_DAYS = 2 * DAY
UPPER = (Operator.LESS_THAN, Operator.LESS_THAN_EQUALS)


@dataclass
class Device:
    name: str
    groups: frozenset | None  # None: not a registered thing
    active: int
    connected: int = 0
    left: int | None = None  # when a session last began or ended
    heard: int | None = None
    networks: dict = field(default_factory=dict)  # network -> when it was last seen
    # (feed number, time, (metric, dimension), count, total, minimum, maximum, items)
    seen: list = field(default_factory=list)
    sessions: list = field(default_factory=list)  # (time, connected afterwards, is a session event)
    since: dict = field(default_factory=dict)  # profile -> (time, feed number)
    latest: dict = field(default_factory=dict)  # column -> end of the last window with a value, or last report


@dataclass
class Track:
    """One behaviour of one device."""

    bad: int = 0
    good: int = 0
    alarm: bool = False
    decided: int | None = None  # start of the window whose datapoint fell early


class NaiveKernel:
    def __init__(self, strict_grid=False):
        self.strict = strict_grid
        self.mark = None
        self.number = 0
        self.gateway = None
        self.devices: dict[int, Device] = {}
        self.profiles: dict = {}
        self.active: dict[tuple, tuple[int, int]] = {}  # behaviour key -> (time, feed number)
        self.tracks: dict[tuple, Track] = {}  # (behaviour key, device) -> Track
        self.gaps: list[tuple[int, int]] = []
        self.events: list = []

    def feed(self, item) -> list:
        self.number += 1
        self.events = []
        takes = {Configure: self.configure, Enroll: self.enroll, Withdraw: self.withdraw, Release: self.release}
        ({**takes, Report: self.report}).get(type(item), self.batch)(item)
        return self.events

    def now(self, time):
        return time if self.mark is None else max(time, self.mark)

    def behaviors(self) -> list[Behavior]:
        return [b for p in self.profiles.values() for b in p.behaviors]

    # --- control ---

    def covers(self, profile, id) -> bool:
        device = self.devices[id]
        for target in profile.targets:
            if target.kind == "all" and (device.groups is not None or id < 0):
                return True
            if target.kind == "registered" and device.groups is not None:
                return True
            if target.kind == "unregistered" and id < 0:
                return True
            if target.kind == "group" and device.groups is not None and target.group in device.groups:
                return True
        return False

    def recover_all(self, time):
        """Settles anew who is covered by what."""
        for id, device in self.devices.items():
            for profile in self.profiles.values():
                if self.covers(profile, id):
                    device.since.setdefault(profile.name, (time, self.number))
                elif device.since.pop(profile.name, None):
                    for b in profile.behaviors:
                        self.invalidate(b, id, time)

    def invalidate(self, b, id, time):
        track = self.tracks.pop((b.key, id), None)
        if track and track.alarm:
            self.events.append(("alarm-invalidated", self.devices[id].name, b.key, None, None, time))

    def configure(self, item):
        time = self.now(item.now)
        wanted = {b.key: b for p in item.profiles for b in p.behaviors}
        for b in self.behaviors():
            other = wanted.get(b.key)
            same = other and (
                other.metric,
                other.dimension,
                other.filters,
                without_margin(other.criterion),
                other.duration_seconds,
            ) == (
                b.metric,
                b.dimension,
                b.filters,
                without_margin(b.criterion),
                b.duration_seconds,
            )
            same = same and other.datapoints_to_alarm == b.datapoints_to_alarm
            if not (same and other.datapoints_to_clear == b.datapoints_to_clear):
                self.active.pop(b.key)
                for id in list(self.devices):
                    self.invalidate(b, id, time)
        gone = self.profiles.keys() - {p.name for p in item.profiles}
        for device in self.devices.values():
            for name in gone:
                device.since.pop(name, None)
        self.profiles = {p.name: p for p in item.profiles}
        for key in wanted:
            self.active.setdefault(key, (time, self.number))
        self.recover_all(time)

    def enroll(self, item):
        time = self.now(item.now)
        for id, device in list(self.devices.items()):
            if device.groups is not None and device.name == item.name and id != item.id:
                self.forget(id, time)
        device = self.devices.setdefault(item.id, Device(item.name, None, time))
        device.groups, device.name = item.groups, item.name
        self.recover_all(time)

    def withdraw(self, item):
        if item.id in self.devices:
            self.forget(item.id, self.now(item.now))

    def forget(self, id, time):
        for b in self.behaviors():
            self.invalidate(b, id, time)
        del self.devices[id]

    def release(self, item):
        time = self.now(item.now)
        for id, device in self.devices.items():
            if device.name == item.name:
                for b in self.behaviors():
                    self.invalidate(b, id, time)
                device.seen = []
                device.since = dict.fromkeys(device.since, (time, self.number))

    # --- batches ---

    def batch(self, batch):
        if batch.gateway != self.gateway:
            for device in self.devices.values():
                device.connected = 0
                if self.mark is not None:
                    device.sessions.append((self.mark, 0, False))
            self.gateway = batch.gateway
        if self.mark is None:
            self.gaps.append((-(10**15), batch.start))
            self.mark = batch.start
        self.move(batch.start, gap=True)
        time = self.mark
        for id, name in batch.names.items():
            if id not in self.devices:
                self.devices[id] = Device(name, None, time)
                self.recover_all(time)
        for change, rows in ((1, batch.connected), (-1, batch.disconnected)):
            for id in rows.tolist():
                device = self.devices[id]
                device.connected += change
                device.active = device.left = time
                if change > 0:
                    device.heard = time
        for id in set(batch.connected.tolist()) | set(batch.disconnected.tolist()):
            self.devices[id].connected = max(0, self.devices[id].connected)
            self.devices[id].sessions.append((time, self.devices[id].connected, True))
        for column, cells in batch.cells.items():
            if column not in self.columns():
                continue
            columns = (cells.device, cells.count, cells.total, cells.minimum, cells.maximum)
            for place, (id, *row) in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
                items = None if cells.items is None else cells.items[place]
                self.observe(self.devices[id], time, column, row, items)
        if not self.strict:
            self.decide_early(time, max(batch.end, self.mark))
        boundary = min(self.window(d)[1] for d in self.durations())
        self.move(min(batch.end, boundary), gap=False)
        self.move(batch.end, gap=True)

    def columns(self) -> set[tuple[str, str]]:
        return {b.column for b in self.behaviors()} | {(metric, "") for metric in BASIC}

    def observe(self, device, time, column, row, items):
        if column[0] == SILENCE:
            device.heard = time
            return
        if column[0] == NEW_NETWORK:
            row, items = [row[0], self.new_networks(device, items, time), 0, 0], None
        device.seen.append((self.number, time, column, *row, items))
        device.active = time

    def new_networks(self, device, networks, time) -> int:
        learning, new = not device.networks, 0
        for network in networks:
            last = device.networks.get(network)
            if not learning and (last is None or time - last > 14 * DAY):
                new += 1
            device.networks[network] = time
        return new

    # --- reports ---

    def report(self, item):
        time = self.now(item.now)
        if self.mark is None:
            self.gaps.append((-(10**15), time))
            self.mark = time
        if item.id not in self.devices:
            self.devices[item.id] = Device(item.name, None, time)
            self.recover_all(time)
        device = self.devices[item.id]
        device.active = time
        for metric, value in item.values.items():
            if (metric, "") in self.columns():
                device.latest[metric, ""] = time
                items = value if isinstance(value, tuple) else None
                row = [1, 1, 1, 1] if items is not None else [1, value, value, value]
                # It counts in the window that is open, however far its clock is ahead of the batches.
                device.seen.append((self.number, self.mark, (metric, ""), *row, items))
        if not self.strict:
            self.decide_early(time, time)
        for b in self.behaviors():
            if b.duration_seconds == 0 and b.metric in item.values and b.profile in device.since:
                value = item.values[b.metric]
                threshold = self.threshold(b, {item.id: value}, item.id)
                if threshold is not None:
                    self.tracks.setdefault((b.key, item.id), Track())
                    self.datapoint(b, item.id, *self.judged(b, value, threshold), time)

    def durations(self) -> set[int]:
        used = {b.duration_seconds for b in self.behaviors()} - {0}
        idle = {(metric, "") for metric in BASIC} - {b.column for b in self.behaviors()}
        return used | ({300} if idle else set())

    def window(self, seconds) -> tuple[int, int]:
        start = self.mark // (seconds * 1000) * seconds * 1000
        return start, start + seconds * 1000

    def move(self, until, gap):
        if until <= self.mark:
            return
        if gap:
            self.gaps.append((self.mark, until))
        due = sorted((self.window(d)[1], d) for d in self.durations() if self.window(d)[1] <= until)
        for _, seconds in due:
            self.close(seconds)
        self.mark = until
        if due:
            for id, device in list(self.devices.items()):
                idle = device.groups is None and device.connected == 0 and device.active < until - TWO_DAYS
                if idle and not any(t.alarm for (_, d), t in self.tracks.items() if d == id):
                    self.forget(id, until)

    def decide_early(self, time, end):
        for b in self.behaviors():
            if not self.settles(b) or not b.duration_seconds:
                continue
            start, _ = self.window(b.duration_seconds)
            for id, device in self.devices.items():
                mine = [o for o in device.seen if o[2] == b.column and o[1] >= start]
                if b.profile not in device.since or not any(o[0] == self.number for o in mine):
                    continue
                track = self.tracks.setdefault((b.key, id), Track())
                if track.decided == start:
                    continue
                kind, now = self.kind(b), [o for o in mine if o[0] == self.number]
                if kind is Kind.SET:
                    value = self.distinct(now)
                elif kind in (Kind.SIZE, Kind.GAUGE):
                    value = max(o[6] for o in now)
                else:
                    first = max(self.active[b.key][1], device.since[b.profile][1])
                    value = self.added(b.metric, mine) - self.added(b.metric, [o for o in mine if o[0] < first])
                value, threshold, normal = self.judged(b, value, self.threshold(b, {}, id))
                if not normal:
                    track.decided = start
                    self.datapoint(b, id, value, threshold, False, end)

    def kind(self, b) -> Kind:
        return metric_of(b.metric, b.value).kind

    def settles(self, b) -> bool:
        if self.kind(b) is Kind.TIMER:
            return False
        static = isinstance(b.criterion, StaticCriterion) and b.criterion.operator in UPPER
        return static or isinstance(b.criterion, SetCriterion)

    def distinct(self, observations) -> tuple:
        return tuple(dict.fromkeys(item for o in observations for item in o[7]))

    def added(self, metric, observations):
        if metric in DISTINCT:
            return len(self.distinct(observations))
        return sum(o[4] for o in observations)

    def close(self, seconds):
        start, end = self.window(seconds)
        for device in self.devices.values():
            for b in self.behaviors():
                if b.duration_seconds == seconds and self.value(device, b, start, end) is not None:
                    device.latest[b.column] = end
        gap = sum(max(0, min(end, b) - max(start, a)) for a, b in self.gaps)
        for b in self.behaviors():
            if b.duration_seconds in (seconds, 0):
                if b.duration_seconds and self.active[b.key][0] <= start:
                    self.judge(b, start, end, gap)
                for id, device in self.devices.items():
                    track = self.tracks.get((b.key, id))
                    if track and track.alarm and end - device.latest.get(b.column, 0) > TWO_DAYS:
                        self.invalidate(b, id, end)

    def judge(self, b, start, end, gap):
        if gap and not (b.criterion.operator in UPPER or isinstance(b.criterion, SetCriterion)):
            return
        torn = Fraction(gap, end - start) > Fraction(5, 100)
        if torn and not self.settles(b):
            return
        values = {}
        for id, device in self.devices.items():
            if b.profile in device.since and device.since[b.profile][0] <= start:
                value = self.value(device, b, start, end)
                if value is not None:
                    values[id] = value
        for id, value in values.items():
            track = self.tracks.setdefault((b.key, id), Track())
            if track.decided == start:
                continue
            threshold = self.threshold(b, values, id)
            if threshold is None:
                continue
            value, threshold, normal = self.judged(b, value, threshold)
            if not (torn and normal):
                self.datapoint(b, id, value, threshold, normal, end)

    def judged(self, b, value, threshold) -> tuple:
        """(what is told as the value, the threshold, whether it is normal)"""
        if not isinstance(b.criterion, SetCriterion):
            return value, threshold, self.normal(b, value, threshold)
        wanted = not b.criterion.operator.value.startswith("not-")
        bad = tuple(item for item in value if self.is_in(item, b.criterion) != wanted)
        return bad or value, threshold, not bad

    def is_in(self, item, criterion) -> bool:
        if "cidr" in criterion.operator.value:
            return any(ip_address(item) in ip_network(cidr) for cidr in criterion.elements)
        return item in criterion.elements

    def threshold(self, b, values, id):
        if isinstance(b.criterion, SetCriterion):
            return b.criterion.elements
        if isinstance(b.criterion, StaticCriterion):
            return b.criterion.bound
        others = sorted(value for other, value in values.items() if other != id)
        if not others or any(value < 0 for value in values.values()):
            return None
        if isinstance(b.criterion, AverageCriterion):
            return sum(map(Fraction, others)) / len(others)
        rank = -(-Fraction(b.criterion.hundredths, 10_000) * len(others) // 1)
        return others[max(int(rank), 1) - 1]

    def normal(self, b, value, threshold) -> bool:
        margin = Fraction(getattr(b.criterion, "margin_percent", 0))
        limit = Fraction(threshold) * (100 + (margin if b.criterion.operator in UPPER else -margin)) / 100
        match b.criterion.operator:
            case Operator.LESS_THAN:
                return value < limit
            case Operator.LESS_THAN_EQUALS:
                return value <= limit
            case Operator.GREATER_THAN:
                return value > limit
            case _:
                return value >= limit

    def value(self, device, b, start, end):
        kind = self.kind(b)
        if kind is Kind.TIMER:
            return self.timer(device, b.metric, end)
        mine = [o for o in device.seen if o[2] == b.column and start <= o[1] < end]
        if not mine:
            return 0 if kind is Kind.COUNTER and self.present(device, start, end) else None
        if kind is Kind.SET:
            return self.distinct(mine)
        if kind is Kind.GAUGE or (b.metric == MESSAGE_SIZE and isinstance(b.criterion, StaticCriterion)):
            return max(o[6] for o in mine) if b.criterion.operator in UPPER else min(o[5] for o in mine)
        return self.added(b.metric, mine)

    def timer(self, device, metric, end):
        if metric == SILENCE:
            return max(0, end - device.heard) // 1000 if device.connected and device.heard is not None else None
        if device.left is None:
            return None
        return 0 if device.connected else max(0, end - device.left) // 60_000

    def present(self, device, start, end) -> bool:
        at_start = [connected for time, connected, _ in device.sessions if time < start]
        during = any(real and start <= time < end for time, _, real in device.sessions)
        return during or bool(at_start and at_start[-1] > 0)

    def datapoint(self, b, id, value, threshold, normal, time):
        track = self.tracks[b.key, id]
        track.bad, track.good = (0, track.good + 1) if normal else (track.bad + 1, 0)
        if not track.alarm and track.bad >= b.datapoints_to_alarm:
            track.alarm, kind = True, "in-alarm"
        elif track.alarm and track.good >= b.datapoints_to_clear:
            track.alarm, kind = False, "alarm-cleared"
        elif track.alarm and not normal:
            kind = "progress"
        else:
            return
        self.events.append((kind, self.devices[id].name, b.key, value, threshold, time))


def without_margin(criterion):
    return {k: getattr(criterion, k) for k in criterion.__slots__ if k != "margin_percent"}
