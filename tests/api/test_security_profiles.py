"""The API of security profiles and violations, from botocore's request to botocore's reading of the response."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from botocore import xform_name
from botocore.parsers import RestJSONParser
from botocore.serialize import create_serializer

import fleetward.store.tables.detect
import fleetward.store.tables.registry  # noqa: F401  (their tables belong to the metadata)
from fleetward import errors
from fleetward.alarm.message import told
from fleetward.alarm.recorder import record
from fleetward.api import models, security_profiles, violations
from fleetward.api.call import Call, Caller, Rooms
from fleetward.api.operations import LENIENT
from fleetward.api.parse import parse
from fleetward.api.request import Request
from fleetward.api.serialise import serialise
from fleetward.api.validate import breaches, validate
from fleetward.arn import Arns
from fleetward.detect import profiles
from fleetward.detect.outcome import MetricRows, WindowRows
from fleetward.meter.metrics import METRICS
from fleetward.model import AlarmEvent, AlarmKind
from fleetward.registry import groups, things
from fleetward.store.database import Database, sqlite_url
from fleetward.store.history import History
from fleetward.store.tables import metadata

ARNS = Arns("us-east-1", "123456789012")
ALL = ARNS.make("iot", "all/things")
NOW = 1_573_786_800_000
SIZE, SENT = "aws:message-byte-size", "aws:num-messages-sent"
STORY: dict[str, Any] = {
    "securityProfileName": "DetectLargeMessageSize",
    "securityProfileDescription": "Messages far larger than a temperature",
    "behaviors": [
        {
            "name": "LargeMessageSize",
            "metric": SIZE,
            "criteria": {
                "comparisonOperator": "less-than-equals",
                "statisticalThreshold": {"statistic": "p50"},
                "durationSeconds": 300,
                "consecutiveDatapointsToAlarm": 1,
                "consecutiveDatapointsToClear": 2,
            },
            "suppressAlerts": False,
        }
    ],
    "alertTargets": {"SNS": {"alertTargetArn": ARNS.topic("BadIoTDevices"), "roleArn": ARNS.role("SNSTopicRole")}},
    "additionalMetricsToRetainV2": [{"metric": SIZE}, {"metric": "aws:num-messages-received"}],
}
STORY_ARN = "arn:aws:iot:us-east-1:123456789012:securityprofile/DetectLargeMessageSize"

Ask = Callable[..., dict[str, Any]]


WINDOWS = 3
"""Windows of 300 s in the history, the first one ending at NOW."""


@pytest.fixture
def history(tmp_path: Any) -> Iterator[History]:
    """Three windows of every metric of two things."""
    history = History.open(tmp_path / "history.duckdb")
    both = np.full(2, True)
    numbers = {part: np.full(2, 780) for part in ("count", "total", "minimum", "maximum")}
    metrics = {metric: MetricRows(has=both, **numbers) for metric in METRICS}
    for number in range(WINDOWS):
        history.append(WindowRows(NOW + (number - 1) * 300_000, 300, ("Member", "Stranger"), metrics))
    yield history
    history.close()


@pytest.fixture
def database(tmp_path: Any) -> Iterator[Database]:
    database = Database(sqlite_url(tmp_path / "store.db"))
    metadata.create_all(database.engine)
    yield database
    database.close()


@pytest.fixture
def ask(database: Database, history: History) -> Ask:
    """Calls an operation as the door does, signature aside, with the parameters a botocore client would send."""
    unused: Any = None
    rooms = Rooms(unused, ARNS, lambda: NOW, database, unused, history=history)
    service = models.service("iot")
    serializer = create_serializer("rest-json")

    def ask(name: str, **params: Any) -> dict[str, Any]:
        sent = serializer.serialize_to_request(params, service.model.operation_model(name))
        headers = {key.lower(): value for key, value in sent["headers"].items()}
        query = urlencode(sent["query_string"])
        request = Request(sent["method"], sent["url_path"], query, headers, sent["body"] or b"")
        operation, labels = service.operation_of(request)
        assert operation.name == name
        understood = parse(operation, request, labels)
        broken: tuple[str, ...] = ()
        if ("iot", name) in LENIENT:
            broken = tuple(breaches(operation, understood))
        else:
            validate(operation, understood)
        module = violations if hasattr(violations, xform_name(name)) else security_profiles
        call = Call(rooms, operation, understood, Caller(ARNS.root, ARNS.account), NOW, "r", breaches=broken)
        answer = serialise(operation, getattr(module, xform_name(name))(call), "r")
        raw = {"status_code": answer.status, "headers": answer.headers, "body": answer.body}
        result: dict[str, Any] = RestJSONParser().parse(raw, operation.output_shape)
        result.pop("ResponseMetadata", None)
        return result

    return ask


def everything(ask: Ask, operation: str, member: str, **params: Any) -> list[Any]:
    """All pages of a list, three items at a time."""
    found: list[Any] = []
    token: dict[str, str] = {}
    while True:
        answer = ask(operation, maxResults=3, **token, **params)
        found += answer[member]
        if not answer.get("nextToken"):
            return found
        token = {"nextToken": answer["nextToken"]}


def test_the_storys_profile(ask: Ask) -> None:
    """The story's profile is created, comes back as it was given, and is found at its target."""
    assert ask("CreateSecurityProfile", **STORY) == {
        "securityProfileName": "DetectLargeMessageSize",
        "securityProfileArn": STORY_ARN,
    }
    shown = ask("DescribeSecurityProfile", securityProfileName="DetectLargeMessageSize")
    assert {member: shown[member] for member in STORY} == STORY
    assert (shown["version"], shown["creationDate"].timestamp() * 1000) == (1, NOW)
    ask("AttachSecurityProfile", securityProfileName="DetectLargeMessageSize", securityProfileTargetArn=ALL)
    assert ask("ListTargetsForSecurityProfile", securityProfileName="DetectLargeMessageSize") == {
        "securityProfileTargets": [{"arn": ALL}]
    }
    assert ask("ListSecurityProfilesForTarget", securityProfileTargetArn=ALL, recursive=True) == {
        "securityProfileTargetMappings": [
            {
                "securityProfileIdentifier": {"name": "DetectLargeMessageSize", "arn": STORY_ARN},
                "target": {"arn": ALL},
            }
        ]
    }
    ask("DetachSecurityProfile", securityProfileName="DetectLargeMessageSize", securityProfileTargetArn=ALL)
    assert ask("ListSecurityProfilesForTarget", securityProfileTargetArn=ALL)["securityProfileTargetMappings"] == []


def test_update_and_delete(ask: Ask) -> None:
    """An update answers with the whole profile; deleting is final and may be repeated."""
    ask("CreateSecurityProfile", **STORY)
    name = {"securityProfileName": "DetectLargeMessageSize"}
    shown = ask("UpdateSecurityProfile", **name, deleteAlertTargets=True, expectedVersion=1)
    assert "alertTargets" not in shown
    assert (shown["version"], shown["behaviors"], shown["securityProfileArn"]) == (2, STORY["behaviors"], STORY_ARN)
    with pytest.raises(errors.VersionConflict):
        ask("DeleteSecurityProfile", **name, expectedVersion=1)
    ask("DeleteSecurityProfile", **name)
    ask("DeleteSecurityProfile", **name)
    with pytest.raises(errors.ResourceNotFound):
        ask("DescribeSecurityProfile", **name)


def test_a_profile_without_behaviors(ask: Ask) -> None:
    """A profile that only retains metrics is legal, and shows an empty list of behaviours."""
    ask("CreateSecurityProfile", securityProfileName="P", additionalMetricsToRetain=[SENT])
    shown = ask("DescribeSecurityProfile", securityProfileName="P")
    assert (shown["behaviors"], shown["additionalMetricsToRetain"]) == ([], [SENT])


def test_list_and_its_filters(ask: Ask) -> None:
    """Profiles are listed by name in pages; a metric's name keeps those that judge or retain it."""
    for number in range(7):
        ask("CreateSecurityProfile", **{**STORY, "securityProfileName": f"P{number}"})
    ask("CreateSecurityProfile", securityProfileName="Q", additionalMetricsToRetain=[SENT])
    listed = everything(ask, "ListSecurityProfiles", "securityProfileIdentifiers")
    assert [profile["name"] for profile in listed] == [*(f"P{number}" for number in range(7)), "Q"]
    assert everything(ask, "ListSecurityProfiles", "securityProfileIdentifiers", metricName=SENT) == [
        {"name": "Q", "arn": ARNS.iot("securityprofile", "Q")}
    ]
    assert everything(ask, "ListSecurityProfiles", "securityProfileIdentifiers", dimensionName="D") == []
    with pytest.raises(errors.InvalidRequest):
        ask("ListSecurityProfiles", metricName=SENT, dimensionName="D")


def test_validate_tells_what_create_refuses(ask: Ask) -> None:
    """Validation answers 200 with every complaint, breaches of the model's own limits included; create says 400."""
    criteria = {**STORY["behaviors"][0]["criteria"], "consecutiveDatapointsToAlarm": 100000}
    malformed = [{"name": "LargeMessageSize", "metric": SIZE, "criteria": criteria}]
    assert ask("ValidateSecurityProfileBehaviors", behaviors=malformed) == {
        "valid": False,
        "validationErrors": [
            {
                "errorMessage": "Behavior LargeMessageSize is malformed. "
                "consecutiveDatapointsToAlarm 100000 should be in range[1,10]"
            }
        ],
    }
    assert ask("ValidateSecurityProfileBehaviors", behaviors=STORY["behaviors"]) == {
        "valid": True,
        "validationErrors": [],
    }
    with pytest.raises(errors.Refusal) as refused:
        ask("CreateSecurityProfile", securityProfileName="P", behaviors=malformed)
    assert refused.value.status == 400


def test_a_thing_is_no_target(ask: Ask) -> None:
    """A single thing is refused as a target with a hint at the way out; a missing group is not found."""
    ask("CreateSecurityProfile", **STORY)
    name = {"securityProfileName": "DetectLargeMessageSize"}
    with pytest.raises(errors.InvalidRequest, match="group of its own"):
        ask("AttachSecurityProfile", **name, securityProfileTargetArn=ARNS.iot("thing", "SensorDevice02"))
    with pytest.raises(errors.ResourceNotFound):
        ask("AttachSecurityProfile", **name, securityProfileTargetArn=ARNS.iot("thinggroup", "Nowhere"))


@pytest.fixture
def alarms(database: Database) -> list[AlarmEvent]:
    """Eight alarms, every second one cleared, ten seconds apart."""
    [behavior] = profiles.parse("DetectLargeMessageSize", STORY["behaviors"], 10.0)
    events = []
    for number in range(8):
        at = NOW + 10_000 * number
        alarm = AlarmEvent(AlarmKind.IN_ALARM, f"{number:032x}", f"Device{number}", behavior, at, 90_630)
        events.append(alarm)
        if number % 2:
            events.append(AlarmEvent(AlarmKind.CLEARED, alarm.violation_id, alarm.thing, behavior, at + 5_000, 780))
    with database.transaction(NOW) as tx:
        record(tx, list(map(told, events)), [], lambda _tx, _topic, alerts, **_: [""] * len(alerts))
    return events


def test_active_violations(ask: Ask, alarms: list[AlarmEvent]) -> None:
    """Open violations are listed newest first, with the behaviour, the last value and times in seconds."""
    listed = everything(ask, "ListActiveViolations", "activeViolations")
    assert [violation["thingName"] for violation in listed] == ["Device6", "Device4", "Device2", "Device0"]
    moment = datetime.fromtimestamp(NOW / 1000, UTC)
    assert listed[-1] == {
        "violationId": "0" * 32,
        "thingName": "Device0",
        "securityProfileName": "DetectLargeMessageSize",
        "behavior": profiles.render(alarms[0].behavior),
        "lastViolationValue": {"count": 90_630},
        "verificationState": "UNKNOWN",
        "lastViolationTime": moment,
        "violationStartTime": moment,
    }
    assert everything(ask, "ListActiveViolations", "activeViolations", thingName="Device1") == []
    for kept in (
        {"thingName": "Device2"},
        {"behaviorCriteriaType": "STATIC"},
        {"listSuppressedAlerts": True},
        {"verificationState": "TRUE_POSITIVE"},
    ):
        found = everything(ask, "ListActiveViolations", "activeViolations", **kept)
        assert len(found) == (1 if "thingName" in kept else 0)


def test_violation_events(ask: Ask, alarms: list[AlarmEvent]) -> None:
    """The events of a time range are listed newest first; both of its ends belong to it."""
    start, end = datetime.fromtimestamp(NOW / 1000, UTC), datetime.fromtimestamp(NOW / 1000 + 15, UTC)
    listed = everything(ask, "ListViolationEvents", "violationEvents", startTime=start, endTime=end)
    assert [(event["thingName"], event["violationEventType"]) for event in listed] == [
        ("Device1", "alarm-cleared"),
        ("Device1", "in-alarm"),
        ("Device0", "in-alarm"),
    ]
    assert (listed[0]["metricValue"], listed[0]["violationEventTime"]) == ({"count": 780}, end)
    with pytest.raises(errors.InvalidRequest):
        ask("ListViolationEvents", startTime=end, endTime=start)
    everything_told = {"startTime": start, "endTime": datetime(2030, 1, 1, tzinfo=UTC)}
    assert len(everything(ask, "ListViolationEvents", "violationEvents", **everything_told)) == len(alarms)


def test_verification(ask: Ask, alarms: list[AlarmEvent]) -> None:
    """A verdict is shown with the violation and can be filtered by; an unknown violation is an invalid request."""
    verdict = {"verificationState": "FALSE_POSITIVE", "verificationStateDescription": "a firmware update"}
    ask("PutVerificationStateOnViolation", violationId=alarms[0].violation_id, **verdict)
    [shown] = ask("ListActiveViolations", verificationState="FALSE_POSITIVE")["activeViolations"]
    assert {member: shown[member] for member in verdict} == verdict
    with pytest.raises(errors.InvalidRequest):
        ask("PutVerificationStateOnViolation", violationId="f" * 32, **verdict)


def test_metric_values(ask: Ask, database: Database) -> None:
    """Values are shown for a metric that a profile covering the device uses or retains, and for no other."""
    with database.transaction(NOW) as tx:
        things.create(tx, "Member")
        groups.create(tx, "Parent")
        groups.create(tx, "Child", parent="Parent")
        groups.add_thing(tx, "Child", "Member")
    ask("CreateSecurityProfile", **STORY)
    target = ARNS.iot("thinggroup", "Parent")
    ask("AttachSecurityProfile", securityProfileName=STORY["securityProfileName"], securityProfileTargetArn=target)
    period = {"startTime": datetime.fromtimestamp(NOW / 1000, UTC), "endTime": datetime(2030, 1, 1, tzinfo=UTC)}

    def values(thing: str, metric: str) -> list[Any]:
        return everything(ask, "ListMetricValues", "metricDatumList", thingName=thing, metricName=metric, **period)

    assert values("Member", SIZE)[0] == {"timestamp": period["startTime"], "value": {"count": 780}}
    assert len(values("Member", "aws:num-messages-received")) == WINDOWS
    assert values("Member", SENT) == []
    assert values("Stranger", SIZE) == []
    with pytest.raises(errors.InvalidRequest, match="neither a built-in metric"):
        values("Member", "aws:nonsense")
