"""Refusals for want of a permission, on the wire of every protocol, and what a handed-over role takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from api_house import House
from api_server import Server, refused
from fleetward.access.actions import ACTIONS, FREE
from fleetward.access.keys import AccessKey
from fleetward.api import models, operations

ACCOUNT = "123456789012"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:T"
USER = f"arn:aws:iam::{ACCOUNT}:user/u"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/alerts"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    house = House(tmp_path_factory.mktemp("door"))
    made = Server(house)
    yield made
    made.close()
    house.close()


@pytest.fixture(scope="module")
def user(server: Server) -> AccessKey:
    iam = server.client("iam")
    iam.create_user(UserName="u")
    made = iam.create_access_key(UserName="u")["AccessKey"]
    return AccessKey(made["AccessKeyId"], made["SecretAccessKey"], "")


def let(server: Server, *actions: str, **more: Any) -> None:
    """Lets the user do that, and nothing else."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*", **more}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    server.client("iam").put_user_policy(UserName="u", PolicyName="p", PolicyDocument=document)


@pytest.mark.parametrize(
    ("service", "call", "params", "code", "status", "action"),
    [
        ("iot", "describe_thing", {"thingName": "a"}, "AccessDeniedException", 403, "iot:DescribeThing"),
        ("iot-data", "publish", {"topic": "a"}, "ForbiddenException", 403, "iot:Publish"),
        ("sns", "publish", {"TopicArn": TOPIC, "Message": "m"}, "AuthorizationError", 403, "SNS:Publish"),
        ("lambda", "invoke", {"FunctionName": "f"}, "AccessDeniedException", 403, "lambda:InvokeFunction"),
        ("logs", "describe_log_groups", {}, "AccessDeniedException", 400, "logs:DescribeLogGroups"),
        ("events", "list_rules", {}, "AccessDeniedException", 400, "events:ListRules"),
        ("iam", "list_users", {}, "AccessDenied", 403, "iam:ListUsers"),
        ("sts", "get_access_key_info", {"AccessKeyId": "A" * 16}, "AccessDenied", 403, "sts:GetAccessKeyInfo"),
        ("fleetward", "release_thing", {"thingName": "a"}, "AccessDeniedException", 400, "fleetward:ReleaseThing"),
    ],
)
def test_a_refusal_on_the_wire(
    server: Server,
    user: AccessKey,
    service: str,
    call: str,
    params: dict[str, Any],
    code: str,
    status: int,
    action: str,
) -> None:
    """Who may nothing hears so in each service's own way, with who, what, on what and why."""
    with pytest.raises(ClientError) as found:
        getattr(server.client(service, user), call)(**params)
    response = found.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    message = response["Error"]["Message"]
    assert message.startswith(
        f"User: arn:aws:iam::{ACCOUNT}:user/u is not authorized to perform: {action} on resource: "
    )
    assert message.endswith(f"because no identity-based policy allows the {action} action")


def test_nothing_is_told_of_what_may_not_be_seen(server: Server, user: AccessKey) -> None:
    """A thing that is there and one that is not are refused alike."""
    server.client("iot").create_thing(thingName="there")
    iot = server.client("iot", user)
    assert refused(iot.describe_thing, thingName="there") == refused(iot.describe_thing, thingName="not-there")


def test_a_role_is_handed_over_only_with_leave(server: Server, user: AccessKey) -> None:
    """A security profile with an alert role takes iam:PassRole on that role, for that service."""
    iot = server.client("iot", user)
    profile = {
        "securityProfileName": "P",
        "alertTargets": {"SNS": {"alertTargetArn": TOPIC, "roleArn": ROLE}},
    }
    let(server, "iot:CreateSecurityProfile")
    with pytest.raises(ClientError, match=f"iam:PassRole on resource: {ROLE} because no identity-based policy"):
        iot.create_security_profile(**profile)
    let(
        server,
        *("iot:CreateSecurityProfile", "iam:PassRole"),
        Condition={"StringEqualsIfExists": {"iam:PassedToService": "lambda.amazonaws.com"}},
    )
    assert refused(iot.create_security_profile, **profile) == ("AccessDeniedException", 403)
    let(
        server,
        *("iot:CreateSecurityProfile", "iam:PassRole"),
        Condition={"StringEqualsIfExists": {"iam:PassedToService": "iot.amazonaws.com"}},
    )
    iot.create_security_profile(**profile)


def test_the_kind_of_a_subscription_can_be_limited(server: Server, user: AccessKey) -> None:
    """sns:Protocol and sns:Endpoint are there to be asked for."""
    let(server, "sns:Subscribe", Condition={"StringLike": {"sns:Endpoint": "*@example.com"}})
    sns = server.client("sns", user)
    params = {"TopicArn": TOPIC, "Protocol": "email"}
    assert refused(sns.subscribe, **params, Endpoint="a@elsewhere.org") == ("AuthorizationError", 403)


def test_nobody_without_a_key_gets_in(server: Server) -> None:
    """Of all operations that are served, only those that say so need no permission."""
    free = {(service, name) for service, table in ACTIONS.items() for name, entry in table.items() if entry is FREE}
    own = {("fleetward", "GetWatchedMessages"), ("fleetward", "UnwatchTopics")}  # only whose watch it is may
    assert free == {("sts", "GetCallerIdentity"), ("sts", "GetSessionToken"), *own}
    assert all(operations.find(*one) for one in free)
    assert models.service("sts")
