"""A security profile that is being written: what the wizard's steps fill in, and what is done to store it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleetward.console.condition import Condition, from_behavior, to_behavior
from fleetward.detect.profiles import MARGIN_TAG, margin_percent
from fleetward.respond.mitigation_actions import AUTOMATIC_TAG, named

USUAL_MARGIN = 10.0
"""What a new profile begins with: without a margin a percentile flags healthy devices in most windows."""

Step = tuple[str, dict[str, Any]]
"""An operation of iot with its parameters."""


@dataclass
class Draft:
    """`retained` are metrics kept without a dimension, `retained_apart` all other entries, as they were.

    `version` is that of the stored profile which is edited, None of a new one; `targets` are ARNs. `tags` are those
    that no other member stands for.
    """

    name: str = ""
    description: str = ""
    conditions: list[Condition] = field(default_factory=lambda: [Condition()])
    margin_percent: float = USUAL_MARGIN
    topic_arn: str | None = None
    role_arn: str | None = None
    retained: list[str] = field(default_factory=list)
    retained_apart: list[Mapping[str, Any]] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    mitigation_actions: list[str] = field(default_factory=list)
    export_topic: str = ""
    export_role: str | None = None
    version: int | None = None

    @property
    def is_statistical(self) -> bool:
        return any(condition.statistic is not None for condition in self.conditions)

    def document(self) -> dict[str, Any]:
        """The input of CreateSecurityProfile."""
        return {"securityProfileName": self.name, **self._members(), "tags": self._tags()}

    def creation(self) -> Step:
        given = {name: value for name, value in self.document().items() if value or name == "behaviors"}
        return "CreateSecurityProfile", given

    def changes(self, stored: Draft, arn: str) -> Iterator[Step]:
        """What turns a stored profile of the same name into this one; new targets come before old ones go."""
        if self._members() != stored._members():
            yield "UpdateSecurityProfile", {"securityProfileName": self.name, **self._changed_members(stored)}
        yield from self._tag_steps(stored, arn)
        yield from self.attachments(stored.targets)
        for target in stored.targets:
            if target not in self.targets:
                yield "DetachSecurityProfile", self._at(target)

    def attachments(self, already: Sequence[str] = ()) -> Iterator[Step]:
        for target in self.targets:
            if target not in already:
                yield "AttachSecurityProfile", self._at(target)

    def _members(self) -> dict[str, Any]:
        alerts = {"SNS": {"alertTargetArn": self.topic_arn, "roleArn": self.role_arn}} if self.topic_arn else {}
        return {
            "securityProfileDescription": self.description,
            "behaviors": [to_behavior(condition) for condition in self.conditions],
            "alertTargets": alerts,
            "additionalMetricsToRetainV2": [*({"metric": metric} for metric in self.retained), *self.retained_apart],
            **self._export(),
        }

    def _export(self) -> dict[str, Any]:
        if not self.export_topic or not self.export_role:
            return {}
        return {"metricsExportConfig": {"mqttTopic": self.export_topic, "roleArn": self.export_role}}

    def _changed_members(self, stored: Draft) -> dict[str, Any]:
        """Empty lists replace what was there; alert targets and the export have flags of their own for it."""
        members = {**self._members(), "additionalMetricsToRetain": [], "expectedVersion": stored.version}
        if not members["alertTargets"]:
            del members["alertTargets"]
            members["deleteAlertTargets"] = True
        if stored.export_topic and not self.export_topic:
            members["deleteMetricsExportConfig"] = True
        return members

    def _tags(self) -> list[dict[str, str]]:
        margin = {} if self.is_statistical else {MARGIN_TAG: ""}
        wanted = {**self.tags, **self._meant(), **margin}
        return [{"Key": key, "Value": value} for key, value in wanted.items() if value or key in self.tags]

    def _meant(self) -> dict[str, str]:
        """The tags that other members stand for; empty when there should be none."""
        margin = f"{self.margin_percent:g}" if self.margin_percent else ""
        return {MARGIN_TAG: margin, AUTOMATIC_TAG: ",".join(self.mitigation_actions)}

    def _tag_steps(self, stored: Draft, arn: str) -> Iterator[Step]:
        before = stored._meant()
        for key, value in self._meant().items():
            if value and value != before[key]:
                yield "TagResource", {"resourceArn": arn, "tags": [{"Key": key, "Value": value}]}
            elif before[key] and not value:
                yield "UntagResource", {"resourceArn": arn, "tagKeys": [key]}

    def _at(self, target: str) -> dict[str, Any]:
        return {"securityProfileName": self.name, "securityProfileTargetArn": target}


def draft_of(profile: Mapping[str, Any], tags: Mapping[str, str], targets: Sequence[str]) -> Draft:
    """The draft of a stored profile, as DescribeSecurityProfile shows it."""
    alerts: Mapping[str, Any] = next(iter((profile.get("alertTargets") or {}).values()), {})
    entries = [
        *({"metric": metric} for metric in profile.get("additionalMetricsToRetain") or ()),
        *(profile.get("additionalMetricsToRetainV2") or ()),
    ]
    export: Mapping[str, Any] = profile.get("metricsExportConfig") or {}
    return Draft(
        name=profile["securityProfileName"],
        description=profile.get("securityProfileDescription") or "",
        conditions=[from_behavior(behavior) for behavior in profile["behaviors"]],
        margin_percent=margin_percent(tags.get(MARGIN_TAG)),
        topic_arn=alerts.get("alertTargetArn"),
        role_arn=alerts.get("roleArn"),
        mitigation_actions=named(tags.get(AUTOMATIC_TAG, "")),
        export_topic=export.get("mqttTopic", ""),
        export_role=export.get("roleArn"),
        retained=list(dict.fromkeys(entry["metric"] for entry in entries if set(entry) == {"metric"})),
        retained_apart=[entry for entry in entries if set(entry) != {"metric"}],
        targets=list(targets),
        tags={key: value for key, value in tags.items() if key not in (MARGIN_TAG, AUTOMATIC_TAG)},
        version=profile["version"],
    )
