"""What a window leaves to the metric history: rows of numbers, and the elements of lists."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fleetward.detect.outcome import Datum, Mask, Outcome, WindowRows
from fleetward.detect.slots import as_index
from fleetward.detect.state import State
from fleetward.detect.windows import Window
from fleetward.meter.batch import Column, Ids
from fleetward.meter.metrics import BASIC, Kind


def record(state: State, window: Window, has: Mapping[Column, Mask], outcome: Outcome) -> None:
    """Hands over the columns whose history has windows of this length; `has` says which slots have a value."""
    mine = [column for column in window.counts if state.windows.shortest[column] == window.seconds]
    lists = [column for column in mine if window.counts[column].metric.kind is Kind.SET]
    columns = [column for column in mine if column not in lists]
    for column in lists:
        _record_elements(state, window, column, np.flatnonzero(has[column]), outcome)
    if columns:
        slots = np.flatnonzero(np.logical_or.reduce([has[column] for column in columns]))
        names = tuple(state.slots.names[as_index(slots)].tolist())
        rows = {column: window.counts[column].rows(has[column], slots) for column in columns}
        metrics = {metric: rows.pop((metric, "")) for metric in BASIC if (metric, "") in rows}
        outcome.windows.append(WindowRows(window.start, window.seconds, names, metrics, rows))


def _record_elements(state: State, window: Window, column: Column, slots: Ids, outcome: Outcome) -> None:
    for slot, elements in zip(slots.tolist(), window.counts[column].elements(slots), strict=True):
        outcome.data.append(Datum(window.end, window.seconds, state.slots.names[slot], *column, elements))
