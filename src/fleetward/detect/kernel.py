"""The kernel: batches in, violation events out. A pure function of its inputs; time is what the batches say.

    ingest      counts a batch into the open windows
    tick        decides at once what is decided already: static upper bounds that were crossed, elements out of place
    close       judges a window at its end
    judge       compares each device with what it is to be compared with (criteria.py)
    step        turns datapoints into streaks, and streaks into violations (turned.py)

A batch belongs to the window it starts in; one that is late (the clock was set back) to the window that is open. Time
that no batch covers is a gap (the server was down, or a tick came too late and ran over a window's end), and missing
observations can only make a value smaller. So, of a window with a gap:

    lower bounds       are not judged
    upper percentiles  are judged while the gap is at most 5 % of the window
    upper bounds       are always judged; beyond 5 % only a violation counts, for conforming is not proven
    sets               are judged as upper bounds are
    timers             are judged while the gap is at most 5 % of the window

A report is counted into the open windows as a batch is; what has no window is judged when the report comes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fleetward.detect.counts import as_tuples
from fleetward.detect.coverage import Watch
from fleetward.detect.criteria import judge, judged_value, needs_everything, settles
from fleetward.detect.explain import TOPIC_METRICS, Moment, Verdicts
from fleetward.detect.inputs import Configure, Enroll, EnrollMany, Input, Release, Report, Withdraw
from fleetward.detect.networks import NETWORK_MEMORY
from fleetward.detect.outcome import Datum, Mask, Numbers, Outcome
from fleetward.detect.readings import reading, report_cells
from fleetward.detect.recording import record
from fleetward.detect.state import State
from fleetward.detect.streaks import Streaks
from fleetward.detect.turned import step
from fleetward.detect.windows import Window
from fleetward.meter.batch import Batch, Cells, Column, Ids
from fleetward.meter.metrics import NEW_NETWORK, SILENCE, Kind
from fleetward.model import Ended, Millis

__all__ = ["Kernel", "Outcome"]

TWO_DAYS = 2 * 86_400_000
GAP_TOLERANCE = 0.05

Seen = dict[Column, tuple[Ids, Cells]]


class Kernel:
    """Detection; picklable.

    `strict_grid` turns early decisions off; a network that was not seen for `network_memory` is new again.
    """

    def __init__(self, strict_grid: bool = False, network_memory: Millis = NETWORK_MEMORY) -> None:
        self.strict_grid = strict_grid
        self.network_memory = network_memory
        self._state = State()
        self._run: tuple[str, int] = ("", -1)

    def feed(self, item: Input) -> Outcome:
        """Takes the next input and answers what it led to."""
        outcome = Outcome()
        _TAKES[type(item)](self, item, outcome)
        return outcome

    @property
    def watermark(self) -> Millis | None:
        """Up to when the fleet was observed; None before the first batch."""
        return self._state.watermark

    def things(self) -> dict[int, str]:
        """The ids and names of all enrolled things."""
        slots = self._state.slots
        return {int(slots.ids[slot]): slots.names[slot] for slot in np.flatnonzero(slots.enrolled).tolist()}

    def open_violations(self) -> set[str]:
        """The ids of the violations that are in alarm."""
        state = self._state
        return {state.violation(streaks, slot) for _, streaks in state.running() for slot in streaks.open}

    # --- batches ------------------------------------------------------------------------------------------------------

    def _take_batch(self, batch: Batch, outcome: Outcome) -> None:
        run, sequence = self._run
        if batch.gateway == run and batch.sequence <= sequence:
            return
        if batch.gateway != run:
            # The sessions of the run before ended with it.
            self._state.slots.connected[:] = 0
        self._run = (batch.gateway, batch.sequence)
        self._pass(batch.start, outcome, observed=False)
        seen = self.ingest(batch)
        if not self.strict_grid:
            self.tick(seen, self._state.at(batch.end), outcome)
        self._pass(min(batch.end, self._state.windows.next_end()), outcome)
        self._pass(batch.end, outcome, observed=False)

    def _pass(self, until: Millis, outcome: Outcome, observed: bool = True) -> None:
        """Moves the watermark, closing the windows that end on the way."""
        state, connected = self._state, self._state.slots.connected
        if state.watermark is None:
            for window in state.windows:
                window.restart(until, connected)
            state.watermark = until
        if until <= state.watermark:
            return
        for window in state.windows:
            window.gap += 0 if observed else min(until, window.end) - state.watermark
        due = state.windows.due(until)
        for window in due:
            self.close(window, outcome)
            window.restart(until, connected)
        state.watermark = until
        if due:
            state.recycle(until - TWO_DAYS)

    def ingest(self, batch: Batch) -> Seen:
        """Counts a batch; returns its cells with their slots, without those of devices that have none."""
        state, now = self._state, self._state.at(batch.start)
        for id, name in batch.names.items():
            if state.slots.slot(id) is None and not state.slots.is_full():
                state.place(id, name, now)
        self._ingest_sessions(batch, now)
        seen = {column: self._known(cells) for column, cells in batch.cells.items() if column in state.windows.latest}
        if (SILENCE, "") in seen:
            state.slots.heard[seen.pop((SILENCE, ""))[0]] = now
        if (NEW_NETWORK, "") in seen:
            slots, cells = seen[NEW_NETWORK, ""]
            seen[NEW_NETWORK, ""] = slots, state.networks.new_ones(slots, cells, now, self.network_memory)
        self._count(seen, now)
        if batch.topics is not None:
            slots = state.slots.find(batch.topics.device)
            for window in state.windows:
                if any(metric in TOPIC_METRICS for metric, _ in window.counts):
                    window.topics.add(slots, batch.topics)
        return seen

    def _count(self, seen: Seen, now: Millis) -> None:
        for column, (slots, cells) in seen.items():
            self._state.slots.active[slots] = now
            for window in self._state.windows:
                if column in window.counts:
                    window.counts[column].add(slots, cells)

    def _ingest_sessions(self, batch: Batch, now: Millis) -> None:
        slots = self._state.slots
        for ids, change in ((batch.connected, 1), (batch.disconnected, -1)):
            found = slots.find(ids)
            found = found[found >= 0]
            np.add.at(slots.connected, found, change)
            slots.active[found] = slots.left[found] = now
            for window in self._state.windows:
                window.present[found] = True
        slots.heard[slots.find(batch.connected)] = now
        np.maximum(slots.connected, 0, out=slots.connected)

    def _known(self, cells: Cells) -> tuple[Ids, Cells]:
        slots = self._state.slots.find(cells.device)
        known = slots >= 0
        if known.all():
            return slots, cells
        columns = (cells.device, cells.count, cells.total, cells.minimum, cells.maximum)
        device, count, total, minimum, maximum = (column[known] for column in columns)
        items = None if cells.items is None else [cells.items[row] for row in np.flatnonzero(known).tolist()]
        return slots[known], Cells(device, count, total, minimum, maximum, items)

    def tick(self, seen: Mapping[Column, tuple[Ids, Cells]], now: Millis, outcome: Outcome) -> None:
        """Decides what this batch settled, such as a static upper bound: that is the datapoint of the open window.

        In a window that was open already when the watch began, only what came since counts.
        """
        for watch, streaks in self._state.running():
            behavior = streaks.behavior
            if not behavior.duration_seconds or behavior.column not in seen or not settles(behavior):
                continue
            slots, cells = seen[behavior.column]
            window = self._state.windows[behavior.duration_seconds]
            judged = judge(behavior.criterion, _values_so_far(streaks, slots, cells, window))
            hit = watch.covers(slots) & ~streaks.decided[slots]
            if judged is None or not (hit := hit & judged.violating).any():
                continue
            streaks.decided[slots[hit]] = True
            verdicts = Verdicts(streaks, window, slots, judged.values, judged.limits, hit, now, early=True)
            step(self._state.slots, verdicts.where(hit), outcome)

    def close(self, window: Window, outcome: Outcome) -> None:
        """Judges every behaviour of this duration, and hands the window to the history."""
        windows = self._state.windows
        window.read_timers(self._state.slots)
        has = {column: window.has_value(column) for column in window.counts}
        for column, valued in has.items():
            windows.latest[column][valued] = window.end // 1000
        for watch, streaks in self._state.running():
            if streaks.behavior.duration_seconds == window.seconds:
                self._judge(window, watch, streaks, has[streaks.behavior.column], outcome)
                self._end_silent(streaks, window.end, outcome)
                streaks.next_window()
            elif not streaks.behavior.duration_seconds:
                self._end_silent(streaks, window.end, outcome)
        record(self._state, window, has, outcome)

    def _end_silent(self, streaks: Streaks, now: Millis, outcome: Outcome) -> None:
        if streaks.open:
            latest = self._state.windows.latest[streaks.behavior.column]
            silent = np.flatnonzero(streaks.in_alarm & (latest < (now - TWO_DAYS) // 1000)).tolist()
            self._state.invalidate(streaks, silent, Ended.NO_DATA, now, outcome)

    def _judge(self, window: Window, watch: Watch, streaks: Streaks, has: Mask, outcome: Outcome) -> None:
        behavior = streaks.behavior
        criterion = behavior.criterion
        torn = window.gap > GAP_TOLERANCE * window.length
        if streaks.active_at > window.start or (window.gap and needs_everything(criterion)):
            return
        if torn and not settles(behavior):
            return
        slots = np.flatnonzero(has & (watch.since <= window.start) & ~streaks.decided)
        judged = judge(criterion, judged_value(behavior, window.counts[behavior.column], slots))
        if judged is not None:
            verdicts = Verdicts(streaks, window, slots, *judged, window.end)
            step(self._state.slots, verdicts.where(judged.violating) if torn else verdicts, outcome)

    # --- reports ------------------------------------------------------------------------------------------------------

    def _take_report(self, report: Report, outcome: Outcome) -> None:
        state = self._state
        now = state.at(report.now)
        self._pass(now if state.watermark is None else state.watermark, outcome)
        slot = state.slots.slot(report.id)
        if slot is None and not state.slots.is_full():
            slot = state.place(report.id, report.name, now)
        if slot is None:
            return
        state.slots.active[slot] = now
        seen = {column: (np.array([slot]), cells) for column, cells in report_cells(report, state.windows.metrics)}
        for column in seen:
            state.windows.latest[column][slot] = now // 1000
        self._count(seen, now)
        if not self.strict_grid:
            self.tick(seen, now, outcome)
        self._judge_report(report, seen, now, outcome)

    def _judge_report(self, report: Report, seen: Seen, now: Millis, outcome: Outcome) -> None:
        """Judges what has no window: each report is a datapoint."""
        for column, (slots, _) in seen.items():
            if self._state.windows.shortest[column] == 0:
                name = self._state.slots.names[int(slots[0])]
                outcome.data.append(Datum(now, 0, name, *column, report.values[column[0]]))
        for watch, streaks in self._state.running():
            behavior = streaks.behavior
            if behavior.duration_seconds or behavior.column not in seen:
                continue
            slots, cells = seen[behavior.column]
            judged = judge(behavior.criterion, reading(cells))
            if judged is not None and watch.covers(slots).all():
                step(self._state.slots, Verdicts(streaks, Moment(now, now), slots, *judged, now), outcome)


def _values_so_far(streaks: Streaks, slots: Ids, cells: Cells, window: Window) -> Numbers:
    """What a batch says of each of its slots, for a counter together with what the open window holds."""
    counts = window.counts[streaks.behavior.column]
    if counts.metric.kind in (Kind.COUNTER, Kind.DELTA):
        return streaks.counted(slots, counts.total)
    return as_tuples(list(cells.items)) if cells.items is not None else cells.maximum


_TAKES: Mapping[type, Callable[[Kernel, Any, Outcome], None]] = {
    Batch: Kernel._take_batch,
    Report: Kernel._take_report,
    Configure: lambda kernel, item, outcome: kernel._state.configure(item, outcome),
    Enroll: lambda kernel, item, outcome: kernel._state.enroll(EnrollMany.of(item.now, [item]), outcome),
    EnrollMany: lambda kernel, item, outcome: kernel._state.enroll(item, outcome),
    Withdraw: lambda kernel, item, outcome: kernel._state.withdraw(item, outcome),
    Release: lambda kernel, item, outcome: kernel._state.release(item, outcome),
}
