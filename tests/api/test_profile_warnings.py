"""Lint's warnings in the response's header: safe to send, bounded, and never in the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from registry_house import RegistryHouse

from fleetward.api import profile_warnings
from fleetward.api.profile_warnings import HEADER, MAX_LENGTH, MAX_WARNINGS, header_value
from fleetward.detect.lint import Advice, Level

BEHAVIOR = {
    "name": "b",
    "metric": "aws:message-byte-size",
    "criteria": {
        "comparisonOperator": "less-than-equals",
        "statisticalThreshold": {"statistic": "p50"},
        "durationSeconds": 300,
    },
}
WARNINGS = st.builds(Advice, st.just(Level.WARNING), st.just("a-code"), st.text(max_size=150), st.text(max_size=500))


@given(st.lists(WARNINGS, min_size=1, max_size=100))
def test_the_header_is_safe_and_bounded(warnings: list[Advice]) -> None:
    """Whatever the texts hold, the header is one line of printable ASCII of bounded length that keeps every code."""
    value = header_value(warnings)
    assert value.isascii()
    assert value.isprintable()
    assert len(value) <= (MAX_WARNINGS + 1) * (MAX_LENGTH + 3)
    assert value.count("[a-code]") >= min(len(warnings), MAX_WARNINGS)
    assert (f"{len(warnings) - MAX_WARNINGS} more" in value) == (len(warnings) > MAX_WARNINGS)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RegistryHouse]:
    made = RegistryHouse(tmp_path)
    yield made
    made.close()


def header_of(answer: Any) -> str:
    return str(answer["ResponseMetadata"]["HTTPHeaders"].get(HEADER, ""))


def test_the_population_is_what_the_profile_covers(registry: RegistryHouse) -> None:
    """Before it is attached a profile is judged for all things, then for those in its targets."""
    iot = registry.iot
    iot.create_thing_group(thingGroupName="g")
    for number in range(4):
        iot.create_thing(thingName=f"t{number}")
        if number < 2:
            iot.add_thing_to_thing_group(thingGroupName="g", thingName=f"t{number}")
    made = iot.create_security_profile(securityProfileName="P", behaviors=[BEHAVIOR])
    assert "Of 4 healthy devices" in header_of(made)
    attached = iot.attach_security_profile(
        securityProfileName="P", securityProfileTargetArn=registry.arn("thinggroup", "g")
    )
    assert "Of 2 healthy devices" in header_of(attached)
    margin = [{"Key": "statistical-margin-percent", "Value": "10"}]
    assert not header_of(iot.create_security_profile(securityProfileName="Q", behaviors=[BEHAVIOR], tags=margin))


def test_an_error_of_lint_changes_nothing(registry: RegistryHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """When lint itself fails, the profile is made all the same, and the answer has no warning."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(profile_warnings, "lint", broken)
    made = registry.iot.create_security_profile(securityProfileName="P", behaviors=[BEHAVIOR])
    assert not header_of(made)
    assert registry.iot.describe_security_profile(securityProfileName="P")["version"] == 1
