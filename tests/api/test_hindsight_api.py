"""Lint and back-test through the API and as the command line prints them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.config import Config
from botocore.session import get_session
from registry_house import RegistryHouse, refusal

from fleetward.api import models
from fleetward.commands import hindsight
from fleetward.detect.outcome import MetricRows, WindowRows
from fleetward.store.history import History

SIZE = "aws:message-byte-size"
NAMES = ("SensorDevice01", "SensorDevice02")
PROFILE = {
    "securityProfileName": "DetectLargeMessageSize",
    "behaviors": [
        {
            "name": "Size",
            "metric": SIZE,
            "criteria": {
                "comparisonOperator": "less-than-equals",
                "statisticalThreshold": {"statistic": "p50"},
                "durationSeconds": 300,
                "consecutiveDatapointsToClear": 2,
            },
        }
    ],
    "alertTargets": {"SNS": {"alertTargetArn": "arn:aws:sns:us-east-1:123456789012:BadIoTDevices"}},
    "tags": [{"Key": "statistical-margin-percent", "Value": "10"}],
}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RegistryHouse]:
    made = RegistryHouse(tmp_path)
    made.house.rooms.history = history = History.open(tmp_path / "history.duckdb")
    for name in NAMES:
        made.iot.create_thing(thingName=name)
    yield made
    made.close()
    history.close()


@pytest.fixture
def fleetward(registry: RegistryHouse) -> Any:
    core = get_session()
    core.get_component("data_loader").search_paths.append(str(models.FOLDER))
    session = boto3.Session(registry.house.root.id, registry.house.root.secret, botocore_session=core)
    config = Config(retries={"max_attempts": 1}, proxies={})
    endpoint = registry.iot.meta.endpoint_url
    return session.client("fleetward", region_name="us-east-1", endpoint_url=endpoint, config=config)


def fill(registry: RegistryHouse) -> int:
    """An hour of the story: from its middle on, SensorDevice02 sends 3,000 characters. Returns when that began."""
    now = registry.house.now()
    first = now - now % 300_000 - 12 * 300_000
    for number in range(12):
        sums = np.array([780, 90_630 if number >= 6 else 780])
        rows = MetricRows(np.array([True, True]), np.array([30, 30]), sums, sums // 30, sums // 30)
        registry.house.rooms.history.append(WindowRows(first + number * 300_000, 300, NAMES, {SIZE: rows}))
    return first + 6 * 300_000


def test_the_story_in_hindsight(registry: RegistryHouse, fleetward: Any) -> None:
    """The answer names SensorDevice02 alone, when it would have been isolated, and why."""
    began = fill(registry)
    answer = fleetward.backtest_security_profile(profile=json.dumps(PROFILE))
    assert (answer["deviceCount"], answer["eventCount"], answer["exitCode"], answer["leftOut"]) == (1, 1, 1, [])
    (device,) = answer["devices"]
    assert (device["thingName"], device["behaviorName"], device["alarms"]) == ("SensorDevice02", "Size", 1)
    assert device["isolatedTime"] == device["firstAlarmTime"]
    assert device["firstAlarmTime"].timestamp() * 1000 == began + 300_000
    assert "90,630" in device["verdict"]
    lines = hindsight.backtest_lines(answer)
    assert "1 device would have alarmed and been isolated." in lines[0]
    assert "of which the history begins at" in lines[0]
    (event,) = answer["events"]
    assert (event["thingName"], event["type"], event["verdict"]) == ("SensorDevice02", "in-alarm", device["verdict"])
    assert lines[2].startswith("SensorDevice02")


def test_nobody_acts_nobody_isolates(registry: RegistryHouse, fleetward: Any) -> None:
    """Without alert targets or automatic actions nobody would have been cut off; a target narrows who is judged."""
    fill(registry)
    quiet = {key: value for key, value in PROFILE.items() if key != "alertTargets"}
    (device,) = fleetward.backtest_security_profile(profile=json.dumps(quiet))["devices"]
    assert "isolatedTime" not in device
    lines = hindsight.backtest_lines(fleetward.backtest_security_profile(profile=json.dumps(quiet)))
    assert "nobody been isolated: the profile has no alert target" in lines[0]
    nobody = registry.arn("all", "unregistered-things")
    answer = fleetward.backtest_security_profile(profile=json.dumps(PROFILE), targetArns=[nobody])
    assert (answer["devices"], answer["exitCode"]) == ([], 0)


def test_a_start_after_the_fact(registry: RegistryHouse, fleetward: Any) -> None:
    """Only what is asked for is replayed; where there is no history, the answer says so."""
    fill(registry)
    later = datetime.now(UTC) + timedelta(hours=1)
    answer = fleetward.backtest_security_profile(profile=json.dumps(PROFILE), startTime=later)
    assert (answer["devices"], answer["exitCode"]) == ([], 2)
    assert "no value" in answer["leftOut"][0]["reason"]
    assert any(line.startswith("Not replayed: Size") for line in hindsight.backtest_lines(answer))


def test_lint(registry: RegistryHouse, fleetward: Any) -> None:
    """Lint counts the things, and warns where a percentile has no margin."""
    strict = {key: value for key, value in PROFILE.items() if key != "tags"}
    answer = fleetward.lint_security_profile(profile=json.dumps(strict))
    assert answer["population"] == 2
    assert ("warning", "flags-healthy-devices") in {(one["level"], one["code"]) for one in answer["advice"]}
    assert hindsight.lint_exit_code(answer) == 1
    assert any(line.startswith("warning: Size: ") for line in hindsight.lint_lines(answer))
    with_margin = fleetward.lint_security_profile(profile=json.dumps(PROFILE))
    assert hindsight.lint_exit_code(with_margin) == 0
    assert hindsight.lint_lines({"population": 2, "advice": []}) == ["Nothing to say about it, for 2 things."]


@pytest.mark.parametrize("profile", ['{"', "[]", '{"behaviors": [{}]}', '{"tags": 1}', '{"behaviors": 1}'])
def test_what_is_no_profile(fleetward: Any, profile: str) -> None:
    """Anything but the input of CreateSecurityProfile is refused in words."""
    for call in (fleetward.lint_security_profile, fleetward.backtest_security_profile):
        code, status, message = refusal(call, profile=profile)
        assert (code, status) == ("ValidationException", 400)
        assert "profile" in message


def test_since() -> None:
    """A period is a number and a unit."""
    now = datetime(2026, 11, 24, tzinfo=UTC)
    assert [now - hindsight.since(text, now) for text in ("90m", "36h", "14d")] == [
        timedelta(minutes=90),
        timedelta(hours=36),
        timedelta(days=14),
    ]
    for text in ("", "14", "d", "-1d", "1w", "1.5d"):
        with pytest.raises(ValueError, match="minutes, hours or days"):
            hindsight.since(text, now)
