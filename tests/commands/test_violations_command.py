"""`fleetward violations` about a real incident: a device sends too much, is alarmed, told of and isolated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command_line import command
from devices import Device
from fleetward.simulate import provision
from fleetward.simulate.provision import ISOLATE_FUNCTION, SENSORS, TOPIC
from running_server import RunningServer, until

GOOD, BAD = SENSORS
EMAIL = "security@example.com"
BEHAVIOR = {
    "name": "Huge",
    "metric": "aws:message-byte-size",
    "criteria": {"comparisonOperator": "less-than", "value": {"count": 1000}, "durationSeconds": 300},
}


def incident(server: RunningServer, folder: Path) -> None:
    """The story's stage with a static bound, which is decided at once; SensorDevice02 crosses it."""
    client = server.client
    keys = provision.devices(client, server.place)
    provision.isolation(client)
    topic = provision.alerting(client, EMAIL)
    until(lambda: provision.confirm_email(client, EMAIL), 10, "the confirmation mail")
    role = provision.alert_role(client, "alerts", topic)
    target = {"SNS": {"alertTargetArn": topic, "roleArn": role}}
    client("iot").create_security_profile(securityProfileName="P", behaviors=[BEHAVIOR], alertTargets=target)
    everything = f"arn:aws:iot:{server.place}:all/things"
    client("iot").attach_security_profile(securityProfileName="P", securityProfileTargetArn=everything)
    bad = Device(BAD, keys, server.broker, folder)
    assert bad.connect() == "Success"
    bad.publish(provision.topic_of(BAD), "x" * 3000)
    assert bad.gone.wait(15), "SensorDevice02 was not cut off"
    bad.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("incident")
    made = RunningServer(folder)
    incident(made, folder)
    until(lambda: "succeeded" in json.dumps(described(made)), 10, "the function's end")
    yield made
    made.close()
    assert "Traceback" not in made.log.read_text()


def described(server: RunningServer, *how: str) -> Any:
    return json.loads(command(server, "violations", "show", the_id(server, *how), "--json").stdout)


def the_id(server: RunningServer, *how: str) -> str:
    (line,) = command(server, "violations", *how, "--json").stdout.splitlines()
    return str(json.loads(line)["violationId"])


def test_the_list(server: RunningServer) -> None:
    """The list tells who violates what and why, with an id that can be pasted; filters narrow it."""
    told = command(server, "violations")
    assert told.exit_code == 0
    first, second = told.stdout.splitlines()
    assert first.endswith(f"{BAD} (in alarm, isolated)  {the_id(server)}")
    assert second == "    P/Huge: 3,021 B in a single message against the bound of 1,000 B"
    for found in ([BAD], ["--thing", BAD], ["--profile", "P"], ["--since", "1h"], ["--all"], ["list"]):
        assert command(server, "violations", *found).stdout == told.stdout
    for empty in ([GOOD], ["--profile", "Q"], ["--ended"]):
        nothing = command(server, "violations", *empty)
        assert (nothing.exit_code, nothing.stdout[:12]) == (0, "No violation")


def test_show_tells_the_whole_story(server: RunningServer) -> None:
    """One command tells why, to whom it was told, which function ran and what that did, in the order of time."""
    told = command(server, "violations", "show", the_id(server)[:6])
    assert told.exit_code == 0
    for expected in (
        f"Violation {the_id(server)}",
        f"{BAD}: in alarm, isolated",
        "Alarms when:   Message size of a single message is at least 1,000 B",
        "Value:         3,021 B",
        "Threshold:     1,000 B",
        "1 violating datapoint in a row, alarms after 1, clears after 1 normal",
        "decided as soon as the bound was crossed",
        f"Verification:  {json.loads(command(server, 'violations', '--json').stdout)['verificationState']}",
        "  temperature-device-02: 3,021 B in 1 message",
    ):
        assert expected in told.stdout
    history = told.stdout.partition("What happened:")[2]
    steps = ("in-alarm", f"alert by email to {EMAIL} delivered", "handed over", "IsolatedDevices by assumed-role")
    assert all(step in history for step in steps)
    assert f"function {ISOLATE_FUNCTION} succeeded, request " in history
    assert history.index("in-alarm") < history.index("handed over") < history.index("IsolatedDevices")


def test_show_as_json(server: RunningServer) -> None:
    """The same as one JSON object, for scripts."""
    told = described(server)
    (event,) = told["events"]
    runs = [delivery["run"] for delivery in event["deliveries"] if "run" in delivery]
    assert [delivery["protocol"] for delivery in event["deliveries"]] == ["email", "lambda"]
    assert [(run["functionName"], run["status"]) for run in runs] == [(ISOLATE_FUNCTION, "succeeded")]
    assert told["behavior"]["name"] == "Huge"
    assert (told["lastViolationValue"], event["value"]) == ({"count": 3021}, {"count": 3021})
    assert told["violation"]["explanation"]["threshold"] == 1000
    assert told["alertTargetArns"] == [f"arn:aws:sns:{server.place}:{TOPIC}"]
    mail = server.client("fleetward").list_outbox()["mails"][0]
    assert event["messageId"] in mail["body"] or told["violation"]["violationId"] in mail["body"]


def test_ids_that_are_none(server: RunningServer) -> None:
    """An unknown id is one line that names the nearest one, or how to find it, and exit code 1."""
    known = the_id(server)
    wrong = known[:-1] + ("0" if known[-1] != "0" else "1")
    for asked, hint in (
        (wrong, f"Did you mean {known}?"),
        (BAD, f"`fleetward violations {BAD}`"),
        ("zzz", "not found"),
    ):
        refused = command(server, "violations", "show", asked)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert hint in refused.stderr


def test_what_cannot_be_asked(server: RunningServer) -> None:
    """A period that is none is refused in words."""
    refused = command(server, "violations", "--since", "yesterday")
    assert refused.exit_code == 2
    assert "minutes, hours or days" in refused.stderr


def test_ended_violations_are_told(server: RunningServer) -> None:
    """After its release a violation is found among the ended ones and tells why it ended; runs last in this file."""
    open_before = the_id(server)
    server.client("iot").put_verification_state_on_violation(
        violationId=open_before, verificationState="TRUE_POSITIVE", verificationStateDescription="seen on site"
    )
    assert command(server, "release", BAD, "--reason", "repaired").exit_code == 0
    until(lambda: "in alarm" not in command(server, "violations").stdout, 10, "the end of the violation")
    assert the_id(server, "--ended") == open_before
    assert "released from isolation" in command(server, "violations", "--ended").stdout
    told = command(server, "violations", "show", open_before).stdout
    for expected in (
        f"{BAD}: ended without being cleared",
        "Ended:         The device was released from isolation.",
        "Verification:  TRUE_POSITIVE (seen on site)",
        "taken out of thing group IsolatedDevices by root, fleetward:ReleaseThing: repaired",
        "no alert: a release is not told",
    ):
        assert expected in told
    assert [event["type"] for event in described(server, "--ended")["events"]] == ["in-alarm", "alarm-invalidated"]
