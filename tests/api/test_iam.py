"""iam through boto3: users, their keys, managed policies, and what is refused of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from api_house import House
from api_server import Server, refused
from fleetward.access.keys import AccessKey

ACCOUNT = "123456789012"
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


def document(*actions: str) -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def trust(principal: Any) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def server(tmp_path: Any) -> Iterator[Server]:
    house = House(tmp_path)
    made = Server(house)
    yield made
    made.close()
    house.close()


@pytest.fixture
def iam(server: Server) -> Any:
    return server.client("iam")


def new_user(server: Server, name: str, *actions: str) -> AccessKey:
    """A user with one key, who may do that."""
    iam = server.client("iam")
    iam.create_user(UserName=name)
    if actions:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(*actions))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return AccessKey(made["AccessKeyId"], made["SecretAccessKey"], "")


def test_a_user_lives_a_whole_life(iam: Any) -> None:
    """A user is created, tagged, renamed with all that belongs to it, listed, and deleted once it is empty."""
    made = iam.create_user(UserName="Ann", Path="/ops/", Tags=[{"Key": "team", "Value": "red"}])["User"]
    assert (made["Arn"], made["UserId"][:4]) == (f"arn:aws:iam::{ACCOUNT}:user/ops/Ann", "AIDA")
    assert refused(iam.create_user, UserName="ann") == ("EntityAlreadyExists", 409)
    iam.put_user_policy(UserName="Ann", PolicyName="p", PolicyDocument=document("iot:*"))
    key = iam.create_access_key(UserName="Ann")["AccessKey"]["AccessKeyId"]

    iam.update_user(UserName="Ann", NewUserName="Anna", NewPath="/")
    user = iam.get_user(UserName="Anna")["User"]
    assert (user["Arn"], user["UserId"]) == (f"arn:aws:iam::{ACCOUNT}:user/Anna", made["UserId"])
    assert user["Tags"] == [{"Key": "team", "Value": "red"}]
    assert refused(iam.get_user, UserName="Ann") == ("NoSuchEntity", 404)
    assert iam.list_user_policies(UserName="Anna")["PolicyNames"] == ["p"]
    assert [one["AccessKeyId"] for one in iam.list_access_keys(UserName="Anna")["AccessKeyMetadata"]] == [key]
    assert [one["UserName"] for one in iam.list_users(PathPrefix="/")["Users"]] == ["Anna"]

    assert refused(iam.delete_user, UserName="Anna") == ("DeleteConflict", 409)
    iam.delete_access_key(UserName="Anna", AccessKeyId=key)
    assert refused(iam.delete_user, UserName="Anna") == ("DeleteConflict", 409)
    iam.delete_user_policy(UserName="Anna", PolicyName="p")
    iam.untag_user(UserName="Anna", TagKeys=["team"])
    assert iam.list_user_tags(UserName="Anna")["Tags"] == []
    iam.delete_user(UserName="Anna")
    assert refused(iam.delete_user, UserName="Anna") == ("NoSuchEntity", 404)


def test_keys_belong_to_their_user(server: Server, iam: Any) -> None:
    """At most two keys; a secret is shown once; nobody reaches another's key under their own name."""
    mine, other = new_user(server, "mine", "iam:*"), new_user(server, "other")
    mine_iam = server.client("iam", mine)
    second = mine_iam.create_access_key()["AccessKey"]
    assert second["UserName"] == "mine"
    assert refused(mine_iam.create_access_key) == ("LimitExceeded", 409)
    listed = mine_iam.list_access_keys()["AccessKeyMetadata"]
    assert {one["AccessKeyId"] for one in listed} == {mine.id, second["AccessKeyId"]}
    assert "SecretAccessKey" not in listed[0]
    for change in (mine_iam.delete_access_key, lambda **key: mine_iam.update_access_key(Status="Inactive", **key)):
        assert refused(change, AccessKeyId=other.id) == ("NoSuchEntity", 404)
        assert refused(change, AccessKeyId=server.house.root.id) == ("NoSuchEntity", 404)
    assert refused(iam.create_access_key) == ("ValidationError", 400)


def test_a_key_ends_when_it_is_switched_off_or_deleted(server: Server, iam: Any) -> None:
    """Switching off, deleting and un-attaching bite at the next request."""
    key = new_user(server, "u", "iot:*")
    iot = server.client("iot", key)
    iot.list_things()
    iam.update_access_key(UserName="u", AccessKeyId=key.id, Status="Inactive")
    assert iam.list_access_keys(UserName="u")["AccessKeyMetadata"][0]["Status"] == "Inactive"
    assert refused(iot.list_things) == ("UnrecognizedClientException", 403)
    iam.update_access_key(UserName="u", AccessKeyId=key.id, Status="Active")
    iot.list_things()
    iam.delete_user_policy(UserName="u", PolicyName="p")
    assert refused(iot.list_things) == ("AccessDeniedException", 403)
    iam.attach_user_policy(UserName="u", PolicyArn="arn:aws:iam::aws:policy/AWSIoTFullAccess")
    iot.list_things()
    iam.delete_access_key(UserName="u", AccessKeyId=key.id)
    assert refused(iot.list_things) == ("UnrecognizedClientException", 403)


def test_last_use(server: Server, iam: Any) -> None:
    """GetAccessKeyLastUsed tells when and for which service a key was used."""
    key = new_user(server, "u", "iot:*")
    assert iam.get_access_key_last_used(AccessKeyId=key.id)["AccessKeyLastUsed"]["ServiceName"] == "N/A"
    server.client("iot", key).list_things()
    used = iam.get_access_key_last_used(AccessKeyId=key.id)
    assert (used["UserName"], used["AccessKeyLastUsed"]["ServiceName"]) == ("u", "iot")
    assert abs(used["AccessKeyLastUsed"]["LastUsedDate"].timestamp() * 1000 - server.house.now()) < 60_000
    assert refused(iam.get_access_key_last_used, AccessKeyId="AKIAUNKNOWNUNKNOWN") == ("AccessDenied", 403)


def test_a_managed_policy_lives_a_whole_life(iam: Any) -> None:
    """A managed policy has up to five versions, one of them the default, and goes when nothing holds it."""
    made = iam.create_policy(PolicyName="M", Path="/x/", PolicyDocument=document("iot:*"), Description="d")["Policy"]
    arn = made["Arn"]
    assert (arn, made["DefaultVersionId"], made["PolicyId"][:4]) == (f"arn:aws:iam::{ACCOUNT}:policy/x/M", "v1", "ANPA")
    assert refused(iam.create_policy, PolicyName="m", PolicyDocument=document("a:b")) == ("EntityAlreadyExists", 409)
    for number in range(2, 6):
        version = iam.create_policy_version(PolicyArn=arn, PolicyDocument=document(f"iot:v{number}"))["PolicyVersion"]
        assert (version["VersionId"], version["IsDefaultVersion"]) == (f"v{number}", False)
    assert refused(iam.create_policy_version, PolicyArn=arn, PolicyDocument=document("a:b")) == ("LimitExceeded", 409)
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v3")
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v3"
    found = iam.get_policy_version(PolicyArn=arn, VersionId="v3")["PolicyVersion"]
    assert (json.dumps(found["Document"]), found["IsDefaultVersion"]) == (document("iot:v3"), True)
    assert refused(iam.delete_policy_version, PolicyArn=arn, VersionId="v3") == ("DeleteConflict", 409)
    assert refused(iam.delete_policy, PolicyArn=arn) == ("DeleteConflict", 409)
    for number in (1, 2, 4, 5):
        iam.delete_policy_version(PolicyArn=arn, VersionId=f"v{number}")
    assert [one["VersionId"] for one in iam.list_policy_versions(PolicyArn=arn)["Versions"]] == ["v3"]
    newer = iam.create_policy_version(PolicyArn=arn, PolicyDocument=document("a:b"), SetAsDefault=True)
    assert newer["PolicyVersion"]["VersionId"] == "v6"
    iam.delete_policy_version(PolicyArn=arn, VersionId="v3")

    iam.create_user(UserName="u")
    iam.attach_user_policy(UserName="u", PolicyArn=arn)
    assert iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 1
    assert refused(iam.delete_policy, PolicyArn=arn) == ("DeleteConflict", 409)
    holders = iam.list_entities_for_policy(PolicyArn=arn)
    assert [one["UserName"] for one in holders["PolicyUsers"]] == ["u"]
    assert (holders["PolicyRoles"], holders["PolicyGroups"]) == ([], [])
    iam.detach_user_policy(UserName="u", PolicyArn=arn)
    assert refused(iam.detach_user_policy, UserName="u", PolicyArn=arn) == ("NoSuchEntity", 404)
    iam.delete_policy(PolicyArn=arn)
    assert refused(iam.get_policy, PolicyArn=arn) == ("NoSuchEntity", 404)
    assert refused(iam.attach_user_policy, UserName="u", PolicyArn=arn) == ("NoSuchEntity", 404)


def test_aws_managed_policies_are_there(iam: Any) -> None:
    """AWS's policies can be listed, read and attached, and not changed."""
    iam.create_policy(PolicyName="Own", PolicyDocument=document("iot:*"))
    assert [one["PolicyName"] for one in iam.list_policies(Scope="Local")["Policies"]] == ["Own"]
    aws = {one["Arn"]: one for one in iam.list_policies(Scope="AWS")["Policies"]}
    assert "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole" in aws
    assert len(iam.list_policies()["Policies"]) == len(aws) + 1
    for number, arn in enumerate(aws):
        version = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
        iam.create_policy(PolicyName=f"Copy{number}", PolicyDocument=json.dumps(version["Document"]))
    iam.create_user(UserName="u")
    iam.attach_user_policy(UserName="u", PolicyArn=READ_ONLY)
    attached = iam.list_policies(OnlyAttached=True)["Policies"]
    assert [(one["Arn"], one["AttachmentCount"]) for one in attached] == [(READ_ONLY, 1)]
    assert iam.list_attached_user_policies(UserName="u")["AttachedPolicies"][0]["PolicyName"] == "ReadOnlyAccess"
    assert refused(iam.delete_policy, PolicyArn=READ_ONLY)[0] == "AccessDenied"
    assert refused(iam.attach_user_policy, UserName="u", PolicyArn="arn:aws:iam::aws:policy/None") == (
        "NoSuchEntity",
        404,
    )


def test_quotas(iam: Any) -> None:
    """Sizes and numbers of policies have AWS's limits."""
    iam.create_user(UserName="u")
    long = document(*(f"iot:{'a' * 40}{n}" for n in range(30)))
    iam.put_user_policy(UserName="u", PolicyName="a", PolicyDocument=long)
    assert refused(iam.put_user_policy, UserName="u", PolicyName="b", PolicyDocument=long) == ("LimitExceeded", 409)
    iam.put_user_policy(UserName="u", PolicyName="a", PolicyDocument=long)
    huge = document(*(f"iot:{'a' * 40}{n}" for n in range(150)))
    assert refused(iam.create_policy, PolicyName="huge", PolicyDocument=huge) == ("LimitExceeded", 409)
    for number in range(10):
        arn = iam.create_policy(PolicyName=f"p{number}", PolicyDocument=document("a:b"))["Policy"]["Arn"]
        iam.attach_user_policy(UserName="u", PolicyArn=arn)
    assert refused(iam.attach_user_policy, UserName="u", PolicyArn=READ_ONLY) == ("LimitExceeded", 409)
    bad = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "x", "Resource": "*"}]})
    assert refused(iam.create_policy, PolicyName="bad", PolicyDocument=bad) == ("MalformedPolicyDocument", 400)


def test_a_role_changes(iam: Any) -> None:
    """Description, longest session, trust and tags of a role can be changed; who is trusted must exist."""
    made = iam.create_role(
        RoleName="R", AssumeRolePolicyDocument=trust({"AWS": ACCOUNT}), Tags=[{"Key": "a", "Value": "b"}]
    )
    assert made["Role"]["Tags"] == [{"Key": "a", "Value": "b"}]
    iam.update_role(RoleName="R", Description="new", MaxSessionDuration=7200)
    role = iam.get_role(RoleName="R")["Role"]
    assert (role["Description"], role["MaxSessionDuration"]) == ("new", 7200)
    nobody = {"AWS": f"arn:aws:iam::{ACCOUNT}:user/nobody"}
    params = {"RoleName": "R", "PolicyDocument": trust(nobody)}
    assert refused(iam.update_assume_role_policy, **params) == ("MalformedPolicyDocument", 400)
    nobody_id = iam.create_user(UserName="nobody")["User"]["UserId"]
    iam.update_assume_role_policy(**params)
    iam.delete_user(UserName="nobody")
    statement = iam.get_role(RoleName="R")["Role"]["AssumeRolePolicyDocument"]["Statement"][0]
    assert statement["Principal"] == {"AWS": [nobody_id]}
    assert refused(iam.create_role, RoleName="r", AssumeRolePolicyDocument=trust("*")) == ("EntityAlreadyExists", 409)
