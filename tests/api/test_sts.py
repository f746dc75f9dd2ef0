"""sts through boto3: sessions of roles and of users, whom they are given to, and when they end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from api_house import House
from api_server import Server, refused
from fleetward.access.keys import AccessKey

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/R"
ASSUME = {"RoleArn": ROLE, "RoleSessionName": "me"}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(*actions: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*"}


def trust(principal: Any, **more: Any) -> str:
    return document({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more})


class Cast:
    """A user `u` without policies, and a role `R` that trusts whom a test says and may everything of iot."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.iam = server.client("iam")
        self.iam.create_user(UserName="u")
        made = self.iam.create_access_key(UserName="u")["AccessKey"]
        self.user = AccessKey(made["AccessKeyId"], made["SecretAccessKey"], "")
        self.iam.create_role(RoleName="R", AssumeRolePolicyDocument=trust({"Service": "lambda.amazonaws.com"}))
        self.iam.put_role_policy(RoleName="R", PolicyName="p", PolicyDocument=document(allow("iot:*")))

    def trust(self, principal: Any, **more: Any) -> None:
        self.iam.update_assume_role_policy(RoleName="R", PolicyDocument=trust(principal, **more))

    def let_user(self, *actions: str) -> None:
        self.iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=document(allow(*actions)))

    def sts(self, key: AccessKey | None = None) -> Any:
        return self.server.client("sts", key or self.user)

    def assume(self, key: AccessKey | None = None, **more: Any) -> AccessKey:
        return session(self.sts(key).assume_role(**ASSUME, **more))

    def things(self, key: AccessKey) -> Any:
        return self.server.client("iot", key).list_things


def session(answer: dict[str, Any]) -> AccessKey:
    made = answer["Credentials"]
    return AccessKey(made["AccessKeyId"], made["SecretAccessKey"], "", made["SessionToken"])


@pytest.fixture
def cast(tmp_path: Any) -> Iterator[Cast]:
    house = House(tmp_path)
    server = Server(house)
    yield Cast(server)
    server.close()
    house.close()


def test_a_role_that_names_the_user_needs_no_more(cast: Cast) -> None:
    """Trust in the very user is enough; trust in the account takes a policy of the user as well."""
    assert refused(cast.sts().assume_role, **ASSUME) == ("AccessDenied", 403)
    cast.trust({"AWS": f"arn:aws:iam::{ACCOUNT}:user/u"})
    cast.things(cast.assume())()
    cast.trust({"AWS": ACCOUNT})
    assert refused(cast.sts().assume_role, **ASSUME) == ("AccessDenied", 403)
    cast.let_user("sts:AssumeRole")
    cast.things(cast.assume())()


def test_a_policy_is_not_trust(cast: Cast) -> None:
    """Who may assume every role still cannot assume one that does not trust them, or that does not exist."""
    cast.let_user("*")
    assert refused(cast.sts().assume_role, **ASSUME) == ("AccessDenied", 403)
    assert refused(cast.sts().assume_role, RoleArn=f"{ROLE}x", RoleSessionName="me") == ("AccessDenied", 403)
    assert refused(cast.sts(cast.server.house.root).assume_role, **ASSUME) == ("AccessDenied", 403)


def test_an_explicit_deny_beats_trust(cast: Cast) -> None:
    """A Deny in the user's policies or in the trust policy wins."""
    cast.trust({"AWS": "*"})
    cast.assume()
    deny = {"Effect": "Deny", "Action": "sts:*", "Resource": ROLE}
    cast.iam.put_user_policy(UserName="u", PolicyName="no", PolicyDocument=document(deny))
    assert refused(cast.sts().assume_role, **ASSUME) == ("AccessDenied", 403)
    assert cast.sts().get_caller_identity()["Arn"].endswith("user/u")


def test_an_external_id(cast: Cast) -> None:
    """A role can ask for an external id."""
    cast.trust({"AWS": f"arn:aws:iam::{ACCOUNT}:user/u"}, Condition={"StringEquals": {"sts:ExternalId": "12345"}})
    assert refused(cast.sts().assume_role, **ASSUME) == ("AccessDenied", 403)
    assert refused(cast.sts().assume_role, **ASSUME, ExternalId="54321") == ("AccessDenied", 403)
    cast.assume(ExternalId="12345")


def test_how_long(cast: Cast) -> None:
    """A session lasts at most as long as its role allows, an hour when a session has asked for it."""
    cast.trust({"AWS": "*"})
    assert refused(cast.sts().assume_role, **ASSUME, DurationSeconds=3601) == ("ValidationError", 400)
    cast.iam.update_role(RoleName="R", MaxSessionDuration=7200)
    first = cast.assume(DurationSeconds=7200)
    cast.iam.put_role_policy(RoleName="R", PolicyName="p", PolicyDocument=document(allow("iot:*", "sts:AssumeRole")))
    assert refused(cast.sts(first).assume_role, **ASSUME, DurationSeconds=7200) == ("ValidationError", 400)
    cast.things(cast.assume(first))()


def test_a_narrowed_session(cast: Cast) -> None:
    """Session policies, inline or managed, take away and never give."""
    cast.trust({"AWS": "*"})
    cast.things(cast.assume(Policy=document(allow("iot:List*", "iam:*"))))()
    narrow = cast.assume(Policy=document(allow("iot:Describe*", "iam:*")))
    assert refused(cast.things(narrow)) == ("AccessDeniedException", 403)
    assert refused(cast.server.client("iam", narrow).list_users) == ("AccessDenied", 403)
    by_arn = {"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/AmazonSNSFullAccess"}]}
    assert refused(cast.things(cast.assume(**by_arn))) == ("AccessDeniedException", 403)
    assert refused(cast.sts().assume_role, **ASSUME, Policy="{") == ("MalformedPolicyDocument", 400)


def test_the_end_of_a_role_is_the_end_of_its_sessions(cast: Cast) -> None:
    """A session ends with its role, and does not come back with another role of the same name."""
    cast.trust({"AWS": "*"})
    key = cast.assume()
    cast.things(key)()
    cast.iam.delete_role_policy(RoleName="R", PolicyName="p")
    assert refused(cast.things(key)) == ("AccessDeniedException", 403)
    cast.iam.delete_role(RoleName="R")
    assert refused(cast.things(key)) == ("UnrecognizedClientException", 403)
    cast.iam.create_role(RoleName="R", AssumeRolePolicyDocument=trust("*"))
    cast.iam.put_role_policy(RoleName="R", PolicyName="p", PolicyDocument=document(allow("iot:*")))
    assert refused(cast.things(key)) == ("UnrecognizedClientException", 403)


def test_a_session_of_ones_own(cast: Cast) -> None:
    """GetSessionToken gives short-lived keys to a user, who can do no IAM with them, and none to a session."""
    cast.let_user("iot:*", "iam:*")
    key = session(cast.sts().get_session_token(DurationSeconds=900))
    cast.things(key)()
    identity = cast.sts(key).get_caller_identity()
    assert (identity["Arn"], identity["UserId"][:4]) == (f"arn:aws:iam::{ACCOUNT}:user/u", "AIDA")
    assert refused(cast.server.client("iam", key).list_users) == ("AccessDenied", 403)
    assert refused(cast.sts(key).get_session_token) == ("AccessDenied", 403)
    cast.iam.update_access_key(UserName="u", AccessKeyId=cast.user.id, Status="Inactive")
    assert refused(cast.things(key)) == ("UnrecognizedClientException", 403)


def test_a_session_cannot_make_a_root_key(cast: Cast) -> None:
    """Not even a session of the root user makes long-lived keys; an hour is its longest life."""
    root = cast.sts(cast.server.house.root)
    made = root.get_session_token(DurationSeconds=43_200)
    assert made["Credentials"]["Expiration"].timestamp() * 1000 <= cast.server.house.now() + 3_600_000
    key = session(made)
    cast.things(key)()
    assert refused(cast.server.client("iam", key).create_access_key, UserName="u") == ("AccessDenied", 403)


def test_whose_key(cast: Cast) -> None:
    """GetAccessKeyInfo tells the account of a key to who may ask."""
    info = cast.sts(cast.server.house.root).get_access_key_info
    assert info(AccessKeyId=cast.user.id)["Account"] == ACCOUNT
    assert refused(cast.sts().get_access_key_info, AccessKeyId=cast.user.id) == ("AccessDenied", 403)
