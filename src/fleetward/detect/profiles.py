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
from fleetward.detect.behavior_checks import STATISTICS, Json, show
from fleetward.model import Behavior, Criterion, Operator, PercentileCriterion, StaticCriterion

MAX_BEHAVIORS = 100
DEFAULT_DURATION_SECONDS = 300

MARGIN_TAG = "statistical-margin-percent"
MAX_MARGIN_PERCENT = 1_000.0


def validate(behaviors: object) -> list[str]:
    """Everything wrong with `behaviors` as the API gives them; an empty list when they are valid. Never raises."""
    if not isinstance(behaviors, Sequence) or isinstance(behaviors, str | bytes):
        return ["behaviors should be a list"]
    if len(behaviors) > MAX_BEHAVIORS:
        return [f"A security profile takes at most {MAX_BEHAVIORS} behaviors, not {len(behaviors)}"]
    uses = Counter(name for name in map(_name_of, behaviors) if name is not None)
    return [
        f"Behavior {_label(behavior, number)} is malformed. {complaint}"
        for number, behavior in enumerate(behaviors, start=1)
        for complaint in behavior_checks.complaints(behavior, uses)
    ]


def parse(profile: str, behaviors: Sequence[Json], margin_percent: float = 0.0) -> tuple[Behavior, ...]:
    """The running form of behaviours that `validate` calls valid."""
    return tuple(_behavior(profile, behavior, margin_percent) for behavior in behaviors)


def render(behavior: Behavior) -> dict[str, Any]:
    """The API's form of a running behaviour, with every default spelled out; the inverse of `parse`."""
    criterion = behavior.criterion
    criteria: dict[str, Any] = {"comparisonOperator": criterion.operator.value}
    if isinstance(criterion, StaticCriterion):
        criteria["value"] = {"count": criterion.bound}
    else:
        criteria["statisticalThreshold"] = {"statistic": criterion.label}
    criteria["durationSeconds"] = behavior.duration_seconds
    criteria["consecutiveDatapointsToAlarm"] = behavior.datapoints_to_alarm
    criteria["consecutiveDatapointsToClear"] = behavior.datapoints_to_clear
    form: dict[str, Any] = {"name": behavior.name, "metric": behavior.metric, "criteria": criteria}
    if behavior.suppress_alerts:
        form["suppressAlerts"] = True
    return form


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
    return Behavior(
        profile=profile,
        name=form["name"],
        metric=form["metric"],
        criterion=_criterion(criteria, margin),
        duration_seconds=criteria.get("durationSeconds") or DEFAULT_DURATION_SECONDS,
        datapoints_to_alarm=criteria.get("consecutiveDatapointsToAlarm") or 1,
        datapoints_to_clear=criteria.get("consecutiveDatapointsToClear") or 1,
        suppress_alerts=bool(form.get("suppressAlerts")),
    )


def _criterion(criteria: Json, margin: float) -> Criterion:
    operator = Operator(criteria["comparisonOperator"])
    if (threshold := criteria.get("statisticalThreshold")) is not None:
        return PercentileCriterion(operator, STATISTICS[threshold["statistic"]], margin)
    return StaticCriterion(operator, criteria["value"]["count"])


def _name_of(behavior: object) -> str | None:
    name = behavior.get("name") if isinstance(behavior, Mapping) else None
    return name if isinstance(name, str) else None


def _label(behavior: object, number: int) -> str:
    name = _name_of(behavior)
    return show(name) if name else f"number {number}"
