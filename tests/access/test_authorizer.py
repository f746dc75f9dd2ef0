"""The authorizer over a real store: whose policies decide, how they combine, and what is said of a refusal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api_house import House
from fleetward import errors
from fleetward.access import entities, keys, managed, roles, users
from fleetward.access.authorizer import Authorizer, Origin
from fleetward.access.entities import ROLE, USER
from fleetward.access.keys import AccessKey

ACCOUNT = "123456789012"
THING = "arn:aws:iot:us-east-1:123456789012:thing/"
ANYBODY = json.dumps({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}})


def policy(*statements: tuple[str, str | list[str], str], **more: Any) -> str:
    blocks = [{"Effect": effect, "Action": action, "Resource": on, **more} for effect, action, on in statements]
    return json.dumps({"Version": "2012-10-17", "Statement": blocks})


class Door:
    """A user `u` and a role `r`, with a key each."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.authorizer: Authorizer = house.rooms.authorizer
        with self.change() as tx:
            users.create(tx, "u", "/")
            self.user = users.create_key(tx, house.rooms.arns, "u")
            self.role_id = roles.create(tx, house.rooms.arns, "r", "/", "", ANYBODY, 3600)["id"]
        self.role = self.session()

    def change(self) -> Any:
        return self.house.rooms.database.transaction(self.house.now())

    def session(self, *policies: str) -> AccessKey:
        with self.change() as tx:
            return keys.issue_session(
                tx, f"arn:aws:iam::{ACCOUNT}:role/r", "s", 900, self.role_id, list(policies) or None
            )

    def put(self, kind: entities.Kind, name: str, document: str, policy_name: str = "p") -> None:
        with self.change() as tx:
            entities.put_inline(tx, kind, name, policy_name, document)

    def why_not(self, key: AccessKey, thing: str = "a", operation: str = "DescribeThing", **origin: Any) -> str:
        """Why the key's holder may not do that to the thing; empty when it may."""
        asked = Origin(self.house.now(), **origin)
        try:
            self.authorizer.authorise(key, "iot", operation, {"thingName": thing}, asked)
        except errors.AccessDenied as refusal:
            return refusal.message
        return ""


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    house = House(tmp_path)
    yield Door(house)
    house.close()


def test_the_root_user_may_everything(door: Door) -> None:
    """The root key needs no policy."""
    assert door.why_not(door.house.root) == ""


def test_who_has_no_policy_may_nothing(door: Door) -> None:
    """Default deny, in AWS's words."""
    assert door.why_not(door.user) == (
        f"User: arn:aws:iam::{ACCOUNT}:user/u is not authorized to perform: iot:DescribeThing on resource: {THING}a "
        "because no identity-based policy allows the iot:DescribeThing action"
    )
    assert door.why_not(door.role).startswith(f"User: arn:aws:sts::{ACCOUNT}:assumed-role/r/s is not authorized")


@pytest.mark.parametrize("kind", [USER, ROLE])
def test_inline_and_managed_policies_count(door: Door, kind: entities.Kind) -> None:
    """What an inline or an attached policy allows is allowed, from the commit on, until it is taken away."""
    key, name = (door.user, "u") if kind is USER else (door.role, "r")
    door.put(kind, name, policy(("Allow", "iot:Describe*", THING + "a")))
    assert door.why_not(key, "a") == ""
    assert door.why_not(key, "b") != ""
    with door.change() as tx:
        entities.delete_inline(tx, kind, name, "p")
        entities.attach(tx, kind, name, "arn:aws:iam::aws:policy/ReadOnlyAccess")
    assert door.why_not(key, "b") == ""
    assert door.why_not(key, "b", "DeleteThing") != ""
    with door.change() as tx:
        entities.detach(tx, kind, name, "arn:aws:iam::aws:policy/ReadOnlyAccess")
    assert door.why_not(key, "b") != ""


def test_the_default_version_counts(door: Door) -> None:
    """A managed policy grants what its default version says, at once after a change."""
    with door.change() as tx:
        arn = managed.create(tx, door.house.rooms.arns, "m", "/", "", policy(("Allow", "iot:*", "*"))).arn
        entities.attach(tx, USER, "u", arn)
    assert door.why_not(door.user) == ""
    with door.change() as tx:
        managed.create_version(tx, arn, policy(("Deny", "iot:*", "*")), as_default=True)
    assert "with an explicit deny in an identity-based policy" in door.why_not(door.user)
    with door.change() as tx:
        managed.set_default(tx, arn, 1)
    assert door.why_not(door.user) == ""


def test_a_deny_anywhere_wins(door: Door) -> None:
    """An explicit deny in one policy beats the allow of another."""
    door.put(USER, "u", policy(("Allow", "*", "*")))
    door.put(USER, "u", policy(("Deny", "iot:*", THING + "secret*")), "q")
    assert door.why_not(door.user, "open") == ""
    assert door.why_not(door.user, "secret1").endswith("with an explicit deny in an identity-based policy")


def test_conditions_see_the_request(door: Door) -> None:
    """Conditions and variables see who calls, from where and how."""
    condition = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}, "Bool": {"aws:SecureTransport": "true"}}
    door.put(USER, "u", policy(("Allow", "iot:*", THING + "${aws:username}"), Condition=condition))
    assert door.why_not(door.user, "u", address="10.1.2.3", secure=True) == ""
    assert door.why_not(door.user, "u", address="10.1.2.3") != ""
    assert door.why_not(door.user, "u", address="11.1.2.3", secure=True) != ""
    assert door.why_not(door.user, "v", address="10.1.2.3", secure=True) != ""


def test_a_session_policy_narrows(door: Door) -> None:
    """A session may do what its role and its session policies both allow, and a deny in either is a deny."""
    door.put(ROLE, "r", policy(("Allow", "iot:*", "*")))
    narrowed = door.session(policy(("Allow", "iot:Describe*", "*"), ("Deny", "*", THING + "b")))
    assert door.why_not(narrowed) == ""
    assert door.why_not(narrowed, "a", "DeleteThing").endswith(
        "because no session policy allows the iot:DeleteThing action"
    )
    assert door.why_not(narrowed, "b").endswith("with an explicit deny in a session policy")
    by_arn = door.session("arn:aws:iam::aws:policy/AmazonSNSFullAccess")
    assert door.why_not(by_arn) != ""


EFFECTS = st.lists(st.tuples(st.sampled_from(["Allow", "Deny"]), st.sampled_from("abc")), min_size=1, max_size=4)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(own=EFFECTS, narrowing=EFFECTS, thing=st.sampled_from("abc"))
def test_a_session_never_widens(
    door: Door, own: list[tuple[str, str]], narrowing: list[tuple[str, str]], thing: str
) -> None:
    """A narrowed session may exactly what both its role and its session policy allow."""

    def document(rules: list[tuple[str, str]]) -> str:
        return policy(*((effect, "iot:*", THING + name) for effect, name in rules))

    def allows(rules: list[tuple[str, str]]) -> bool:
        return ("Allow", thing) in rules and ("Deny", thing) not in rules

    door.put(ROLE, "r", document(own))
    assert (door.why_not(door.session(document(narrowing)), thing) == "") == (allows(own) and allows(narrowing))


def test_another_role_of_the_same_name_is_another(door: Door) -> None:
    """A session of a deleted role gains nothing from a new role of that name, even if its key were still known."""
    old = door.role
    with door.change() as tx:
        roles.delete(tx, door.house.rooms.arns, "r")
        roles.create(tx, door.house.rooms.arns, "r", "/", "", ANYBODY, 3600)
    door.put(ROLE, "r", policy(("Allow", "*", "*")))
    assert door.why_not(old) != ""
    with pytest.raises(errors.UnrecognizedClient):
        door.house.rooms.keys.holder_of(old.id, old.session_token, door.house.now())


def test_a_users_session_keeps_out_of_iam(door: Door) -> None:
    """Keys of GetSessionToken may do what their user may, but not call IAM, whoever their user is."""
    with door.change() as tx:
        sessions = [keys.issue_user_session(tx, key, 900) for key in (door.house.root, door.user)]
    door.put(USER, "u", policy(("Allow", "*", "*")))
    for session in sessions:
        assert door.why_not(session) == ""
        with pytest.raises(errors.AccessDenied, match="GetSessionToken"):
            door.authorizer.authorise(session, "iam", "CreateAccessKey", {}, Origin(door.house.now()))


def test_a_policy_that_cannot_be_read_denies(door: Door) -> None:
    """A stored document that this version cannot evaluate denies everything instead of nothing."""
    door.put(USER, "u", policy(("Allow", "*", "*")))
    table = entities.USER.policies
    with door.change() as tx:
        tx.execute(table.insert().values(user_name="u", policy_name="broken", document="{"))
        tx.touch("user", "u")
    assert "explicit deny" in door.why_not(door.user)


def test_a_change_that_is_rolled_back_changes_nothing(door: Door) -> None:
    """Policies count from the commit on, and not before."""
    with pytest.raises(InterruptedError), door.change() as tx:
        entities.put_inline(tx, USER, "u", "p", policy(("Allow", "*", "*")))
        raise InterruptedError
    assert door.why_not(door.user) != ""
