"""A device's report as the cells that a batch would bring, one row each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from fleetward.detect.counts import as_tuples
from fleetward.detect.inputs import Report
from fleetward.detect.outcome import Numbers
from fleetward.meter.batch import Cells, Column
from fleetward.meter.metrics import Kind, Metric
from fleetward.model import Value, ValueKind

MOST = 2**53
"""What a report may say at once of a whole number, so that sums stay exact."""


def report_cells(report: Report, metrics: Mapping[Column, Metric]) -> Iterator[tuple[Column, Cells]]:
    """The cells of the report's values that are in use and of their metric's kind."""
    for name, value in report.values.items():
        metric = metrics.get((name, ""))
        if metric is not None and isinstance(value, tuple) == (metric.kind is Kind.SET):
            yield (name, ""), _cells(report.id, metric, value)


def reading(cells: Cells) -> Numbers:
    """The one value that those cells hold."""
    return cells.total if cells.items is None else as_tuples(list(cells.items))


def _cells(device: int, metric: Metric, value: Value) -> Cells:
    one = np.ones(1, dtype=np.int64)
    if isinstance(value, tuple):
        return Cells(np.array([device]), one, one, one, one, (value,))
    plain = float(value) if metric.value is ValueKind.NUMBER else min(max(int(value), 0), MOST)
    number = np.array([plain])
    return Cells(np.array([device]), one, number, number, number)
