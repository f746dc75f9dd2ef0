"""From packed batches to recorded alarms: the part of the flow that reads meter → detect → alarm → notify.

One thread takes the inputs in order; each is journalled before the kernel sees it, and what the kernel says of it is
recorded in one transaction per chunk. The kernel decides, this file only carries.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path

import structlog
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import OperationalError

from fleetward import telemetry
from fleetward.alarm import message, recorder, violations
from fleetward.alarm.recorder import Publish
from fleetward.arn import Arns
from fleetward.detect import dimensions, profiles
from fleetward.detect.inputs import Configure, EnrollMany, Input, Release, Withdraw
from fleetward.detect.kernel import Kernel
from fleetward.detect.outcome import Outcome, Progress
from fleetward.detect.turned import kinds
from fleetward.detect.watched import demand, watched_profiles
from fleetward.model import AlarmEvent, AlarmKind, Demand, Millis
from fleetward.records import Change, RecordKind, ThingRecord
from fleetward.registry.view import FleetView
from fleetward.respond import automatic, isolations, mitigation_tasks
from fleetward.settings import Settings
from fleetward.store import trail
from fleetward.store.database import Database, Touch
from fleetward.store.history import History
from fleetward.store.journal import Journal

log = structlog.get_logger()

EVENTS_PER_TRANSACTION = 750
"""So few that nobody who also wants to write waits for long."""
BREATH_SECONDS = 0.002
"""Between two such transactions: a thread that waits for the store would else never be faster than this one."""
EVENTS_LOGGED = 100
ENROLLED_AT_ONCE = 50_000
GATHERING_SECONDS = 0.02
"""How long an enrolment waits for others, so that things that are made by the hundred are enrolled in a few inputs."""
SNAPSHOT_EVERY_MILLIS = 60_000
PRUNE_EVERY_MILLIS = 3_600_000
DAY = 86_400_000


class Pipeline:
    """Owns the kernel, its journal and the metric history."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], Millis],
        database: Database,
        history: History,
        journal_folder: Path,
        publish: Publish,
        arns: Arns,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._database = database
        self._history = history
        self._publish = publish
        self._arns = arns
        self._told: Callable[[Outcome], None] = lambda _: None
        self._demand = Demand()
        self._meet: Callable[[Demand], None] | None = None
        self._journal = Journal.open(journal_folder)
        self._kernel = self._new_kernel()
        self._inputs: queue.SimpleQueue[Input | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="detect", daemon=True)
        self._stopping = threading.Event()
        self._everything_recorded = True
        self._snapshot_at = self._pruned_at = 0
        database.on_commit(self._profiles_changed)

    def start(self, view: FleetView) -> None:
        """Recovers the open windows, records what the last run may not have, and takes inputs from then on."""
        self._kernel, outcomes = self._journal.recover(self._new_kernel)
        for outcome in outcomes:
            self._record(outcome)
        self._end_orphans()
        for item in _differences(view, self._kernel.things(), self._clock()):
            self.put(item)
        self._configure()
        self._snapshot_at = self._clock() + SNAPSHOT_EVERY_MILLIS
        self._thread.start()

    def _new_kernel(self) -> Kernel:
        return Kernel(self._settings.strict_window_grid, self._settings.history_retention_days * DAY)

    def stop(self) -> None:
        """Finishes what was put in, takes a snapshot and closes the files."""
        self._stopping.set()
        if self._thread.is_alive():
            self._inputs.put(None)
            self._thread.join(30)
        if self._everything_recorded:
            self._journal.snapshot(self._kernel)
        self._journal.close()

    def supply(self, meet: Callable[[Demand], None]) -> None:
        """Tells `meet` what is to be counted beyond the basic metrics, now and whenever that changes."""
        self._meet = meet
        meet(self._demand)

    def tell(self, told: Callable[[Outcome], None]) -> None:
        """Calls `told` with every outcome once it is recorded, on the detection thread."""
        self._told = told

    def put(self, item: Input) -> None:
        """Takes the next input; from any thread."""
        self._inputs.put(item)

    # --- the one thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        for item in self._arriving():
            try:
                self._take(item)
            except Exception:
                # One input that cannot be carried must not end the watch over the whole fleet.
                log.exception("detection_input_failed", input=type(item).__name__)

    def _arriving(self) -> Iterator[Input]:
        """The inputs in their order, enrolments that follow one another as one."""
        while True:
            first = self._inputs.get()
            if _can_wait(first):
                time.sleep(GATHERING_SECONDS)
            for item in together([first, *(self._inputs.get() for _ in range(self._inputs.qsize()))]):
                if item is None:
                    return
                yield item

    def _take(self, item: Input) -> None:
        self._note(item)
        self._record(self._kernel.feed(item))
        if isinstance(item, Release):
            with self._database.transaction(item.now) as tx:
                isolations.strike(tx, item.name)
        now = self._clock()
        if now >= self._snapshot_at:
            self._snapshot_at = now + SNAPSHOT_EVERY_MILLIS
            self._journal.snapshot(self._kernel)
        if now >= self._pruned_at + PRUNE_EVERY_MILLIS:
            self._pruned_at = now
            self._prune(now)

    def _note(self, item: Input) -> None:
        """Journals an input. A full disk must not end the watch: then only a crash would lose the open windows."""
        try:
            self._journal.append(item)
        except OSError as error:
            log.error("input_not_journalled", error=str(error))

    def _record(self, outcome: Outcome) -> None:
        for events in _chunks(outcome.events, EVENTS_PER_TRANSACTION):
            self._keep(events, ())
            time.sleep(BREATH_SECONDS)
        if outcome.progress:
            self._keep((), outcome.progress)
        for kind, count in kinds(outcome.events).items():
            telemetry.ALARMS.labels(kind.value).inc(count)
        for event in outcome.events[:EVENTS_LOGGED]:
            log.info("alarm", kind=event.kind.value, thing=event.thing, behavior=event.behavior.name)
        for windows in outcome.windows:
            self._history.append(windows)
        self._history.append_data(outcome.data)
        self._told(outcome)

    def _keep(self, events: Sequence[AlarmEvent], progress: Sequence[Progress]) -> None:
        """Records in one transaction; a store that refuses (disk full, locked) is asked again until it takes it."""
        told = [message.told(event) for event in events]
        while True:
            try:
                with self._database.transaction(self._clock()) as tx:
                    news = recorder.record(tx, told, progress, self._publish)
                    automatic.enlist(tx, self._arns, news)
                return
            except OperationalError as error:
                log.error("alarms_not_recorded", waiting=len(events), error=str(error.orig))
                if self._stopping.wait(1.0):
                    # The journal keeps the inputs, so that the next start records what this one could not.
                    self._everything_recorded = False
                    raise

    def _end_orphans(self) -> None:
        """Ends the violations that the kernel does not know (its journal was lost): nothing else would."""
        known, now = self._kernel.open_violations(), self._clock()
        with self._database.read() as look:
            orphans = [row for row in violations.open_violations(look) if row["id"] not in known]
        if orphans:
            log.warning("violations_without_detection", ended=len(orphans))
            self._keep([_orphaned(row, now) for row in orphans], ())

    def _prune(self, now: Millis) -> None:
        self._history.prune(now - self._settings.history_retention_days * DAY)
        self._prune_violations(now)
        with self._database.transaction(now) as tx:
            mitigation_tasks.prune(tx, now - self._settings.violation_retention_days * DAY)
            trail.prune(tx.connection, now - self._settings.trail_retention_days * DAY)

    def _prune_violations(self, now: Millis) -> None:
        pruned = violations.PRUNED_AT_ONCE
        while pruned == violations.PRUNED_AT_ONCE:
            with self._database.transaction(now) as tx:
                pruned = violations.prune(tx, now - self._settings.violation_retention_days * DAY)
            time.sleep(BREATH_SECONDS)

    # --- what the registry and the profiles say -----------------------------------------------------------------------

    def _profiles_changed(self, touched: Sequence[Touch]) -> None:
        if any(kind == "profile" for kind, _ in touched):
            self._configure()

    def _configure(self) -> None:
        with self._database.read() as look:
            watched, named = watched_profiles(look), dimensions.named(look)
        self.put(Configure(self._clock(), watched))
        self._demand = demand(watched, named)
        if self._meet is not None:
            self._meet(self._demand)


def enrolments(view: FleetView, changes: Iterable[Change], before: dict[str, int], now: Millis) -> list[Input]:
    """What detection must hear of a step of the change feed that `view` has taken already.

    `before` gives the integer ids that the things among the changes had until then.
    """
    gone: list[Input] = []
    there: dict[str, ThingRecord] = {}
    for change in changes:
        if change.kind is RecordKind.THING:
            old = before.get(change.key)
            if old is not None and (not isinstance(change.record, ThingRecord) or change.record.id != old):
                gone.append(Withdraw(now, old))
            if isinstance(change.record, ThingRecord):
                there[change.key] = change.record
        elif change.kind is RecordKind.GROUP:
            members = ((name, view.thing(name)) for name in sorted(view.things_in(change.key)))
            there.update((name, thing) for name, thing in members if thing is not None)
    return [*gone, *_enrolled(view, there.values(), now)]


def together(items: Iterable[Input | None]) -> Iterator[Input | None]:
    """The inputs in their order, with each row of enrolments made one."""
    for are_enrolments, row in groupby(items, _can_wait):
        if are_enrolments:
            yield EnrollMany.merged([item for item in row if isinstance(item, EnrollMany)])
        else:
            yield from row


def _can_wait(item: Input | None) -> bool:
    """Whether it is an enrolment that has room for more."""
    return isinstance(item, EnrollMany) and len(item.ids) < ENROLLED_AT_ONCE


def _differences(view: FleetView, enrolled: dict[int, str], now: Millis) -> Iterator[Input]:
    """Brings what detection remembers of the fleet up to date: the things that went meanwhile, and those there are."""
    there = {thing.id for thing in view.things()}
    yield from (Withdraw(now, id) for id in enrolled if id not in there)
    yield from _enrolled(view, view.things(), now)


def _enrolled(view: FleetView, things: Iterable[ThingRecord], now: Millis) -> Iterator[EnrollMany]:
    waiting = iter(things)
    while some := list(islice(waiting, ENROLLED_AT_ONCE)):
        groups = {thing.id: frozenset(view.ancestry(thing.groups)) for thing in some if thing.groups}
        yield EnrollMany(now, tuple(thing.id for thing in some), tuple(thing.name for thing in some), groups)


def releases(names: Iterable[str], now: Millis) -> list[Input]:
    return [Release(now, name) for name in names]


def _orphaned(row: RowMapping, now: Millis) -> AlarmEvent:
    (behavior,) = profiles.parse(row["profile"], [row["behavior"]])
    reason = "the state of detection was lost"
    return AlarmEvent(AlarmKind.INVALIDATED, row["id"], row["thing"], behavior, now, reason=reason)


def _chunks(events: Sequence[AlarmEvent], size: int) -> Iterable[Sequence[AlarmEvent]]:
    return (events[start : start + size] for start in range(0, len(events), size))
