"""ACTIONS against what is served, and against the service models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from fleetward.access.actions import ACTIONS, Entry
from fleetward.access.requirements import READERS
from fleetward.api import models, operations

OWN = ("CALLER", "REGION", "ACCOUNT")
ENTRIES = [(service, name, entry) for service, table in ACTIONS.items() for name, entry in table.items()]


def served() -> list[tuple[str, str]]:
    return [
        (service, name)
        for service in operations.REGISTRY
        for name in models.service(service).model.operation_names
        if operations.find(service, name) is not None
    ]


def members(entry: Entry) -> Iterator[tuple[str, str]]:
    """The (path, reader) of every member that the templates of an entry name."""
    for one in (entry, *entry.also):
        for template in (*one.resources, *one.keys.values()):
            yield from re.findall(r"\{([\w.*]+)(?::(\w+))?\}", template)
        if one.when:
            yield one.when, ""


def at(shape: Any, path: str) -> Any:
    """The shape that a path leads to; KeyError when it leads nowhere."""
    for step in path.split("."):
        if step != "*":
            shape = shape.members[step]
        elif shape.type_name == "map":
            shape = shape.value
        else:
            shape = shape.member
    return shape


@pytest.mark.parametrize(("service", "operation"), served())
def test_every_served_operation_has_an_entry(service: str, operation: str) -> None:
    """Whatever is served says what it takes to be allowed."""
    assert operation in ACTIONS[service]


@pytest.mark.parametrize(("service", "operation", "entry"), ENTRIES)
def test_every_entry_is_an_operation(service: str, operation: str, entry: Entry) -> None:
    """An entry is of an operation in the model, and its templates name members of that operation's input."""
    model = models.service(service).model.operation_model(operation)
    for path, reader in members(entry):
        assert path in OWN or at(model.input_shape, path) is not None
        assert reader in ("", *READERS)


def test_roles_are_never_handed_over_without_a_permission() -> None:
    """Every served operation that takes the ARN of a role to be assumed by a service requires iam:PassRole on it."""
    takers = {
        (service, name): path
        for service, name in served()
        if service not in ("iam", "sts")
        for path in role_members(models.service(service).model.operation_model(name).input_shape)
    }
    passing = {(service, name): entry.also[0].when for service, name, entry in ENTRIES if entry.also}
    assert takers == {place: passing.get(place) for place in takers}


def role_members(shape: Any, path: str = "", depth: int = 0) -> Iterator[str]:
    """Where an input has members that are named after a role."""
    if shape is None or depth > 4:
        return
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if name in ("Role", "RoleArn", "roleArn") and not path.startswith(UNUSED):
                yield f"{path}{name}"
            else:
                yield from role_members(member, f"{path}{name}.", depth + 1)
    elif shape.type_name in ("list", "map"):
        inner = shape.member if shape.type_name == "list" else shape.value
        yield from role_members(inner, f"{path}*.", depth + 1)


UNUSED = ("metricsExportConfig", "Targets.*.HttpParameters")
"""What is kept, or refused, and never assumed."""
