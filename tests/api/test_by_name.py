"""What is found by how its name begins: policies, security profiles, topics, roles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api_house import House
from fleetward.access.requirements import Requirement, Requirements
from fleetward.api import models, operations
from fleetward.api.call import Call, Caller
from fleetward.store.tables.access import roles
from fleetward.store.tables.detect import security_profiles
from fleetward.store.tables.notify import topics
from fleetward.store.tables.registry import policies

ROWS: dict[str, tuple[sa.Table, dict[str, Any]]] = {
    "ListPoliciesByName": (policies, {"default_version": 1, "last_version": 1, "created_at": 0, "modified_at": 0}),
    "ListSecurityProfilesByName": (
        security_profiles,
        {"document": {}, "version": 1, "created_at": 0, "modified_at": 0},
    ),
    "ListTopicsByName": (topics, {"attributes": {}, "created_at": 0}),
    "ListRolesByName": (roles, {"id": "", "path": "/team/", "description": "", "trust_policy": "", "created_at": 0}),
}
NAMES = st.text("aAb_", min_size=1, max_size=3)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def ask(house: House, operation: str, **params: Any) -> Any:
    model = models.service("fleetward").model.operation_model(operation)
    serve = operations.find("fleetward", operation)
    assert serve is not None
    return serve(Call(house.rooms, model, params, Caller(None, "123456789012"), 0, "an-id"))


@pytest.mark.parametrize("operation", ROWS)
@given(names=st.sets(NAMES), prefix=st.none() | NAMES, size=st.integers(1, 3))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_all_that_begin_so_are_found(
    house: House, operation: str, names: set[str], prefix: str | None, size: int
) -> None:
    """The pages hold, in order, those whose names begin so (case counts), each with the ARN of its kind."""
    table, row = ROWS[operation]
    with house.rooms.database.transaction(0) as tx:
        tx.execute(table.delete())
        for name in names:
            tx.execute(table.insert().values(name=name, **row))
    params: dict[str, Any] = {"maxResults": size} | ({} if prefix is None else {"namePrefix": prefix})
    found: list[dict[str, str]] = []
    while True:
        answer = ask(house, operation, **params)
        found += answer["named"]
        if answer["nextToken"] is None:
            break
        params["nextToken"] = answer["nextToken"]
    assert [one["name"] for one in found] == sorted(name for name in names if name.startswith(prefix or ""))
    beginnings = {one["arn"].removesuffix(one["name"]) for one in found}
    assert (
        beginnings
        <= {
            "ListPoliciesByName": {"arn:aws:iot:us-east-1:123456789012:policy/"},
            "ListSecurityProfilesByName": {"arn:aws:iot:us-east-1:123456789012:securityprofile/"},
            "ListTopicsByName": {"arn:aws:sns:us-east-1:123456789012:"},
            "ListRolesByName": {"arn:aws:iam::123456789012:role/team/"},
        }[operation]
    )


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("ListPoliciesByName", "iot:ListPolicies"),
        ("ListSecurityProfilesByName", "iot:ListSecurityProfiles"),
        ("ListTopicsByName", "SNS:ListTopics"),
        ("ListRolesByName", "iam:ListRoles"),
    ],
)
def test_who_may_list_may_look_up(house: House, operation: str, action: str) -> None:
    """Looking up takes the very permission that listing through AWS's operation takes."""
    required = Requirements(house.rooms.database, house.rooms.arns).of("fleetward", operation, {}, "")
    assert required == [Requirement(action, "*")]
