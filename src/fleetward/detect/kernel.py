"""The kernel: batches in, violation events out. A pure function of its inputs; time is what the batches say.

    ingest      counts a batch into the open windows
    tick        decides at once what is decided already: static upper bounds that were crossed
    close       judges a window at its end
    thresholds  what each device is compared with (criteria.py)
    step        turns datapoints into streaks, and streaks into violations

A batch belongs to the window it starts in; one that is late (the clock was set back) to the window that is open. Time
that no batch covers is a gap (the server was down, or a tick came too late and ran over a window's end), and missing
observations can only make a value smaller. So, of a window with a gap:

    lower bounds       are not judged
    upper percentiles  are judged while the gap is at most 5 % of the window
    upper bounds       are always judged; beyond 5 % only a violation counts, for conforming is not proven
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fleetward.detect.coverage import Watch
from fleetward.detect.criteria import judged_value, settling_bound, static_thresholds, thresholds, violates
from fleetward.detect.explain import TOPIC_METRICS, Verdicts, explanation, violation_id
from fleetward.detect.inputs import Configure, Enroll, Input, Release, Withdraw
from fleetward.detect.outcome import Mask, Outcome, Progress, WindowRows
from fleetward.detect.state import State
from fleetward.detect.streaks import Streaks
from fleetward.detect.windows import Window
from fleetward.meter.batch import Batch, Cells, Column, Ids
from fleetward.meter.metrics import METRICS, Kind
from fleetward.model import AlarmEvent, AlarmKind, Ended, Millis

__all__ = ["Kernel", "Outcome"]

TWO_DAYS = 2 * 86_400_000
GAP_TOLERANCE = 0.05
TOPIC_COLUMNS = frozenset((metric, "") for metric in TOPIC_METRICS)


class Kernel:
    """Detection; picklable. `strict_grid` turns early decisions off."""

    def __init__(self, strict_grid: bool = False) -> None:
        self.strict_grid = strict_grid
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
        return {id for _, streaks in self._state.running() for id in streaks.open.values()}

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

    def ingest(self, batch: Batch) -> dict[Column, tuple[Ids, Cells]]:
        """Counts a batch; returns its cells with their slots, without those of devices that have none."""
        state, now = self._state, self._state.at(batch.start)
        for id, name in batch.names.items():
            if state.slots.slot(id) is None and not state.slots.is_full():
                state.place(id, name, now)
        self._ingest_sessions(batch, now)
        seen = {column: self._known(cells) for column, cells in batch.cells.items() if column in state.windows.latest}
        for column, (slots, cells) in seen.items():
            state.slots.active[slots] = now
            for window in state.windows:
                if column in window.counts:
                    window.counts[column].add(slots, cells)
        if batch.topics is not None:
            slots = state.slots.find(batch.topics.device)
            for window in state.windows:
                if TOPIC_COLUMNS & window.counts.keys():
                    window.topics.add(slots, batch.topics)
        return seen

    def _ingest_sessions(self, batch: Batch, now: Millis) -> None:
        slots = self._state.slots
        for ids, change in ((batch.connected, 1), (batch.disconnected, -1)):
            found = slots.find(ids)
            found = found[found >= 0]
            np.add.at(slots.connected, found, change)
            slots.active[found] = now
            for window in self._state.windows:
                window.present[found] = True
        np.maximum(slots.connected, 0, out=slots.connected)

    def _known(self, cells: Cells) -> tuple[Ids, Cells]:
        slots = self._state.slots.find(cells.device)
        known = slots >= 0
        if known.all():
            return slots, cells
        columns = (cells.device, cells.count, cells.total, cells.minimum, cells.maximum)
        return slots[known], Cells(*(column[known] for column in columns))

    def tick(self, seen: Mapping[Column, tuple[Ids, Cells]], now: Millis, outcome: Outcome) -> None:
        """Decides the static upper bounds that this batch crossed: that is the datapoint of the open window.

        In a window that was open already when the watch began, only what came since counts.
        """
        for watch, streaks in self._state.running():
            behavior = streaks.behavior
            bound = settling_bound(behavior)
            if bound is None or (behavior.metric, "") not in seen:
                continue
            slots, cells = seen[behavior.metric, ""]
            window = self._state.windows[behavior.duration_seconds]
            values = cells.maximum
            if METRICS[behavior.metric].kind is Kind.COUNTER:
                values = streaks.counted(slots, window.counts[behavior.metric, ""].total)
            limits = static_thresholds(bound, values)
            hit = watch.covers(slots) & ~streaks.decided[slots] & violates(bound, values, limits.values)
            if hit.any():
                streaks.decided[slots[hit]] = True
                verdicts = Verdicts(streaks, window, slots, values, limits, hit, now, early=True)
                self.step(verdicts.where(hit), outcome)

    def close(self, window: Window, outcome: Outcome) -> None:
        """Judges every behaviour of this duration, and hands the window to the history."""
        windows = self._state.windows
        has = {column: window.has_value(column) for column in window.counts}
        for column, valued in has.items():
            windows.latest[column][valued] = window.end
        for watch, streaks in self._state.running():
            if streaks.behavior.duration_seconds == window.seconds:
                column = (streaks.behavior.metric, "")
                self._judge(window, watch, streaks, has[column], outcome)
                silent = [slot for slot in sorted(streaks.open) if windows.latest[column][slot] < window.end - TWO_DAYS]
                self._state.invalidate(streaks, silent, Ended.NO_DATA, window.end, outcome)
                streaks.next_window()
        self._record(window, has, outcome)

    def _judge(self, window: Window, watch: Watch, streaks: Streaks, has: Mask, outcome: Outcome) -> None:
        behavior = streaks.behavior
        criterion = behavior.criterion
        torn = window.gap > GAP_TOLERANCE * window.length
        if streaks.active_at > window.start or (window.gap and not criterion.operator.is_upper_bound):
            return
        if torn and not settling_bound(behavior):
            return
        slots = np.flatnonzero(has & (watch.since <= window.start) & ~streaks.decided)
        values = judged_value(behavior, window.counts[behavior.metric, ""])[slots]
        limits = thresholds(criterion, values)
        if limits is not None:
            violating = violates(criterion, values, limits.values)
            verdicts = Verdicts(streaks, window, slots, values, limits, violating, window.end)
            self.step(verdicts.where(violating) if torn else verdicts, outcome)

    def _record(self, window: Window, has: Mapping[Column, Mask], outcome: Outcome) -> None:
        columns = [column for column in window.counts if self._state.windows.shortest[column] == window.seconds]
        if columns:
            slots = np.flatnonzero(np.logical_or.reduce([has[column] for column in columns]))
            names = tuple(map(self._state.slots.names.__getitem__, slots.tolist()))
            metrics = {column[0]: window.rows(column, has[column], slots) for column in columns}
            outcome.windows.append(WindowRows(window.start, window.seconds, names, metrics))

    def step(self, verdicts: Verdicts, outcome: Outcome) -> None:
        """Adds the datapoints to the streaks; raises and clears the violations that follow."""
        streaks = verdicts.streaks
        turn = streaks.step(verdicts.slots, verdicts.violating)
        for index in np.flatnonzero(turn.continued).tolist():
            id = streaks.open[int(verdicts.slots[index])]
            outcome.progress.append(Progress(id, int(verdicts.values[index]), verdicts.time))
        turned = np.flatnonzero(turn.raised | turn.cleared)
        if not len(turned):
            return
        topics = verdicts.window.topics.top(verdicts.slots[turned])
        for index in turned.tolist():
            slot = int(verdicts.slots[index])
            id = self._open(verdicts, slot) if turn.raised[index] else streaks.open.pop(slot)
            outcome.events.append(
                AlarmEvent(
                    kind=AlarmKind.IN_ALARM if turn.raised[index] else AlarmKind.CLEARED,
                    violation_id=id,
                    thing=self._state.slots.names[slot],
                    behavior=streaks.behavior,
                    time=verdicts.time,
                    value=int(verdicts.values[index]),
                    explanation=explanation(verdicts, index, int(turn.run[index]), topics.get(slot, ())),
                )
            )

    def _open(self, verdicts: Verdicts, slot: int) -> str:
        slots, streaks = self._state.slots, verdicts.streaks
        device, epoch = int(slots.ids[slot]), int(slots.epoch[slot])
        id = violation_id(streaks.behavior, slots.names[slot], device, verdicts.window.start, epoch)
        streaks.open[slot] = id
        return id


_TAKES: Mapping[type, Callable[[Kernel, Any, Outcome], None]] = {
    Batch: Kernel._take_batch,
    Configure: lambda kernel, item, outcome: kernel._state.configure(item, outcome),
    Enroll: lambda kernel, item, outcome: kernel._state.enroll(item, outcome),
    Withdraw: lambda kernel, item, outcome: kernel._state.withdraw(item, outcome),
    Release: lambda kernel, item, outcome: kernel._state.release(item, outcome),
}
