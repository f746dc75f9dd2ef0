"""`fleetward lint` and `fleetward backtest` about a server that has watched a fleet for an hour."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from command_line import command
from fleetward.cli import cli
from fleetward.detect.outcome import MetricRows, WindowRows
from fleetward.store.history import History
from running_server import RunningServer

SIZE, SENT = "aws:message-byte-size", "aws:num-messages-sent"
FLEET = tuple(f"Sensor{number:02}" for number in range(1, 31))
BAD = "Sensor30"
FAILURES = "aws:num-authorization-failures"
MARGIN = [{"Key": "statistical-margin-percent", "Value": "10"}]
WINDOW = 300_000
WINDOWS, HEALTHY_WINDOWS = 12, 6


def an_hour(history: History) -> int:
    """The last hour of 30 sensors, one of which sends 3,000 characters from its middle on. Returns when it began to."""
    now = time.time_ns() // 1_000_000
    first = now - now % WINDOW - WINDOWS * WINDOW
    for number in range(WINDOWS):
        sizes = 26 + np.arange(len(FLEET)) % 3
        sizes[-1] = 3_021 if number >= HEALTHY_WINDOWS else 26
        there, counts = np.ones(len(FLEET), dtype=bool), np.full(len(FLEET), 30)
        sent = MetricRows(there, counts, counts, counts // counts, counts // counts)
        rows = {SIZE: MetricRows(there, counts, sizes * 30, sizes, sizes), SENT: sent}
        history.append(WindowRows(first + number * WINDOW, 300, FLEET, rows))
    return first + HEALTHY_WINDOWS * WINDOW


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    made = RunningServer(tmp_path_factory.mktemp("seasoned"))
    for name in FLEET:
        made.client("iot").create_thing(thingName=name)
    made.stop()
    history = History.open(made.data_dir / "history.duckdb")
    an_hour(history)
    history.close()
    made.start()
    yield made
    made.close()
    assert "Traceback" not in made.log.read_text()


def profile(folder: Path, *behaviors: dict[str, Any], **members: Any) -> str:
    """A file with a profile; its alerts go to a topic, so that somebody acts on them."""
    target = {"SNS": {"alertTargetArn": "arn:aws:sns:us-east-1:123456789012:t", "roleArn": "arn:aws:iam::1:role/r"}}
    document = {"securityProfileName": "P", "behaviors": behaviors, "alertTargets": target} | members
    file = folder / "profile.json"
    file.write_text(json.dumps(document))
    return str(file)


def behavior(
    metric: str = SIZE, operator: str = "less-than-equals", count: int | None = None, seconds: int = 300
) -> dict[str, Any]:
    """One on p50 unless a `count` is given."""
    bound = {"statisticalThreshold": {"statistic": "p50"}} if count is None else {"value": {"count": count}}
    criteria = {"comparisonOperator": operator, "durationSeconds": seconds, **bound}
    return {"name": "b", "metric": metric, "criteria": criteria}


PROFILES: dict[str, tuple[dict[str, Any], dict[str, Any], int, str, int]] = {
    "a bare percentile": (behavior(), {}, 1, "warning: b: Of 30 healthy devices, less-than-equals p50 flags 50.0%", 1),
    "with a margin": (behavior(), {"tags": MARGIN}, 0, "within which none is flagged", 1),
    "read inverted": (behavior(operator="greater-than"), {}, 1, "alarms on the devices with the SMALL values", 1),
    "out of reach": (behavior(count=5000), {}, 0, "The bound 5000 was never reached: 26 to 3021 in 360 datapoints", 0),
    "often reached": (behavior(count=25), {}, 1, "100.0% of the datapoints in history violate this", 1),
    "without history": (behavior(FAILURES, count=5), {}, 0, "Nothing to say about it, for 30 things.", 2),
    "not for AWS": (behavior(FAILURES, count=5, seconds=10), {}, 0, "durationSeconds 10 is not portable to AWS", 2),
}
"""What a profile is like: its behaviour and members, what lint says and its exit code, the back-test's exit code."""


@pytest.mark.parametrize("name", PROFILES)
def test_exit_codes(server: RunningServer, tmp_path: Path, name: str) -> None:
    """Lint exits with 1 when it warns; the back-test with 0 for nobody, 1 for somebody, 2 for what it cannot tell."""
    one, members, lint_code, text, backtest_code = PROFILES[name]
    file = profile(tmp_path, one, **members)
    linted = command(server, "lint", file)
    assert (linted.exit_code, text in linted.stdout) == (lint_code, True), linted.stdout
    assert command(server, "backtest", file, "--since", "2h").exit_code == backtest_code


def test_the_table(server: RunningServer, tmp_path: Path) -> None:
    """The back-test tells who would have alarmed and been isolated, when, and why; and how far back it could look."""
    file = profile(tmp_path, behavior(), tags=MARGIN)
    told = command(server, "backtest", file, "--since", "2h")
    summary, heads, row = told.stdout.splitlines()
    assert ", of which the history begins at " in summary
    assert summary.endswith(": 1 device would have alarmed and been isolated.")
    assert heads.split() == ["DEVICE", "FIRST", "ALARM", "ISOLATED", "ALARMS", "WHY"]
    assert row.startswith(BAD)
    assert row.endswith("b: 90,630 B against the p50 of 29 other devices = 810 B, margin 10 %")
    assert "begins" not in command(server, "backtest", file, "--since", "20m").stdout


def test_the_same_as_json(server: RunningServer, tmp_path: Path) -> None:
    """`--json` gives the whole answer, with every event."""
    told = command(server, "backtest", profile(tmp_path, behavior()), "--since", "2h", "--json")
    answer = json.loads(told.stdout)
    healthy = {name for number, name in enumerate(FLEET[:-1]) if number % 3 == 2}
    assert {device["thingName"] for device in answer["devices"]} == healthy | {BAD}
    assert (answer["deviceCount"], answer["isolatedCount"], answer["exitCode"]) == (10, 10, told.exit_code)
    assert {event["type"] for event in answer["events"]} == {"in-alarm"}
    bad = next(event for event in answer["events"] if event["thingName"] == BAD)
    assert bad["verdict"] == "90,630 B against the p50 of 29 other devices = 810 B"


def test_nobody_acts(server: RunningServer, tmp_path: Path) -> None:
    """Without alert targets nobody would have been isolated, and the summary says why."""
    told = command(server, "backtest", profile(tmp_path, behavior(), alertTargets={}), "--since", "2h")
    assert "10 devices would have alarmed, and nobody been isolated: the profile has no alert target" in told.stdout


@pytest.mark.parametrize("text", ["", "{]", "[]", '{"behaviors": [{"name": "b"}]}'])
def test_what_is_no_profile(server: RunningServer, tmp_path: Path, text: str) -> None:
    """A file that holds no profile is one line and exit code 2, so that a script does not take it for an alarm."""
    file = tmp_path / "profile.json"
    file.write_text(text)
    for name in ("lint", "backtest"):
        refused = command(server, name, str(file))
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "profile" in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_no_server(tmp_path: Path, server: RunningServer) -> None:
    """Without a server on the folder both say so and exit with 2."""
    for name in ("lint", "backtest"):
        lost = CliRunner().invoke(cli, [name, profile(tmp_path, behavior()), "--data-dir", str(tmp_path)])
        assert (lost.exit_code, "no server runs" in lost.stderr) == (2, True)


def test_warnings_come_with_the_profile(server: RunningServer) -> None:
    """Creating, changing or attaching a profile succeeds and tells its warnings in a header and in the log."""
    iot, target = server.client("iot"), f"arn:aws:iot:{server.place}:all/things"
    made = iot.create_security_profile(securityProfileName="Inverted", behaviors=[behavior(operator="greater-than")])
    warning = made["ResponseMetadata"]["HTTPHeaders"]["x-fleetward-warning"]
    assert warning.startswith("b: greater-than p50 says what is normal")
    assert " [operator-reads-inverted] | b: Of 30 healthy devices" in warning
    attached = iot.attach_security_profile(securityProfileName="Inverted", securityProfileTargetArn=target)
    assert attached["ResponseMetadata"]["HTTPHeaders"]["x-fleetward-warning"] == warning
    changed = iot.update_security_profile(securityProfileName="Inverted", behaviors=[behavior(count=5000)])
    assert "x-fleetward-warning" not in changed["ResponseMetadata"]["HTTPHeaders"]
    log = server.log.read_text()
    assert log.count("profile_warning ") == 4
    assert "code=operator-reads-inverted" in log
    iot.delete_security_profile(securityProfileName="Inverted")
