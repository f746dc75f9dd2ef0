"""Unmodified boto3 clients against the door on a real socket."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from botocore.exceptions import ClientError

from api_house import House
from api_server import Server, refused
from fleetward.access.keys import AccessKey, issue_session

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"}],
}
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    house = House(tmp_path_factory.mktemp("door"))
    made = Server(house)
    yield made
    made.close()
    house.close()


def test_a_role_lives_its_whole_life(server: Server) -> None:
    """A role and its policies are created, read, listed and deleted through boto3; documents come back as sent."""
    iam = server.client("iam")
    made = iam.create_role(RoleName="Writer", Path="/a/", AssumeRolePolicyDocument=json.dumps(TRUST), Description="d")
    assert made["Role"]["Arn"] == "arn:aws:iam::123456789012:role/a/Writer"
    assert refused(iam.create_role, RoleName="Writer", AssumeRolePolicyDocument=json.dumps(TRUST)) == (
        "EntityAlreadyExists",
        409,
    )
    role = iam.get_role(RoleName="Writer")["Role"]
    assert (role["AssumeRolePolicyDocument"], role["Description"], role["RoleId"][:4]) == (TRUST, "d", "AROA")

    iam.put_role_policy(RoleName="Writer", PolicyName="inline", PolicyDocument=json.dumps(POLICY))
    assert iam.get_role_policy(RoleName="Writer", PolicyName="inline")["PolicyDocument"] == POLICY
    assert iam.list_role_policies(RoleName="Writer")["PolicyNames"] == ["inline"]
    managed = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    for _ in range(2):
        iam.attach_role_policy(RoleName="Writer", PolicyArn=managed)
    assert iam.list_attached_role_policies(RoleName="Writer")["AttachedPolicies"] == [
        {"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": managed}
    ]

    assert refused(iam.delete_role, RoleName="Writer") == ("DeleteConflict", 409)
    iam.delete_role_policy(RoleName="Writer", PolicyName="inline")
    iam.detach_role_policy(RoleName="Writer", PolicyArn=managed)
    iam.delete_role(RoleName="Writer")
    assert refused(iam.get_role, RoleName="Writer") == ("NoSuchEntity", 404)


def test_a_document_that_is_no_policy_is_refused(server: Server) -> None:
    """A malformed policy or trust policy is MalformedPolicyDocument; what would have no effect is refused."""
    iam = server.client("iam")
    iam.create_role(RoleName="Plain", AssumeRolePolicyDocument=json.dumps(TRUST))
    for document in ("{", "[]", "{}", json.dumps(POLICY)):
        params = {"RoleName": "Other", "AssumeRolePolicyDocument": document}
        assert refused(iam.create_role, **params) == ("MalformedPolicyDocument", 400)
    params = {"RoleName": "Plain", "PolicyName": "p", "PolicyDocument": json.dumps(TRUST)}
    assert refused(iam.put_role_policy, **params) == ("MalformedPolicyDocument", 400)
    boundary = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    params = {"RoleName": "Other", "AssumeRolePolicyDocument": json.dumps(TRUST), "PermissionsBoundary": boundary}
    assert refused(iam.create_role, **params) == ("NotImplemented", 501)


def test_lists_come_in_pages(server: Server) -> None:
    """botocore's paginator sees every role once, whatever the page size."""
    iam = server.client("iam")
    names = {f"Paged{i:02}" for i in range(7)}
    for name in names:
        iam.create_role(RoleName=name, Path="/paged/", AssumeRolePolicyDocument=json.dumps(TRUST))
    pages = iam.get_paginator("list_roles").paginate(PathPrefix="/paged/", PaginationConfig={"PageSize": 3})
    found = [[role["RoleName"] for role in page["Roles"]] for page in pages]
    assert [len(page) for page in found] == [3, 3, 1]
    assert {name for page in found for name in page} == names
    assert refused(iam.list_roles, Marker="bm9uc2Vuc2U=") == ("ValidationError", 400)


def test_who_am_i(server: Server) -> None:
    """GetCallerIdentity tells the root user and a role's session apart, as AWS writes them."""
    root = server.client("sts").get_caller_identity()
    assert (root["UserId"], root["Arn"]) == ("123456789012", "arn:aws:iam::123456789012:root")
    role = server.client("iam").create_role(RoleName="Session", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    made = server.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="me", DurationSeconds=900)
    credentials = made["Credentials"]
    lifetime = credentials["Expiration"].timestamp() * 1000 - server.house.now()
    assert 880_000 < lifetime <= 900_000
    key = AccessKey(credentials["AccessKeyId"], credentials["SecretAccessKey"], "", credentials["SessionToken"])
    identity = server.client("sts", key).get_caller_identity()
    assert identity["Arn"] == "arn:aws:sts::123456789012:assumed-role/Session/me"
    assert identity["UserId"] == f"{role['RoleId']}:me" == made["AssumedRoleUser"]["AssumedRoleId"]
    missing = {"RoleArn": role["Arn"] + "x", "RoleSessionName": "me"}
    assert refused(server.client("sts").assume_role, **missing) == ("AccessDenied", 403)


def test_session_keys_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session's keys work with their token only, and are refused as expired once their time is over."""
    house = server.house
    with house.rooms.database.transaction(house.now()) as tx:
        key = issue_session(tx, "arn:aws:iam::123456789012:role/Function", "run", 60)
    arn = server.client("sts", key).get_caller_identity()["Arn"]
    assert arn == "arn:aws:sts::123456789012:assumed-role/Function/run" == key.principal_arn
    bare = AccessKey(key.id, key.secret, "")
    assert refused(server.client("sts", bare).get_caller_identity) == ("InvalidClientTokenId", 403)
    monkeypatch.setattr(house, "skew", 61_000)
    assert refused(server.client("sts", key).get_caller_identity) == ("ExpiredToken", 403)
    assert refused(server.client("iot", key).list_things) == ("ExpiredTokenException", 403)


def test_iam_and_sts_answer_clients_of_any_region(server: Server) -> None:
    """A client for another region is refused by iot; iam and sts are signed for their global endpoint or our region."""
    assert refused(server.client("iot", region="eu-west-1").list_things) == ("InvalidSignatureException", 403)
    assert server.client("iam").list_roles()


def test_an_unserved_operation_is_a_clean_error(server: Server) -> None:
    """boto3 hears the code NotImplementedException and the operation's name, at once and without retries."""
    with pytest.raises(ClientError, match="ListJobs of iot") as found:
        server.client("iot").list_jobs()
    assert found.value.response["ResponseMetadata"]["RetryAttempts"] == 0


def test_our_own_model_makes_a_client(server: Server) -> None:
    """botocore makes a client from our own service's model, and its constraints are checked here."""
    client = server.client("fleetward")
    assert refused(client.quarantine_thing, thingName="a b") == ("ValidationException", 400)


def test_a_presigned_url_works_in_any_http_client(server: Server) -> None:
    """A URL presigned by boto3 is answered to a plain HTTP client."""
    url = server.client("sts").generate_presigned_url("get_caller_identity", HttpMethod="GET")
    answer = httpx.get(url, trust_env=False)
    assert answer.status_code == 200
    assert "arn:aws:iam::123456789012:root" in answer.text
    assert answer.headers["content-type"] == "text/xml"
