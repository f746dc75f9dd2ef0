"""What is wrong with the members of a profile other than its behaviours: alerts, retained metrics, export."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fleetward import arn
from fleetward.detect.behavior_checks import NOTHING, Catalog, Json, dimension_complaints, metric_complaint, show
from fleetward.detect.profiles import folded_dimension
from fleetward.meter.batch import Column

ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+", re.ASCII)
ROLE_ARN_LENGTH = range(20, 2049)
TOPIC_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")


def check(members: Json, catalog: Catalog = NOTHING) -> list[str]:
    """Everything wrong with the members given; those that are absent are not judged."""
    return [
        complaint
        for member, checker in CHECKS.items()
        if members.get(member) is not None
        for complaint in checker(members[member], catalog)
    ]


def retained_metrics(document: Json) -> frozenset[str]:
    """The metrics a profile keeps besides those its behaviours use, whichever of the two lists names them."""
    listed: list[str] = list(document.get("additionalMetricsToRetain") or ())
    return frozenset(listed + [entry["metric"] for entry in document.get("additionalMetricsToRetainV2") or ()])


def retained_columns(document: Json) -> frozenset[Column]:
    """The same with their dimensions, as (metric, dimension)."""
    plain = {(metric, "") for metric in document.get("additionalMetricsToRetain") or ()}
    entries = document.get("additionalMetricsToRetainV2") or ()
    return frozenset(plain | {(entry["metric"], folded_dimension(entry)) for entry in entries})


def used_columns(document: Json) -> frozenset[Column]:
    """The (metric, dimension)s a profile judges or keeps."""
    behaviors = document.get("behaviors") or ()
    return retained_columns(document).union((form["metric"], folded_dimension(form)) for form in behaviors)


def used_metrics(document: Json) -> frozenset[str]:
    """The metrics a profile judges or keeps."""
    return retained_metrics(document).union(behavior["metric"] for behavior in document.get("behaviors") or ())


def used_dimensions(document: Json) -> frozenset[str]:
    """The dimensions a profile's behaviours and retained metrics name."""
    users = [*(document.get("behaviors") or ()), *(document.get("additionalMetricsToRetainV2") or ())]
    return frozenset(user["metricDimension"]["dimensionName"] for user in users if user.get("metricDimension"))


def _check_alert_targets(targets: Mapping[str, Any], _catalog: Catalog) -> Iterator[str]:
    for kind, target in targets.items():
        if kind != "SNS":
            yield f"alertTargets {show(kind)} should be SNS"
        if not _is_topic_arn(target.get("alertTargetArn")):
            yield f"alertTargetArn {show(target.get('alertTargetArn'))} should be the ARN of an SNS topic"
        yield from _check_role(target.get("roleArn"))


def _check_retained(metrics: list[str], catalog: Catalog) -> Iterator[str]:
    for metric in metrics:
        if complaint := metric_complaint(metric, catalog):
            yield f"additionalMetricsToRetain is malformed. {complaint}"


def _check_retained_v2(entries: list[Json], catalog: Catalog) -> Iterator[str]:
    for entry in entries:
        if complaint := metric_complaint(entry.get("metric"), catalog):
            yield f"additionalMetricsToRetainV2 is malformed. {complaint}"
        for complaint in dimension_complaints(entry, catalog):
            yield f"additionalMetricsToRetainV2 is malformed. {complaint}"


def _check_export(config: Json, _catalog: Catalog) -> Iterator[str]:
    topic = config.get("mqttTopic") or ""
    if not 1 <= len(topic) <= 512 or "+" in topic or "#" in topic:
        yield f"mqttTopic {show(topic)} should be a topic of 1 to 512 characters without wildcards"
    yield from _check_role(config.get("roleArn"))


def _check_role(role: object) -> Iterator[str]:
    if not isinstance(role, str) or len(role) not in ROLE_ARN_LENGTH or not ROLE_ARN.fullmatch(role):
        yield f"roleArn {show(role)} should be the ARN of an IAM role"


def _is_topic_arn(text: object) -> bool:
    parts = arn.parse(text) if isinstance(text, str) else None
    if parts is None or parts.service != "sns" or not parts.region or not parts.account:
        return False
    return TOPIC_NAME.fullmatch(parts.resource) is not None


CHECKS: Mapping[str, Callable[[Any, Catalog], Iterator[str]]] = {
    "alertTargets": _check_alert_targets,
    "additionalMetricsToRetain": _check_retained,
    "additionalMetricsToRetainV2": _check_retained_v2,
    "metricsExportConfig": _check_export,
}
