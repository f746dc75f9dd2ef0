"""Mitigation actions and Detect's mitigation tasks through boto3, from request to answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from registry_house import RegistryHouse, refusal

from fleetward.access import roles
from fleetward.respond.mitigator import Mitigator
from fleetward.store.tables.detect import violations

INVALID, MISSING = ("InvalidRequestException", 400), ("ResourceNotFoundException", 404)
ROLE = "arn:aws:iam::123456789012:role/mitigation"
ISOLATE = {"addThingsToThingGroupParams": {"thingGroupNames": ["Isolated"], "overrideDynamicGroups": True}}
EVERY_KIND = {
    "UPDATE_DEVICE_CERTIFICATE": {"updateDeviceCertificateParams": {"action": "DEACTIVATE"}},
    "UPDATE_CA_CERTIFICATE": {"updateCACertificateParams": {"action": "DEACTIVATE"}},
    "ADD_THINGS_TO_THING_GROUP": ISOLATE,
    "REPLACE_DEFAULT_POLICY_VERSION": {"replaceDefaultPolicyVersionParams": {"templateName": "BLANK_POLICY"}},
    "ENABLE_IOT_LOGGING": {"enableIoTLoggingParams": {"roleArnForLogging": ROLE, "logLevel": "INFO"}},
    "PUBLISH_FINDING_TO_SNS": {"publishFindingToSnsParams": {"topicArn": "arn:aws:sns:us-east-1:123456789012:t"}},
}


@pytest.fixture(autouse=True)
def roles_of_actions(registry: RegistryHouse) -> None:
    """The roles that actions are made with."""
    for name in ("mitigation", "mitigation2"):
        make_role(registry, name, "iot.amazonaws.com")


def make_role(registry: RegistryHouse, name: str, service: str) -> str:
    """The ARN of a new role that the service may assume."""
    rooms = registry.house.rooms
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    with rooms.database.transaction(registry.house.now()) as tx:
        roles.create(tx, rooms.arns, name, "/", "", json.dumps({"Version": "2012-10-17", "Statement": [trust]}), 3600)
    return f"arn:aws:iam::123456789012:role/{name}"


def violation(registry: RegistryHouse, thing: str) -> str:
    """An open violation of a new thing; returns its id."""
    registry.iot.create_thing(thingName=thing)
    house = registry.house
    row = {
        "id": f"{thing:0>32}",
        "thing": thing,
        "profile": "P",
        "behavior": {"name": "b"},
        "behavior_name": "b",
        "criteria_type": "STATIC",
        "suppressed": False,
        "alert_topics": [],
        "state": "in-alarm",
        "started_at": house.now(),
        "last_at": house.now(),
        "last_value": {"count": 1},
        "reason": "",
        "verification_state": "UNKNOWN",
    }
    known = {name: value for name, value in row.items() if name in violations.c}
    with house.rooms.database.transaction(house.now()) as tx:
        tx.execute(violations.insert(), [known])
    return str(row["id"])


def run(registry: RegistryHouse) -> None:
    rooms = registry.house.rooms
    mitigator = Mitigator(rooms.database, rooms.arns, registry.house.now, lambda *_: True)
    while mitigator.step():
        pass


def test_life_of_an_action(iot: Any) -> None:
    """An action is made, described, changed, listed and deleted; its id is kept."""
    made = iot.create_mitigation_action(actionName="isolate", roleArn=ROLE, actionParams=ISOLATE)
    assert made["actionArn"].endswith(":mitigationaction/isolate")
    shown = iot.describe_mitigation_action(actionName="isolate")
    assert (shown["actionType"], shown["roleArn"], shown["actionParams"], shown["actionId"]) == (
        "ADD_THINGS_TO_THING_GROUP",
        ROLE,
        ISOLATE,
        made["actionId"],
    )
    assert iot.update_mitigation_action(actionName="isolate", roleArn=ROLE + "2")["actionId"] == made["actionId"]
    assert iot.describe_mitigation_action(actionName="isolate")["roleArn"] == ROLE + "2"
    (listed,) = iot.list_mitigation_actions()["actionIdentifiers"]
    assert (listed["actionName"], listed["actionArn"]) == ("isolate", made["actionArn"])
    again = {"actionName": "isolate", "roleArn": ROLE, "actionParams": ISOLATE}
    assert refusal(iot.create_mitigation_action, **again)[:2] == ("ResourceAlreadyExistsException", 409)
    iot.delete_mitigation_action(actionName="isolate")
    iot.delete_mitigation_action(actionName="isolate")
    assert refusal(iot.describe_mitigation_action, actionName="isolate")[:2] == MISSING
    assert refusal(iot.update_mitigation_action, actionName="isolate")[:2] == MISSING


def test_the_role_of_an_action_can_be_assumed(registry: RegistryHouse, iot: Any) -> None:
    """An action is neither made nor changed with a role that does not exist or that IoT may not assume."""
    others = make_role(registry, "others", "lambda.amazonaws.com")
    iot.create_mitigation_action(actionName="isolate", roleArn=ROLE, actionParams=ISOLATE)
    for role in (f"{ROLE}-none", others):
        told = refusal(iot.create_mitigation_action, actionName="other", roleArn=role, actionParams=ISOLATE)
        assert told[:2] == INVALID
        assert f"unable to assume role (sts:AssumeRole) on resource: {role}" in told[2]
        assert refusal(iot.update_mitigation_action, actionName="isolate", roleArn=role)[:2] == INVALID
    assert [one["actionName"] for one in iot.list_mitigation_actions()["actionIdentifiers"]] == ["isolate"]
    assert iot.describe_mitigation_action(actionName="isolate")["roleArn"] == ROLE


def test_every_type_can_be_kept(iot: Any) -> None:
    """All of AWS's types are stored and found by type; Detect refuses to run all but one."""
    for kind, params in EVERY_KIND.items():
        iot.create_mitigation_action(actionName=kind, roleArn=ROLE, actionParams=params)
        assert iot.describe_mitigation_action(actionName=kind)["actionType"] == kind
        (found,) = iot.list_mitigation_actions(actionType=kind)["actionIdentifiers"]
        assert found["actionName"] == kind


@pytest.mark.parametrize(
    "given",
    [
        {"actionParams": {}},
        {"actionParams": EVERY_KIND["UPDATE_CA_CERTIFICATE"] | ISOLATE},
        {"actionParams": {"enableIoTLoggingParams": {"roleArnForLogging": ROLE, "logLevel": "DISABLED"}}},
        {"actionParams": {"publishFindingToSnsParams": {"topicArn": "topic"}}},
        {"roleArn": "this is no ARN of a role"},
    ],
)
def test_actions_that_are_none(iot: Any, given: Any) -> None:
    """An action has one kind of parameters, and a role."""
    whole = {"actionName": "a", "roleArn": ROLE, "actionParams": ISOLATE, **given}
    assert refusal(iot.create_mitigation_action, **whole)[:2] == INVALID


def test_a_task_from_start_to_end(registry: RegistryHouse, iot: Any) -> None:
    """A task is started, carried out, and described with each of its executions, as AWS shows them."""
    iot.create_thing_group(thingGroupName="Isolated")
    made = iot.create_mitigation_action(actionName="isolate", roleArn=ROLE, actionParams=ISOLATE)
    ids = [violation(registry, "lamp"), violation(registry, "fan")]
    started = {"taskId": "task", "target": {"violationIds": ids[:1]}, "actions": ["isolate"], "clientRequestToken": "a"}
    for _ in range(2):
        assert iot.start_detect_mitigation_actions_task(**started)["taskId"] == "task"
    other = {**started, "clientRequestToken": "b"}
    assert refusal(iot.start_detect_mitigation_actions_task, **other)[:2] == ("TaskAlreadyExistsException", 400)
    assert iot.describe_detect_mitigation_actions_task(taskId="task")["taskSummary"]["taskStatus"] == "IN_PROGRESS"
    run(registry)
    summary = iot.describe_detect_mitigation_actions_task(taskId="task")["taskSummary"]
    assert summary["taskStatus"] == "SUCCESSFUL"
    assert summary["target"] == {"violationIds": ids[:1]}
    assert summary["taskStatistics"] == {"actionsExecuted": 1, "actionsSkipped": 0, "actionsFailed": 0}
    assert summary["actionsDefinition"] == [
        {"name": "isolate", "id": made["actionId"], "roleArn": ROLE, "actionParams": ISOLATE}
    ]
    assert iot.list_things_in_thing_group(thingGroupName="Isolated")["things"] == ["lamp"]
    now = datetime.now(UTC)
    around = {"startTime": now - timedelta(hours=1), "endTime": now + timedelta(hours=1)}
    assert [task["taskId"] for task in iot.list_detect_mitigation_actions_tasks(**around)["tasks"]] == ["task"]
    before = {"startTime": now - timedelta(hours=2), "endTime": now - timedelta(hours=1)}
    assert iot.list_detect_mitigation_actions_tasks(**before)["tasks"] == []
    for kept in ({"taskId": "task"}, {"violationId": ids[0]}, {"thingName": "lamp"}, around):
        (execution,) = iot.list_detect_mitigation_actions_executions(**kept)["actionsExecutions"]
        assert (execution["thingName"], execution["actionName"], execution["status"]) == (
            "lamp",
            "isolate",
            "SUCCESSFUL",
        )
    assert iot.list_detect_mitigation_actions_executions(thingName="fan")["actionsExecutions"] == []
    assert refusal(iot.cancel_detect_mitigation_actions_task, taskId="task")[:2] == INVALID


def test_what_tasks_refuse(registry: RegistryHouse, iot: Any) -> None:
    """Unknown tasks are not found; actions Detect cannot run, and periods that end before they start, are invalid."""
    iot.create_mitigation_action(actionName="ca", roleArn=ROLE, actionParams=EVERY_KIND["UPDATE_CA_CERTIFICATE"])
    target = {"violationIds": [violation(registry, "lamp")]}
    code, status, message = refusal(
        iot.start_detect_mitigation_actions_task, taskId="t", target=target, actions=["ca"], clientRequestToken="a"
    )
    assert (code, status) == INVALID
    assert "ADD_THINGS_TO_THING_GROUP" in message
    for call in (iot.describe_detect_mitigation_actions_task, iot.cancel_detect_mitigation_actions_task):
        assert refusal(call, taskId="none")[:2] == MISSING
    now = datetime.now(UTC)
    assert refusal(iot.list_detect_mitigation_actions_executions)[:2] == INVALID
    assert refusal(iot.list_detect_mitigation_actions_executions, taskId="t", startTime=now)[:2] == INVALID
    backwards = {"startTime": now, "endTime": now - timedelta(1)}
    assert refusal(iot.list_detect_mitigation_actions_tasks, **backwards)[:2] == INVALID
