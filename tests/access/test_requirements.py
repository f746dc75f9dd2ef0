"""What a call requires, as the Service Authorization Reference has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api_house import House
from fleetward import errors
from fleetward.access import users
from fleetward.access.requirements import Requirements

IOT = "arn:aws:iot:us-east-1:123456789012:"
ME = "arn:aws:iam::123456789012:user/ops/me"
ROLE = "arn:aws:iam::123456789012:role/R"
LAMBDA = "arn:aws:lambda:us-east-1:123456789012:function:f"
LOGS = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/f:log-stream:"
TOPIC = "arn:aws:sns:us-east-1:123456789012:T"

CASES: list[tuple[str, str, dict[str, Any], list[tuple[str, str]]]] = [
    ("iot", "CreateThing", {"thingName": "a"}, [("iot:CreateThing", IOT + "thing/a")]),
    ("iot", "ListThings", {}, [("iot:ListThings", "*")]),
    (
        "iot",
        "AddThingToThingGroup",
        {"thingName": "a", "thingGroupName": "G"},
        [("iot:AddThingToThingGroup", IOT + "thing/a"), ("iot:AddThingToThingGroup", IOT + "thinggroup/G")],
    ),
    (
        "iot",
        "AddThingToThingGroup",
        {"thingArn": IOT + "thing/a", "thingGroupName": "G", "thingGroupArn": IOT + "thinggroup/H"},
        [("iot:AddThingToThingGroup", IOT + name) for name in ("thing/a", "thinggroup/G", "thinggroup/H")],
    ),
    (
        "iot",
        "UpdateThingGroupsForThing",
        {"thingName": "a", "thingGroupsToAdd": ["G", "H"], "thingGroupsToRemove": []},
        [("iot:UpdateThingGroupsForThing", IOT + name) for name in ("thing/a", "thinggroup/G", "thinggroup/H")],
    ),
    (
        "iot",
        "CreateSecurityProfile",
        {"securityProfileName": "P", "alertTargets": {"SNS": {"alertTargetArn": TOPIC, "roleArn": ROLE}}},
        [("iot:CreateSecurityProfile", IOT + "securityprofile/P"), ("iam:PassRole", ROLE)],
    ),
    (
        "iot",
        "CreateSecurityProfile",
        {"securityProfileName": "P"},
        [("iot:CreateSecurityProfile", IOT + "securityprofile/P")],
    ),
    ("iot-data", "Publish", {"topic": "a/b", "retain": False}, [("iot:Publish", IOT + "topic/a/b")]),
    (
        "iot-data",
        "Publish",
        {"topic": "a/b", "retain": True},
        [("iot:Publish", IOT + "topic/a/b"), ("iot:RetainPublish", IOT + "topic/a/b")],
    ),
    ("iot-data", "GetThingShadow", {"thingName": "a"}, [("iot:GetThingShadow", IOT + "thing/a")]),
    (
        "iot-data",
        "GetThingShadow",
        {"thingName": "a", "shadowName": "s"},
        [("iot:GetThingShadow", IOT + "thing/a/s")],
    ),
    ("sns", "CreateTopic", {"Name": "T"}, [("SNS:CreateTopic", TOPIC)]),
    ("sns", "PublishBatch", {"TopicArn": TOPIC}, [("SNS:Publish", TOPIC)]),
    ("lambda", "Invoke", {"FunctionName": "f"}, [("lambda:InvokeFunction", LAMBDA)]),
    ("lambda", "Invoke", {"FunctionName": "123456789012:function:f"}, [("lambda:InvokeFunction", LAMBDA)]),
    (
        "lambda",
        "CreateFunction",
        {"FunctionName": "f", "Role": ROLE},
        [("lambda:CreateFunction", LAMBDA), ("iam:PassRole", ROLE)],
    ),
    ("lambda", "UpdateFunctionConfiguration", {"FunctionName": "f"}, [("lambda:UpdateFunctionConfiguration", LAMBDA)]),
    ("logs", "FilterLogEvents", {"logGroupName": "/aws/lambda/f"}, [("logs:FilterLogEvents", LOGS)]),
    (
        "logs",
        "GetLogEvents",
        {"logGroupIdentifier": "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/f", "logStreamName": "s"},
        [("logs:GetLogEvents", LOGS + "s")],
    ),
    (
        "events",
        "PutTargets",
        {"Rule": "r", "Targets": [{"Id": "1", "RoleArn": ROLE}, {"Id": "2"}]},
        [("events:PutTargets", "arn:aws:events:us-east-1:123456789012:rule/r"), ("iam:PassRole", ROLE)],
    ),
    ("iam", "CreateUser", {"UserName": "u", "Path": "/x/"}, [("iam:CreateUser", ME[:-6] + "x/u")]),
    ("iam", "DeleteUser", {"UserName": "me"}, [("iam:DeleteUser", ME)]),
    ("iam", "ListAccessKeys", {}, [("iam:ListAccessKeys", ME)]),
    ("iam", "GetRole", {"RoleName": "R"}, [("iam:GetRole", ROLE)]),
    ("sts", "GetCallerIdentity", {}, []),
    ("fleetward", "QuarantineThing", {"thingName": "a"}, [("fleetward:QuarantineThing", IOT + "thing/a")]),
    ("iot", "ListJobs", {}, [("iot:ListJobs", "*")]),
]


@pytest.fixture
def requirements(tmp_path: Path) -> Iterator[Requirements]:
    house = House(tmp_path)
    with house.rooms.database.transaction(0) as tx:
        users.create(tx, "me", "/ops/")
    yield Requirements(house.rooms.database, house.rooms.arns)
    house.close()


@pytest.mark.parametrize(("service", "operation", "params", "expected"), CASES)
def test_what_a_call_requires(
    requirements: Requirements, service: str, operation: str, params: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """A call requires the actions that AWS names, on the resources that its parameters mean."""
    found = requirements.of(service, operation, params, ME)
    assert [(one.action, one.resource) for one in found] == expected


def test_a_passed_role_tells_to_whom(requirements: Requirements) -> None:
    """iam:PassRole comes with the service that gets the role, and with nothing of the other requirement."""
    action, passing = requirements.of("lambda", "CreateFunction", {"FunctionName": "f", "Role": ROLE}, ME)
    assert (dict(action.keys), dict(passing.keys)) == ({}, {"iam:PassedToService": "lambda.amazonaws.com"})


def test_an_arn_of_elsewhere_counts_as_ours(requirements: Requirements) -> None:
    """Another region or account in an ARN does not slip past a policy: what decides is the resource it names."""
    for arn in (IOT + "thing/a", "arn:aws:iot:eu-west-1:999999999999:thing/a", "arn:aws-cn:iot:x:y:thing/a"):
        (found,) = requirements.of("iot", "TagResource", {"resourceArn": arn, "tags": []}, ME)
        assert found.resource == IOT + "thing/a"


def test_a_name_that_is_none_is_refused(requirements: Requirements) -> None:
    """What cannot be made into an ARN is refused before anything is decided."""
    with pytest.raises(errors.InvalidParameterValue):
        requirements.of("lambda", "Invoke", {"FunctionName": "a b"}, ME)
