"""A profile's behaviours, from the API's form to the one the kernel runs: everything wrong with them, or `Behavior`s.

Every complaint follows the one text of AWS that is known: ``Behavior X is malformed. consecutiveDatapointsToAlarm
100000 should be in range[1,10]``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fleetward import errors
from fleetward.detect import behavior_checks
from fleetward.detect.behavior_checks import AVERAGE, NOTHING, SET_OPERATORS, STATISTICS, Catalog, Json, show
from fleetward.meter.metrics import Duration, metric_of
from fleetward.model import (
    AverageCriterion,
    Behavior,
    Criterion,
    Operator,
    PercentileCriterion,
    SetCriterion,
    SetOperator,
    StaticCriterion,
    ValueKind,
    metric_value,
)

MAX_BEHAVIORS = 100
MAX_ELEMENTS = 1_000
"""Elements in the values of one profile's behaviours (AWS general reference, quotas of Device Defender)."""

MARGIN_TAG = "statistical-margin-percent"
MAX_MARGIN_PERCENT = 1_000.0


def validate(behaviors: object, catalog: Catalog = NOTHING) -> list[str]:
    """Everything wrong with `behaviors` as the API gives them; an empty list when they are valid. Never raises.

    `catalog` tells the custom metrics and the dimensions that there are.
    """
    if not isinstance(behaviors, Sequence) or isinstance(behaviors, str | bytes):
        return ["behaviors should be a list"]
    if len(behaviors) > MAX_BEHAVIORS:
        return [f"A security profile takes at most {MAX_BEHAVIORS} behaviors, not {len(behaviors)}"]
    uses = Counter(name for name in map(_name_of, behaviors) if name is not None)
    found = [
        f"Behavior {_label(behavior, number)} is malformed. {complaint}"
        for number, behavior in enumerate(behaviors, start=1)
        for complaint in behavior_checks.complaints(behavior, uses, catalog)
    ]
    elements = sum(map(_elements_of, behaviors))
    if elements > MAX_ELEMENTS:
        found.append(f"A security profile takes at most {MAX_ELEMENTS} elements in its values, not {elements}")
    return found


def parse(profile: str, behaviors: Sequence[Json], margin_percent: float = 0.0) -> tuple[Behavior, ...]:
    """The running form of behaviours that `validate` calls valid."""
    return tuple(_behavior(profile, behavior, margin_percent) for behavior in behaviors)


def render(behavior: Behavior) -> dict[str, Any]:
    """The API's form of a running behaviour, with every default spelled out; the inverse of `parse`."""
    criterion, metric = behavior.criterion, metric_of(behavior.metric, behavior.value)
    criteria: dict[str, Any] = {"comparisonOperator": criterion.operator.value}
    if isinstance(criterion, StaticCriterion):
        criteria["value"] = metric_value(metric.value, criterion.bound)
    elif isinstance(criterion, SetCriterion):
        criteria["value"] = metric_value(metric.value, criterion.elements)
    else:
        criteria["statisticalThreshold"] = {"statistic": criterion.label}
    if behavior.duration_seconds and metric.duration is not Duration.FORBIDDEN:
        criteria["durationSeconds"] = behavior.duration_seconds
    criteria["consecutiveDatapointsToAlarm"] = behavior.datapoints_to_alarm
    criteria["consecutiveDatapointsToClear"] = behavior.datapoints_to_clear
    form: dict[str, Any] = {"name": behavior.name, "metric": behavior.metric, "criteria": criteria}
    if behavior.dimension:
        operator, _, name = behavior.dimension.partition(":")
        form["metricDimension"] = {"dimensionName": name, "operator": operator}
    if behavior.suppress_alerts:
        form["suppressAlerts"] = True
    return form


def folded_dimension(form: Json) -> str:
    """The dimension that a behaviour or a metric to retain names, as columns have it: "IN:name", or "" for none."""
    dimension = form.get("metricDimension")
    return f"{dimension.get('operator') or 'IN'}:{dimension['dimensionName']}" if dimension else ""


def criteria_type(form: Json) -> str:
    """The API's BehaviorCriteriaType of a behaviour in the API's form."""
    criteria = form.get("criteria") or {}
    if criteria.get("mlDetectionConfig") is not None:
        return "MACHINE_LEARNING"
    return "STATIC" if criteria.get("statisticalThreshold") is None else "STATISTICAL"


def margin_percent(tag: str | None) -> float:
    """The margin that the tag `statistical-margin-percent` carries; none means 0, AWS's strict reading.

    Raises InvalidRequest for anything but a plain number from 0 to 1000.
    """
    if tag is None:
        return 0.0
    margin = float(tag) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", tag) else MAX_MARGIN_PERCENT + 1
    if margin > MAX_MARGIN_PERCENT:
        raise errors.InvalidRequest(f"Tag {MARGIN_TAG} should be a number from 0 to 1000, not {show(tag)}")
    return margin


def _behavior(profile: str, form: Json, margin: float) -> Behavior:
    criteria = form["criteria"]
    metric = metric_of(form["metric"], _value_kind(criteria))
    return Behavior(
        profile=profile,
        name=form["name"],
        metric=form["metric"],
        criterion=_criterion(criteria, margin),
        duration_seconds=criteria.get("durationSeconds") or metric.window_seconds,
        datapoints_to_alarm=criteria.get("consecutiveDatapointsToAlarm") or 1,
        datapoints_to_clear=criteria.get("consecutiveDatapointsToClear") or 1,
        suppress_alerts=bool(form.get("suppressAlerts")),
        dimension=folded_dimension(form),
        value=metric.value,
    )


def _value_kind(criteria: Json) -> ValueKind:
    """The kind of a custom metric's values, which its criterion gives away."""
    given = criteria.get("value") or {}
    return next((kind for kind in ValueKind if given.get(kind.value) is not None), ValueKind.NUMBER)


def _criterion(criteria: Json, margin: float) -> Criterion:
    if (threshold := criteria.get("statisticalThreshold")) is not None:
        operator, statistic = Operator(criteria["comparisonOperator"]), threshold["statistic"]
        if statistic == AVERAGE:
            return AverageCriterion(operator, margin)
        return PercentileCriterion(operator, STATISTICS[statistic], margin)
    value = next(value for value in criteria["value"].values() if value is not None)
    if criteria["comparisonOperator"] in SET_OPERATORS:
        return SetCriterion(SetOperator(criteria["comparisonOperator"]), tuple(value))
    return StaticCriterion(Operator(criteria["comparisonOperator"]), value)


def _elements_of(behavior: object) -> int:
    criteria = behavior.get("criteria") if isinstance(behavior, Mapping) else None
    value = criteria.get("value") if isinstance(criteria, Mapping) else None
    lists = value.values() if isinstance(value, Mapping) else ()
    return sum(len(elements) for elements in lists if isinstance(elements, list | tuple))


def _name_of(behavior: object) -> str | None:
    name = behavior.get("name") if isinstance(behavior, Mapping) else None
    return name if isinstance(name, str) else None


def _label(behavior: object, number: int) -> str:
    name = _name_of(behavior)
    return show(name) if name else f"number {number}"
