"""Roles at work on a real server: functions act as theirs, alerts go out with theirs, and both can be stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError

from devices import Device
from fleetward.arn import Arns
from fleetward.notify.log import delivery_log
from fleetward.simulate import provision
from fleetward.store.database import Database, Reader, sqlite_url
from fleetward.store.tables.detect import violation_events
from running_server import RunningServer, until

MESSAGE = json.dumps({"thingName": "lamp"})


def arns(server: RunningServer) -> Arns:
    return Arns(server.info.region, server.info.account_id)


def in_store(server: RunningServer, query: Any) -> Any:
    """What `query` finds in the server's store."""
    database = Database(sqlite_url(server.data_dir / "fleetward.db"))
    try:
        with database.read() as look:
            return query(look)
    finally:
        database.close()


def logged(server: RunningServer, function: str) -> str:
    logs = server.client("logs")
    try:
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
    except logs.exceptions.ResourceNotFoundException:
        return ""
    return "\n".join(event["message"] for event in events)


@pytest.fixture
def story(server: RunningServer) -> RunningServer:
    """A thing, the group, the function that isolates, and the topic that calls it."""
    server.client("iot").create_thing(thingName="lamp")
    provision.isolation(server.client)
    provision.alerting(server.client, "security@example.com")
    return server


def test_a_function_without_the_permission_is_denied(story: RunningServer) -> None:
    """A function whose role lacks iot:AddThingToThingGroup gets AccessDenied, which shows in its log and on the
    delivery; with the permission back it isolates."""
    iam, topic = story.client("iam"), arns(story).topic(provision.TOPIC)
    iam.delete_role_policy(RoleName="IsolateDevice-role", PolicyName="Permissions")
    sent = story.client("sns").publish(TopicArn=topic, Message=MESSAGE)["MessageId"]

    why = until(lambda: "AccessDeniedException" in logged(story, "IsolateDevice"), 15, "the denial in the log")
    assert why
    assert "assumed-role/IsolateDevice-role/IsolateDevice is not authorized to perform: iot:AddThingToThingGroup" in (
        logged(story, "IsolateDevice")
    )

    def errors(look: Reader) -> list[str]:
        rows = delivery_log(look, arns(story), message_id=sent)
        return [row["error"] for row in rows if row["protocol"] == "lambda" and row["error"]]

    (error,) = until(lambda: in_store(story, errors), 15, "the denial on the delivery")
    assert "AccessDenied" in error
    assert story.client("iot").list_things_in_thing_group(thingGroupName=provision.GROUP)["things"] == []

    allowed = provision.document(provision.allow("iot:AddThingToThingGroup", "*"))
    iam.put_role_policy(RoleName="IsolateDevice-role", PolicyName="Permissions", PolicyDocument=allowed)
    event = {"Records": [{"Sns": {"Message": MESSAGE}}]}
    answer = story.client("lambda").invoke(FunctionName="IsolateDevice", Payload=json.dumps(event))
    assert "FunctionError" not in answer
    assert story.client("iot").list_things_in_thing_group(thingGroupName=provision.GROUP)["things"] == ["lamp"]


def test_a_role_that_no_longer_trusts_lambda_stops_its_functions(story: RunningServer) -> None:
    """When the role trusts others, or is gone, its functions neither run nor keep keys; none can be made with it."""
    iam, functions = story.client("iam"), story.client("lambda")
    event = json.dumps({"Records": [{"Sns": {"Message": MESSAGE}}]})
    assert "FunctionError" not in functions.invoke(FunctionName="IsolateDevice", Payload=event)
    trust = {"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.update_assume_role_policy(RoleName="IsolateDevice-role", PolicyDocument=provision.document(trust))
    with pytest.raises(ClientError, match=r"AccessDeniedException.*cannot be assumed by Lambda"):
        functions.invoke(FunctionName="IsolateDevice", Payload=event)
    code = provision.zip_of({"m.py": "def handle(event, context): pass"})
    made = {"FunctionName": "f", "Runtime": "python3.11", "Handler": "m.handle", "Code": {"ZipFile": code}}
    for role in ("IsolateDevice-role", "None"):
        with pytest.raises(functions.exceptions.InvalidParameterValueException, match="cannot be assumed by Lambda"):
            functions.create_function(**made, Role=arns(story).role(role))


def test_a_function_cannot_reach_beyond_its_role(story: RunningServer) -> None:
    """Inside a function there are the role's short-lived keys only: no root key, and no way to make one."""
    source = """
import boto3, botocore, os

def handle(event, context):
    found = {"key": os.environ["AWS_ACCESS_KEY_ID"][:4], "who": boto3.client("sts").get_caller_identity()["Arn"]}
    for service, call, params in (
        ("iam", "create_access_key", {"UserName": "x"}),
        ("iam", "put_role_policy", {"RoleName": "curious", "PolicyName": "p", "PolicyDocument": "{}"}),
        ("sts", "get_session_token", {}),
        ("iot", "list_things", {}),
    ):
        try:
            getattr(boto3.client(service), call)(**params)
            found[call] = "done"
        except botocore.exceptions.ClientError as error:
            found[call] = error.response["Error"]["Code"]
    return found
"""
    role = provision.function_role(story.client, "curious")
    story.client("lambda").create_function(
        FunctionName="curious",
        Runtime="python3.11",
        Handler="m.handle",
        Role=role,
        Code={"ZipFile": provision.zip_of({"m.py": source})},
        Timeout=30,
    )
    answer = json.loads(story.client("lambda").invoke(FunctionName="curious")["Payload"].read())
    assert answer == {
        "key": "ASIA",
        "who": f"arn:aws:sts::{story.info.account_id}:assumed-role/curious/curious",
        "create_access_key": "AccessDenied",
        "put_role_policy": "AccessDenied",
        "get_session_token": "AccessDenied",
        "list_things": "AccessDeniedException",
    }


@pytest.mark.parametrize(
    ("service", "statements", "why"),
    [
        ("lambda.amazonaws.com", [provision.allow("sns:*", "*")], "does not trust iot.amazonaws.com"),
        ("iot.amazonaws.com", [], "lacks sns:Publish"),
        ("iot.amazonaws.com", [provision.allow("sns:Publish", "arn:aws:sns:*:*:Other")], "lacks sns:Publish"),
    ],
)
def test_an_alert_goes_out_only_with_its_role(
    server: RunningServer, tmp_path: Path, service: str, statements: list[dict[str, object]], why: str
) -> None:
    """An alert whose role may not publish stays out of the topic; the event keeps the reason, and the violation."""
    topic = server.client("sns").create_topic(Name="Alerts")["TopicArn"]
    role = provision.role(server.client, "Alerting", service, *statements)
    iot = server.client("iot")
    iot.create_security_profile(
        securityProfileName="Single",
        behaviors=[
            {
                "name": "OneLargeMessage",
                "metric": "aws:message-byte-size",
                "criteria": {"comparisonOperator": "less-than-equals", "value": {"count": 100}},
            }
        ],
        alertTargets={"SNS": {"alertTargetArn": topic, "roleArn": role}},
    )
    iot.attach_security_profile(
        securityProfileName="Single", securityProfileTargetArn=arns(server).make("iot", "all/things")
    )
    iot.create_policy(policyName="Any", policyDocument=provision.document(provision.allow("iot:*", "*")))
    device = Device("lamp", provision.certificate(server.client, "Any"), server.broker, tmp_path)
    assert device.connect() == "Success"
    until(lambda: device.publish("big", "x" * 500) or iot.list_active_violations()["activeViolations"], 15, "the alarm")
    device.close()
    error = in_store(server, lambda look: look.scalar(sa.select(violation_events.c.alert_error).limit(1)))
    assert error.startswith(topic)
    assert why in error
