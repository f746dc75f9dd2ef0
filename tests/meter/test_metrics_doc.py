"""The table of metrics that people read is the one that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetward.meter.metrics import METRICS, Duration, Metric

DOC = Path(__file__).parents[2] / "docs" / "metrics.md"
DURATIONS = {Duration.REQUIRED: "required", Duration.OPTIONAL: "optional", Duration.FORBIDDEN: "none"}


def rows() -> dict[str, list[str]]:
    lines = [line for line in DOC.read_text().splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name.strip("`"): rest for name, *rest in cells}


def test_every_metric_is_documented_and_no_other() -> None:
    """A metric without a row in docs/metrics.md fails here, and so does a row without a metric."""
    assert list(rows()) == list(METRICS)


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_the_row_says_what_the_code_does(metric: Metric) -> None:
    """Label, unit, kind, value, operators, duration, window, statistics and dimensions are those of METRICS."""
    operators = ", ".join(metric.operators) if len(metric.operators) != 4 else "numeric"
    *told, formula = rows()[metric.name]
    assert told == [
        metric.label,
        metric.unit,
        f"{metric.kind} (basic)" if metric.basic else metric.kind,
        metric.value,
        operators,
        DURATIONS[metric.duration],
        f"{metric.window_seconds} s" if metric.window_seconds else "each report",
        "yes" if metric.statistical else "no",
        "yes" if metric.takes_dimension else "no",
    ]
    assert len(formula) > 20
