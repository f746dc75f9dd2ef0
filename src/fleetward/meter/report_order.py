"""Which report is new, and which counts since the one before: ids that must rise, and gaps that are too long.

AWS IoT Device Defender developer guide, "Sending metrics from devices": `report_id` is monotonically increasing, and a
device reports at most once in five minutes.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from fleetward.model import Millis

INTERVAL = 300_000
"""Milliseconds between the reports of a device, at the least."""

SLACK = 30_000
"""How much too early a report may come, under AWS's limits, before it counts as throttled."""

GAP_INTERVALS = 2

THINGS_PER_REPORTER = 1_000
REMEMBERED = 500_000


@dataclass(frozen=True, slots=True)
class Last:
    """The last report accepted of a thing, and the time between it and the one before (INTERVAL until known)."""

    report_id: int
    time: Millis
    interval: Millis = INTERVAL


@dataclass(frozen=True, slots=True)
class Standing:
    """What a report is to those before it. `has_deltas`: what it counts, it counts since the one before."""

    is_newer: bool = True
    is_too_soon: bool = False
    has_deltas: bool = False


class ReportOrder:
    """Remembers the last report of each thing, for each certificate that reports for it.

    So a stranger whom a lax policy lets report for a thing cannot make the thing's own reports look old. Memory is
    bounded: a certificate keeps its latest THINGS_PER_REPORTER things, all together REMEMBERED.
    """

    def __init__(self) -> None:
        self._last: OrderedDict[str, OrderedDict[str, Last]] = OrderedDict()
        self._count = 0

    def standing(self, reporter: str, thing: str, report_id: int, now: Millis) -> Standing:
        own = self._last.get(reporter)
        last = None if own is None else own.get(thing)
        if last is None:
            return Standing()
        since = now - last.time
        return Standing(report_id > last.report_id, since < INTERVAL - SLACK, since <= GAP_INTERVALS * last.interval)

    def accept(self, reporter: str, thing: str, report_id: int, now: Millis) -> None:
        own = self._last.setdefault(reporter, OrderedDict())
        self._last.move_to_end(reporter)
        before = own.pop(thing, None)
        self._count += before is None
        interval = INTERVAL if before is None else max(INTERVAL, now - before.time)
        own[thing] = Last(report_id, now, interval)
        if len(own) > THINGS_PER_REPORTER:
            self._forget_oldest_of(reporter)
        if self._count > REMEMBERED:
            self._forget_oldest_of(next(iter(self._last)))

    def _forget_oldest_of(self, reporter: str) -> None:
        own = self._last[reporter]
        own.popitem(last=False)
        self._count -= 1
        if not own:
            del self._last[reporter]
