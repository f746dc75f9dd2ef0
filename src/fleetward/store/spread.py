"""A metric in windows of some length, from the history: one device's over time, and the whole fleet's in one window.

Shorter windows that were kept are put together in DuckDB; of a million devices only the bins leave it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fleetward.meter.batch import Column
from fleetward.meter.metrics import Kind, metric_of
from fleetward.model import Behavior, Millis, SetCriterion, StaticCriterion
from fleetward.store.history import MAX_DURATION, History
from fleetward.store.history_schema import is_wide

BINS = 30
FAR_APART = 20
"""The highest value is that many times the lowest: bins of one width would have all devices but a few in the first."""

MOST_VALUES = 1_000

_MERGED = {"total": "sum", "minimum": "min", "maximum": "max"}


@dataclass(frozen=True, slots=True)
class Measure:
    """What is looked at: a column in windows of so many seconds (0: each report), of which `part` counts."""

    column: Column
    seconds: int
    part: str

    @classmethod
    def of(cls, behavior: Behavior) -> Measure | None:
        """What a behaviour judges; None for lists, which have no value to draw."""
        criterion, kind = behavior.criterion, metric_of(behavior.metric, behavior.value).kind
        if isinstance(criterion, SetCriterion):
            return None
        part = "total"
        if kind is Kind.GAUGE or (kind is Kind.SIZE and isinstance(criterion, StaticCriterion)):
            part = "maximum" if criterion.operator.is_upper_bound else "minimum"
        return cls(behavior.column, behavior.duration_seconds, part)

    @property
    def _rows(self) -> tuple[str, list[Any]]:
        """The kept rows as (thing, start, stop, value), between two times that are the first two parameters."""
        metric, dimension = self.column
        if is_wide(self.column):
            query = (
                f'SELECT thing, start, start + 1000 * seconds AS stop, seconds, "{metric}.{self.part}" AS value'  # noqa: S608
                f' FROM window_values WHERE start >= ? AND start < ? AND "{metric}.count" IS NOT NULL'
            )
            return query, []
        query = (
            f"SELECT thing, stamp - 1000 * seconds AS start, stamp AS stop, seconds, {self.part} AS value"  # noqa: S608
            " FROM datapoints WHERE stamp >= ? AND stamp <= ? AND metric = ? AND dimension = ? AND elements IS NULL"
        )
        return query, [metric, dimension]


class Distribution(NamedTuple):
    """The values of so many devices by bins, which have one edge more; `value` is that of the one asked for."""

    devices: int
    value: float | None
    logarithmic: bool
    edges: Sequence[float]
    counts: Sequence[int]


def values(history: History, measure: Measure, thing: str, since: Millis, until: Millis) -> list[tuple[Millis, float]]:
    """(end of the window, value) of one device for the windows that lie within the period, oldest first."""
    rows, more = measure._rows
    length = 1000 * measure.seconds
    end = f"(start // {length} + 1) * {length}" if length else "stop"
    found = history.columns(
        f"SELECT {end} AS time, {_MERGED[measure.part]}(value)::DOUBLE AS value FROM ({rows})"  # noqa: S608
        " WHERE thing = (SELECT number FROM names WHERE name = ?) AND start >= ? AND stop <= ?"
        f" AND (seconds <= ? OR ? = 0) GROUP BY time ORDER BY time LIMIT {MOST_VALUES}",
        [since, until, *more, thing, since, until, measure.seconds, measure.seconds],
    )
    return list(zip(found["time"].tolist(), found["value"].tolist(), strict=True))


def distribution(history: History, measure: Measure, thing: str, until: Millis) -> Distribution | None:
    """Where all devices stood in the window that ended at `until`; None when there is no value, or no window."""
    if not 0 < measure.seconds <= MAX_DURATION:
        return None
    rows, more = measure._rows
    start = until - 1000 * measure.seconds
    found = history.columns(
        f"""WITH fleet AS MATERIALIZED (
            SELECT thing, {_MERGED[measure.part]}(value)::DOUBLE AS value FROM ({rows})
            WHERE start >= ? AND stop <= ? GROUP BY thing
        ), ends AS (SELECT min(value) AS low, max(value) AS high FROM fleet), scale AS (
            SELECT low, high, low >= 0 AND high + 1 > {FAR_APART} * (low + 1) AS logarithmic FROM ends
        ), placed AS (
            SELECT value, thing, low, high, logarithmic, CASE
                WHEN high = low THEN 0
                WHEN logarithmic THEN ln((value + 1) / (low + 1)) / ln((high + 1) / (low + 1))
                ELSE (value - low) / (high - low) END AS place FROM fleet, scale
        )
        SELECT least(floor(place * {BINS}), {BINS} - 1)::INTEGER AS bin, count(*) AS devices,
            first(low) AS low, first(high) AS high, first(logarithmic) AS logarithmic,
            max(value) FILTER (thing = (SELECT number FROM names WHERE name = ?)) AS own
        FROM placed GROUP BY bin ORDER BY bin""",  # noqa: S608
        [start, until, *more, start, until, thing],
    )
    if not len(found["bin"]):
        return None
    low, high, logarithmic = (column[0].item() for column in (found["low"], found["high"], found["logarithmic"]))
    own = [value for value in found["own"].tolist() if value is not None and not math.isnan(value)]
    counts = [0] * (BINS if high > low else 1)
    for place, devices in zip(found["bin"].tolist(), found["devices"].tolist(), strict=True):
        counts[place] = int(devices)
    edges = _edges(low, high, logarithmic, len(counts))
    return Distribution(sum(counts), own[0] if own else None, logarithmic, edges, counts)


def _edges(low: float, high: float, logarithmic: bool, bins: int) -> list[float]:
    """The ends are exact, whatever rounding does in between."""
    parts = [number / bins for number in range(1, bins)]
    if logarithmic:
        factor = (high + 1) / (low + 1)
        return [low, *((low + 1) * factor**part - 1 for part in parts), high]
    return [low, *(low + (high - low) * part for part in parts), high]
