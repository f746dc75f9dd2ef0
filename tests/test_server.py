"""The running server as its operator meets it: files, commands, restarts."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import boto3
import httpx
import pytest

from running_server import RunningServer, until


def command(server: RunningServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "fleetward", *arguments, "--data-dir", str(server.data_dir)]
    return subprocess.run(line, capture_output=True, text=True, timeout=60)


def test_files_are_private(server: RunningServer) -> None:
    """Everything in the data folder is readable by its owner alone."""
    open_to_others = [path for path in server.data_dir.rglob("*") if path.stat().st_mode & 0o077]
    assert server.data_dir.stat().st_mode & 0o077 == 0
    assert not open_to_others


def test_env_points_boto3_at_the_server(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the exports of `fleetward env` a plain boto3 client talks to this server."""
    for line in command(server, "env").stdout.splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        monkeypatch.setenv(name, value.strip("'"))
    assert boto3.client("sts").get_caller_identity()["Account"] == "123456789012"
    assert Path(os.environ["FLEETWARD_CA_FILE"]).read_text().startswith("-----BEGIN CERTIFICATE")


def test_health_and_metrics_need_no_key(server: RunningServer) -> None:
    """/health and /metrics answer without a signature, everything else asks for one."""
    assert httpx.get(f"{server.info.endpoint_url}/health").json() == {"status": "ok"}
    assert "fleetward_api_requests" in httpx.get(f"{server.info.endpoint_url}/metrics").text
    assert httpx.get(f"{server.info.endpoint_url}/things").status_code == 403


def test_quarantine_and_release_by_command(server: RunningServer) -> None:
    """A thing is isolated and set free by one command each; what cannot be done is one line and exit code 1."""
    server.client("iot").create_thing(thingName="lamp")
    assert "IsolatedDevices" in command(server, "quarantine", "lamp").stdout
    assert server.client("iot").list_things_in_thing_group(thingGroupName="IsolatedDevices")["things"] == ["lamp"]
    assert "is free" in command(server, "release", "lamp").stdout
    again = command(server, "release", "lamp")
    assert again.returncode == 1
    assert "no thing group that denies" in again.stderr
    assert "Did you mean lamp" in command(server, "quarantine", "lampp").stderr


def test_one_server_a_folder(server: RunningServer) -> None:
    """A second server on the same folder is refused, and the first one is not disturbed."""
    second = command(server, "serve", "--api-port", "0", "--mqtt-port", "0")
    assert second.returncode == 1
    assert "another Fleetward server runs" in second.stdout
    assert command(server, "env").returncode == 0


def test_stop_and_start(server: RunningServer) -> None:
    """SIGTERM stops the server within 5 s, and what was there is there after the next start, the key included."""
    server.client("iot").create_thing(thingName="lamp")
    key = server.info.access_key_id
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 5
    assert command(server, "env").returncode == 1
    server.start()
    assert server.info.access_key_id == key
    assert server.client("iot").describe_thing(thingName="lamp")["thingName"] == "lamp"


def test_a_crashed_server_is_no_server(server: RunningServer) -> None:
    """After kill -9 the commands say that no server runs, rather than where one was."""
    server.kill()
    done = command(server, "env")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no server runs" in done.stderr


def test_root_key_of_the_operator(make_server: Callable[..., RunningServer]) -> None:
    """A root key given by the operator, of any length, is the one that signs."""
    server = make_server(FLEETWARD_ROOT_ACCESS_KEY_ID="test", FLEETWARD_ROOT_SECRET_ACCESS_KEY="test")
    assert server.info.access_key_id == "test"
    assert server.client("sts").get_caller_identity()["Arn"].endswith(":root")


def test_schedules_survive_a_kill(server: RunningServer) -> None:
    """A schedule goes on after kill -9 without anybody doing anything."""
    from fleetward.simulate import provision

    role = provision.role(server.client, "r", "lambda.amazonaws.com")
    code = provision.zip_of({"tick.py": "def handler(event, context):\n    print('tick', event['time'])\n"})
    made = server.client("lambda").create_function(
        FunctionName="tick", Runtime="python3.11", Role=role, Handler="tick.handler", Code={"ZipFile": code}
    )
    rule = server.client("events").put_rule(Name="tick", ScheduleExpression="rate(1 second)")
    provision.permit(server.client, "tick", "events.amazonaws.com", rule["RuleArn"])
    server.client("events").put_targets(Rule="tick", Targets=[{"Id": "1", "Arn": made["FunctionArn"]}])

    def ticks(since: float) -> int:
        logs = server.client("logs")
        try:
            found = logs.filter_log_events(
                logGroupName="/aws/lambda/tick", startTime=int(since * 1000), filterPattern="tick"
            )
        except logs.exceptions.ResourceNotFoundException:
            return 0
        return len(found["events"])

    until(lambda: ticks(0) >= 2, 15, "two ticks")
    server.kill()
    server.start()
    restarted = time.time()
    until(lambda: ticks(restarted) >= 2, 15, "two more ticks")


def test_https_with_the_own_authority(
    make_server: Callable[..., RunningServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With api_tls the port speaks HTTPS under the own CA, which `fleetward env` and functions get to know."""
    from fleetward.simulate import provision

    server = make_server(FLEETWARD_API_TLS="true")
    assert server.info.endpoint_url.startswith("https://")
    exports = command(server, "env").stdout
    assert f"AWS_CA_BUNDLE={server.info.ca_file}" in exports
    context = ssl.create_default_context(cafile=server.info.ca_file)
    assert httpx.get(f"{server.info.endpoint_url}/health", verify=context).is_success
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.info.endpoint_url}/health")

    source = (
        "import boto3\ndef handler(event, context):\n    return boto3.client('sts').get_caller_identity()['Account']\n"
    )
    server.client("lambda").create_function(
        FunctionName="who",
        Runtime="python3.11",
        Role=provision.role(server.client, "r", "lambda.amazonaws.com"),
        Handler="who.handler",
        Code={"ZipFile": provision.zip_of({"who.py": source})},
        Timeout=30,
    )
    answer = server.client("lambda").invoke(FunctionName="who")
    assert answer["Payload"].read() == b'"123456789012"'


def test_trail(server: RunningServer) -> None:
    """`fleetward trail` tells who changed what and why, as lines and as JSON."""
    server.client("iot").create_thing(thingName="lamp")
    command(server, "quarantine", "lamp", "--reason", "it flickers")
    told = command(server, "trail", "lamp").stdout
    assert "made     thing lamp  by root from 127.0.0.1, iot:CreateThing" in told
    assert "thing group member IsolatedDevices/lamp" in told
    assert "(it flickers)" in told
    newest = json.loads(command(server, "trail", "lamp", "--json").stdout.splitlines()[-1])
    assert (newest["operation"], newest["reason"]) == ("fleetward:QuarantineThing", "it flickers")
    assert command(server, "trail", "desk").stdout == "Nothing about desk was changed.\n"


def test_reset(make_server: Callable[..., RunningServer]) -> None:
    """`--allow-reset` empties everything on one unsigned POST but key, ports and authority; else there is none."""
    server = make_server(FLEETWARD_ALLOW_RESET="true")
    reset = f"{server.info.endpoint_url}/fleetward/reset"
    for _ in range(2):
        server.client("iot").create_thing(thingName="lamp")
        server.client("sns").create_topic(Name="t")
        assert httpx.post(reset, timeout=30).status_code == 200
        assert server.client("iot").list_things()["things"] == []
        assert server.client("sns").list_topics()["Topics"] == []
    command(server, "env")
    server.client("iot").create_thing(thingName="kept")
    server.kill()
    server.start()
    assert [thing["thingName"] for thing in server.client("iot").list_things()["things"]] == ["kept"]
    guarded = make_server()
    assert httpx.post(f"{guarded.info.endpoint_url}/fleetward/reset").status_code == 403
