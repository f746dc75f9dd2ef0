"""The constraints of a service model, each in AWS's words."""

from __future__ import annotations

import time
from typing import Any

import pytest
import regex
from botocore.model import OperationModel, ServiceModel

from fleetward import errors
from fleetward.api import models
from fleetward.api.validate import MAX_BREACHES, breaches, require, validate

SHAPES = {
    "Input": {
        "type": "structure",
        "required": ["Name"],
        "members": {
            "Name": {"shape": "Name"},
            "Secret": {"shape": "Secret"},
            "Colour": {"shape": "Colour"},
            "Count": {"shape": "Count"},
            "Size": {"shape": "Size"},
            "Data": {"shape": "Data"},
            "Parts": {"shape": "Parts"},
            "Tags": {"shape": "Tags"},
            "Slow": {"shape": "Slow"},
        },
    },
    "Name": {"type": "string", "min": 2, "max": 4, "pattern": "[a-z]+"},
    "Secret": {"type": "string", "max": 3, "sensitive": True},
    "Colour": {"type": "string", "enum": ["RED", "BLUE"]},
    "Count": {"type": "integer", "min": 1, "max": 10},
    "Size": {"type": "double", "min": 0},
    "Data": {"type": "blob", "max": 2},
    "Part": {"type": "structure", "required": ["Id"], "members": {"Id": {"shape": "Name"}}},
    "Parts": {"type": "list", "member": {"shape": "Part"}, "min": 1, "max": 12},
    "Tags": {"type": "map", "key": {"shape": "Name"}, "value": {"shape": "Colour"}, "max": 2},
    "Slow": {"type": "string", "pattern": "(.*a){25}b"},
}


@pytest.fixture(scope="module")
def operation() -> OperationModel:
    model = {
        "metadata": {"protocol": "json", "apiVersion": "1", "serviceId": "T"},
        "operations": {"Do": {"name": "Do", "http": {}, "input": {"shape": "Input"}}},
        "shapes": SHAPES,
    }
    return ServiceModel(model, "test").operation_model("Do")


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ({"Name": "a"}, "Value 'a' at 'name' failed to satisfy constraint: Member must have length greater than"),
        ({"Name": "abcde"}, "Member must have length less than or equal to 4"),
        ({"Name": "ab\n"}, "Member must satisfy regular expression pattern: [a-z]+"),
        ({"Secret": "hush"}, "Value '***' at 'secret' failed"),
        ({"Colour": "GREEN"}, "Value 'GREEN' at 'colour' failed"),
        ({"Colour": "red"}, "Member must satisfy enum value set: [RED, BLUE]"),
        ({"Count": 0}, "Value '0' at 'count' failed to satisfy constraint: Member must have value greater than"),
        ({"Count": 2**70}, "Member must have value less than or equal to 10"),
        ({"Size": -0.5}, "Member must have value greater than or equal to 0"),
        ({"Size": float("nan")}, "Member must have value greater than or equal to 0"),
        ({"Data": b"abc"}, "Value '(3 bytes)' at 'data' failed"),
        ({"Parts": []}, "Value '(0 elements)' at 'parts' failed"),
        ({"Parts": [{"Id": "ab"}, {}]}, "Value null at 'parts.2.member.id' failed to satisfy constraint: "),
        ({"Tags": {"AB": "RED"}}, "at 'tags.key' failed"),
        ({"Tags": {"ab": "x"}}, "Value 'x' at 'tags.ab.member' failed"),
    ],
)
def test_a_breach_is_told_in_awss_words(operation: OperationModel, extra: dict[str, Any], told: str) -> None:
    """Each constraint of the model is enforced; the text names value, path and constraint, and never a secret."""
    with pytest.raises(errors.Validation, match=r"^1 validation error detected: ") as found:
        validate(operation, {"Name": "ab", **extra})
    assert told in found.value.message


def test_what_keeps_the_constraints_passes(operation: OperationModel) -> None:
    """Values at the very edge of their constraints pass."""
    params = {"Name": "ab", "Secret": "abc", "Colour": "RED", "Count": 10, "Size": 0.0, "Data": b"ab"}
    validate(operation, {**params, "Parts": [{"Id": "abcd"}] * 12, "Tags": {"ab": "RED", "cd": "BLUE"}})


def test_several_breaches_are_told_at_once_but_not_without_end(operation: OperationModel) -> None:
    """All breaches are told together, up to a bound."""
    params = {"Parts": [{"Id": "A"}] * 12}
    assert len(breaches(operation, params)) == MAX_BREACHES
    with pytest.raises(errors.Validation, match=r"^10 validation errors detected: Value null at 'name' .*; "):
        validate(operation, params)


def test_a_slow_pattern_gives_up(operation: OperationModel) -> None:
    """A value on which a pattern would take for ever does not match, and is refused in well under a second."""
    started = time.perf_counter()
    with pytest.raises(errors.Validation, match="slow"):
        validate(operation, {"Name": "ab", "Slow": "a" * 40})
    assert time.perf_counter() - started < 2


def test_require_looks_for_missing_parameters_only(operation: OperationModel) -> None:
    """For operations that report breaches themselves, only a missing parameter is refused beforehand."""
    require(operation, {"Name": "!"})
    with pytest.raises(errors.Validation, match="'name'"):
        require(operation, {})


def test_a_new_runtime_is_no_breach() -> None:
    """Lambda's list of runtimes grows with time; any name reaches the operation."""
    operation = models.service("lambda").model.operation_model("UpdateFunctionConfiguration")
    validate(operation, {"FunctionName": "f", "Runtime": "python3.99"})


def test_every_pattern_of_every_service_compiles() -> None:
    """The server can enforce each pattern that a model has."""
    for name in set(models.SIGNING_NAMES.values()):
        model = models.service(name).model
        for shape in map(model.shape_for, model.shape_names):
            if pattern := shape.metadata.get("pattern"):
                regex.compile(pattern)
