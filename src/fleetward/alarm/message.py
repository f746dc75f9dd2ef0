"""The alert as AWS sends it: the compact JSON of a ViolationEvent.

Key order is the one captured at AWS; times are whole epoch milliseconds, unlike in the API. What the capture lacks
comes after its keys: `verificationState` (AWS's own samples read it), then our `explanation` and `reason`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

from fleetward.alarm import words
from fleetward.detect.outcome import Progress
from fleetward.meter.metrics import metric_of
from fleetward.model import AlarmEvent, Explanation, Value, ValueKind

BEHAVIOR_KEYS = ("criteria", "name", "metric", "metricDimension", "suppressAlerts", "exportMetric")
CRITERIA_KEYS = (
    "consecutiveDatapointsToClear",
    "value",
    "statisticalThreshold",
    "mlDetectionConfig",
    "durationSeconds",
    "consecutiveDatapointsToAlarm",
    "comparisonOperator",
)
compact = json.JSONEncoder(separators=(",", ":")).encode
MAX_ELEMENTS = 50
"""Elements of a list that an alert shows."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event with everything told of it that does not depend on the store: made before a transaction begins.

    `value` is the API's MetricValue and `explanation` a JSON object, both as text; an invalidation has neither.
    """

    event: AlarmEvent
    value: str | None
    explanation: str | None
    email_subject: str
    email_text: str


def told(event: AlarmEvent) -> Told:
    value, why = metric_value(event), event.explanation
    return Told(
        event,
        None if value is None else compact(value),
        None if why is None else compact(explanation(why)),
        words.email_subject(event),
        words.email_text(event),
    )


def alert(told: Told, behavior: str, verification_state: str = "UNKNOWN") -> str:
    """The SNS message of one event; `behavior` is the violation's snapshot in the API's form, JSON text."""
    event = told.event
    members = {
        "violationEventTime": event.time,
        "thingName": _quoted(event.thing),
        "behavior": _ordered(behavior),
        "violationEventType": _quoted(event.kind),
        "metricValue": told.value,
        "violationId": _quoted(event.violation_id),
        "securityProfileName": _quoted(event.behavior.profile),
        "verificationState": _quoted(verification_state),
        "explanation": told.explanation,
        "reason": _quoted(event.reason) if event.reason else None,
    }
    return "{" + ",".join([f'"{key}":{text}' for key, text in members.items() if text is not None]) + "}"


def message_id(event: AlarmEvent) -> str:
    """The alert's MessageId: the same whenever the same event is told."""
    return message_id_of(event.violation_id, event.kind)


def message_id_of(violation_id: str, kind: str) -> str:
    """The MessageId of the alert that tells that event of a violation: a UUID of version 8 (RFC 9562).

    It begins as the violation's id does, so that the ids of a mass alarm lie side by side in the index; deriving it in
    another way would make a replay after an upgrade send alerts twice.
    """
    hashed = hashlib.blake2b(f"{violation_id}/{kind}".encode(), digest_size=7).hexdigest()
    second, high, low, last = violation_id[:8], violation_id[8:12], violation_id[12:15], violation_id[15:16]
    return f"{second}-{high}-8{low}-8{last}{hashed[:2]}-{hashed[2:]}"


def metric_value(event: AlarmEvent) -> dict[str, Any] | None:
    """The event's value as the API's MetricValue, its first elements of a long list; an invalidation has none."""
    if event.value is None:
        return None
    return _typed(metric_of(event.behavior.metric, event.behavior.value).value, event.value)


def progress_value(progress: Progress) -> dict[str, Any]:
    """The same of a further violating datapoint."""
    return _typed(progress.kind, progress.value)


def explanation(why: Explanation) -> Mapping[str, Any]:
    """The explanation as a JSON document; topics come from devices and are cut short (an alert must fit SNS)."""
    document: dict[str, Any] = {
        "summary": words.why(why),
        "metric": why.metric,
        "dimension": why.dimension or None,
        "value": _shown(why.value),
        "operator": str(why.operator),
        "threshold": _shown(why.threshold),
        "unit": why.unit,
        "statistic": why.statistic,
        "rank": why.rank,
        "population": why.population,
        "marginPercent": _whole(why.margin_percent) if why.statistic is not None else None,
        "windowStart": why.window_start,
        "windowEnd": why.window_end,
        "datapoints": why.datapoints,
        "early": why.early,
        "topics": [
            {"topic": words.plain(topic), "bytes": size, "messages": messages} for topic, size, messages in why.topics
        ],
    }
    return {key: value for key, value in document.items() if value is not None}


@lru_cache(maxsize=1024)  # a mass alarm has few behaviours
def _ordered(behavior: str) -> str:
    ordered = _pick(json.loads(behavior), BEHAVIOR_KEYS)
    if "criteria" in ordered:
        ordered["criteria"] = _pick(ordered["criteria"], CRITERIA_KEYS)
    return compact(ordered)


def _pick(members: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: members[key] for key in keys if members.get(key) is not None}


def _typed(kind: ValueKind, value: Value) -> dict[str, Any]:
    return {kind.value: _shown(value)}


def _shown(value: Value) -> float | list[Any]:
    if isinstance(value, tuple):
        return [words.plain(element) if isinstance(element, str) else element for element in value[:MAX_ELEMENTS]]
    return _whole(value)


def _whole(number: float) -> float:
    return int(number) if number == int(number) else number
