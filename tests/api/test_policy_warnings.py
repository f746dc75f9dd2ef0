"""Misspelt actions in policies: taken, as on AWS, and told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from api_house import House
from api_server import Server
from fleetward.api.policy_warnings import actions_of, misspelt


def policy(*actions: str, element: str = "Action") -> str:
    statement = {"Effect": "Allow", element: list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def server(tmp_path: Any) -> Iterator[Server]:
    house = House(tmp_path)
    running = Server(house)
    yield running
    running.close()
    house.close()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("iot:Conect", "iot:Connect"),
        ("iot:Subscibe", "iot:Subscribe"),
        ("iot:AddThingToThinGroup", "iot:AddThingToThingGroup"),
        ("iot:UpdateThingShadows", "iot:UpdateThingShadow"),
        ("lambda:InvokeFunctio", "lambda:InvokeFunction"),
        ("SNS:Publsh", "SNS:Publish"),
        ("iam:PasRole", "iam:PassRole"),
        ("iot:Conect*", "iot:Connect"),
    ],
)
def test_a_misspelt_action_is_told(written: str, meant: str) -> None:
    """What resembles a known action and is none is told with the one that is meant."""
    assert list(misspelt(policy("iot:Publish", written))) == [(written, meant)]
    assert list(misspelt(policy(written, element="NotAction"))) == [(written, meant)]


@pytest.mark.parametrize(
    "action", ["*", "iot:*", "iot:Conn*", "iot:Connec?", "IOT:connect", "s3:GetObjct", "iot:Zzzzz"]
)
def test_what_may_be_meant_is_not_told(action: str) -> None:
    """Wildcards that match something, other cases, other services and what resembles nothing are left alone."""
    assert list(misspelt(policy(action))) == []


@given(
    st.sampled_from(
        [f"{service}:{name}" for service in ("iot", "lambda", "sns", "iam") for name in actions_of(service)]
    )
)
def test_no_action_of_a_model_is_told(action: str) -> None:
    """Every operation of AWS is an action, whether it is served here or not."""
    assert list(misspelt(policy(action))) == []


def test_a_policy_of_rubbish_costs_little() -> None:
    """However many unknown actions a policy names, few are looked up."""
    assert len(list(misspelt(policy(*(f"iot:Conect{n}" for n in range(500)))))) <= 3


def test_the_caller_and_the_log_hear_of_it(server: Server) -> None:
    """The warning is a header of the answer, which is otherwise AWS's, at every door by which a policy comes in."""
    iot, iam = server.client("iot"), server.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName="R", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust}))
    wrong, right = policy("iot:Conect"), policy("iot:Connect")
    arn = iam.create_policy(PolicyName="P", PolicyDocument=right)["Policy"]["Arn"]
    with capture_logs() as logged:
        answers = [
            iot.create_policy(policyName="P", policyDocument=wrong),
            iot.create_policy_version(policyName="P", policyDocument=wrong),
            iam.put_role_policy(RoleName="R", PolicyName="P", PolicyDocument=wrong),
            iam.create_policy(PolicyName="Q", PolicyDocument=wrong),
            iam.create_policy_version(PolicyArn=arn, PolicyDocument=wrong),
        ]
    told = "iot:Conect is no action that is known here; did you mean iot:Connect?"
    assert [one["ResponseMetadata"]["HTTPHeaders"]["x-fleetward-warning"] for one in answers] == [told] * 5
    assert [line["text"] for line in logged if line["event"] == "policy_warning"] == [told] * 5
    quiet = iot.create_policy(policyName="R", policyDocument=right)
    assert "x-fleetward-warning" not in quiet["ResponseMetadata"]["HTTPHeaders"]
