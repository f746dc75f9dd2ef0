"""The story told live: a real server, real clients, and a line for each thing that happens."""

from __future__ import annotations

import ctypes
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from fleetward.client import ServerInfo, clients, own_command
from fleetward.simulate import provision
from fleetward.simulate.observer import Observer
from fleetward.simulate.provision import SENSORS, Broker, Client, Keys

EMAIL = "security@example.com"
NORMAL_WINDOWS = 3
SILENT_WINDOWS = 2
HEALTHY, BAD = SENSORS

console = Console(highlight=False, soft_wrap=True)


class StoryEnded(Exception):
    """The story cannot go on: what was expected did not happen."""


@dataclass(slots=True)
class Stage:
    """The running server and everything on it."""

    server: ServerInfo
    data_dir: Path
    client: Client
    broker: Broker
    keys: Keys
    observer: Observer
    window: int


@dataclass(slots=True)
class Milestone:
    """Something that must happen after the compromise: `seen` gives its line once it has happened."""

    name: str
    seen: Callable[[], str | None]


@dataclass(slots=True)
class Chronicle:
    """Prints each line with the time since the compromise."""

    started: float = field(default_factory=time.time)

    def tell(self, line: str) -> None:
        console.print(f"  [bold]+{time.time() - self.started:5.1f} s[/bold]  {line}")


def tell(stay: bool, window_seconds: int) -> int:
    """Runs the demo; returns the exit code: 0 only if SensorDevice02 is isolated and SensorDevice01 is not."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="fleetward-demo-"))
    console.print("[bold]Fleetward: one compromised sensor, from its first large message to its isolation[/bold]\n")
    process, server = _start_server(folder / "data")
    observer: Observer | None = None
    try:
        stage = _set_the_stage(folder, server, window_seconds)
        observer = stage.observer
        _normal_traffic(stage)
        _compromise(stage)
        succeeded = _verdict(stage)
        if stay:
            _explain_where_to_look(stage)
            _go_on_telling(stage, process)
        return 0 if succeeded else 1
    except StoryEnded as ended:
        console.print(f"\n[bold red]The story stopped:[/bold red] {ended}")
        _show_log(folder / "data" / "server.log")
        return 1
    except KeyboardInterrupt:
        console.print("\nThe demo ends; nothing of it is left behind.")
        return 0
    finally:
        # A second Ctrl-C must not keep the first from cleaning up.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if observer is not None:
            observer.close()
        _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


# --- the server -------------------------------------------------------------------------------------------------------


def _start_server(data_dir: Path) -> tuple[subprocess.Popen[bytes], ServerInfo]:
    """The server on the usual ports, or on any free ones where something else has them."""
    data_dir.mkdir(mode=0o700)
    process = _launch(data_dir, _port(7700), _port(8883))
    server = _wait_for_server(data_dir, process)
    if server is None:
        process = _launch(data_dir, 0, 0)
        server = _wait_for_server(data_dir, process)
    if server is None:
        _show_log(data_dir / "server.log")
        raise SystemExit(f"The server stopped with exit code {process.returncode}.")
    return process, server


def _launch(data_dir: Path, api_port: int, mqtt_port: int) -> subprocess.Popen[bytes]:
    with (data_dir / "server.log").open("wb") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "fleetward", "serve", "--data-dir", str(data_dir)),
                *("--api-port", str(api_port), "--mqtt-port", str(mqtt_port)),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for the story, which then stops the server in its own time.
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )


def _end_with_parent() -> None:
    """Has the kernel stop the server when the demo is gone, however it went (prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _port(wanted: int) -> int:
    """The wanted port, or 0 (any free one) when something uses it already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return 0
    return wanted


def _wait_for_server(data_dir: Path, process: subprocess.Popen[bytes]) -> ServerInfo | None:
    """Where the server is, once it is ready; None when it has stopped."""
    deadline = time.monotonic() + 30
    while process.poll() is None:
        if (server := ServerInfo.load(data_dir)) is not None:
            return server
        if time.monotonic() > deadline:
            _stop(process)
        time.sleep(0.05)
    return None


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


def _show_log(path: Path) -> None:
    if path.exists():
        console.print("The server's last lines:", *path.read_text().splitlines()[-15:], sep="\n  ", markup=False)


# --- the acts ---------------------------------------------------------------------------------------------------------


def _set_the_stage(folder: Path, server: ServerInfo, window: int) -> Stage:
    console.print(f"Server: API {server.endpoint_url}, MQTT {server.mqtt_host}:{server.mqtt_port} (TLS)\n")
    console.print("[bold]The stage, set through boto3[/bold]")
    client = clients(server)
    place = f"{server.region}:{server.account_id}"
    broker = Broker(server.mqtt_host, server.mqtt_port, Path(server.ca_file).read_text())
    keys = provision.devices(client, place)
    _done(f"things {HEALTHY} and {BAD}, sharing one certificate")
    provision.isolation(client)
    _done(f"thing group {provision.GROUP}, which denies iot:*, and function {provision.ISOLATE_FUNCTION}")
    topic_arn = provision.alerting(client, EMAIL)
    _until(lambda: provision.confirm_email(client, EMAIL) or None, 20, "the confirmation mail in the outbox")
    _done(f"topic {provision.TOPIC}: e-mail to {EMAIL} (confirmed by its link), and the function")
    slot = max(1, window // 10)
    provision.sensor_functions(client, keys, broker, slot)
    _done(f"functions {' and '.join(map(provision.function_of, SENSORS))}, run every {slot} s by a schedule")
    topics = tuple(provision.topic_of(sensor) for sensor in SENSORS)
    observer = Observer(provision.observer(client, place), broker, folder, topics)
    _done(f"an MQTT test client that listens to {' and '.join(topics)}")
    stage = Stage(server, folder / "data", client, broker, keys, observer, window)
    _until(lambda: _both_heard(stage), 30, "messages of both sensors")
    provision.profile(client, topic_arn, place, window)
    _done(
        f"security profile {provision.PROFILE}: alarm when message size over {window} s is greater than "
        "p50 of the fleet + 10 %"
    )
    return stage


def _normal_traffic(stage: Stage) -> None:
    console.print(f"\n[bold]Normal traffic, in windows of {stage.window} s[/bold]")
    first = _next_window(stage.window)
    for number in range(1, NORMAL_WINDOWS + 1):
        end = first + number * stage.window
        _sleep_until(end + 0.5)
        told = ", ".join(_traffic(stage, sensor, end - stage.window, end) for sensor in SENSORS)
        alarms = stage.client("iot").list_active_violations()["activeViolations"]
        console.print(f"  window {number}   {told}   {'no alarm' if not alarms else 'ALARM'}")
        if alarms:
            raise StoryEnded("a healthy sensor raised an alarm")


def _compromise(stage: Stage) -> None:
    _sleep_until(_next_window(stage.window) - 0.3)
    console.print(f"\n[bold]The compromise: {BAD}'s code now sends 3000 random characters[/bold]")
    chronicle = Chronicle()
    provision.compromise(stage.client, BAD, stage.keys, stage.broker)
    chronicle.tell(f"{provision.function_of(BAD)} saved")
    pending = _milestones(stage, chronicle.started)
    deadline = chronicle.started + 4 * stage.window + 20
    while pending:
        for milestone in list(pending):
            if (line := milestone.seen()) is not None:
                chronicle.tell(line)
                pending.remove(milestone)
        if time.time() > deadline:
            raise StoryEnded(f"not seen in time: {', '.join(milestone.name for milestone in pending)}")
        time.sleep(0.05)
    refused_at = time.time()
    _sleep_until(refused_at + SILENT_WINDOWS * stage.window)
    silent, _ = stage.observer.count(provision.topic_of(BAD), refused_at)
    lively, _ = stage.observer.count(provision.topic_of(HEALTHY), refused_at)
    chronicle.tell(
        f"{provision.topic_of(BAD)}: {silent} messages in the last {SILENT_WINDOWS} windows; "
        f"{provision.topic_of(HEALTHY)}: {lively}"
    )


def _verdict(stage: Stage) -> bool:
    members = stage.client("iot").list_things_in_thing_group(thingGroupName=provision.GROUP)["things"]
    lively, _ = stage.observer.count(provision.topic_of(HEALTHY), time.time() - stage.window)
    succeeded = members == [BAD] and lively > 0
    if succeeded:
        console.print(
            f"\n[bold green]{BAD} is isolated; {HEALTHY}, which shares its certificate, is untouched.[/bold green]"
        )
    else:
        console.print(f"\n[bold red]Not as it should be:[/bold red] isolated are {members}, {HEALTHY} sent {lively}")
    return succeeded


def _explain_where_to_look(stage: Stage) -> None:
    where = f"--data-dir {stage.data_dir}"
    command = own_command()
    console.print(
        f"""
Fleetward stays up. In a browser: {stage.server.console_url}
      sign in with the access key that `{command} env {where}` shows
In another terminal:
  {command} outbox {where}
      the e-mails as they would have arrived
  {command} release {BAD} {where}
      sets the device free; its code is still bad, so it will be caught again: watch it here
  {command} quarantine {HEALTHY} {where}
      cuts the healthy one off by hand
  eval "$({command} env {where})"
      points boto3 and the AWS CLI here, for example: aws iot list-active-violations
Ctrl-C ends the demo."""
    )


def _go_on_telling(stage: Stage, process: subprocess.Popen[bytes]) -> None:
    """Tells of alarms and isolations until the demo is ended."""
    console.print("\n[bold]What happens from now on[/bold]")
    isolated, alarms = {BAD}, {violation["violationId"] for violation in _violations(stage)}
    while process.poll() is None:
        time.sleep(0.5)
        now = f"  {time.strftime('%H:%M:%S')}  "
        for violation in _violations(stage):
            if violation["violationId"] not in alarms:
                alarms.add(violation["violationId"])
                thing, why = violation["thingName"], violation["explanation"]
                console.print(f"{now}[bold red]ALARM[/bold red] {violation['behaviorName']} on {thing}: {why}")
        members = set(stage.client("iot").list_things_in_thing_group(thingGroupName=provision.GROUP)["things"])
        for thing in sorted(members - isolated):
            console.print(f"{now}{thing} is isolated")
        for thing in sorted(isolated - members):
            console.print(f"{now}{thing} is free")
        isolated = members


# --- what can be seen through the public doors ------------------------------------------------------------------------


def _milestones(stage: Stage, since: float) -> list[Milestone]:
    return [
        Milestone("a large message", lambda: _large_message(stage, since)),
        Milestone("the alarm", lambda: _alarm(stage)),
        Milestone("the e-mail", lambda: _mail(stage)),
        Milestone("the function call", lambda: _function_ran(stage, since)),
        Milestone("the group move", lambda: _moved(stage)),
        Milestone("the refused CONNECT", lambda: _refused(stage, since)),
    ]


def _large_message(stage: Stage, since: float) -> str | None:
    large = [heard for heard in stage.observer.heard if heard.at >= since and heard.size > 1000]
    return f"first large message on {large[0].topic}: {large[0].size:,} B" if large else None


def _alarm(stage: Stage) -> str | None:
    for violation in _violations(stage):
        return (
            f"[bold red]ALARM[/bold red] {violation['behaviorName']} on {violation['thingName']}: "
            f"{violation['explanation']}"
        )
    return None


def _violations(stage: Stage) -> list[dict[str, Any]]:
    """The open violations with their explanations."""
    return list(stage.client("fleetward").list_violations()["violations"])


def _mail(stage: Stage) -> str | None:
    for mail in stage.client("fleetward").list_outbox()["mails"]:
        if BAD in mail["subject"] or BAD in mail["body"]:
            return f"e-mail to {mail['to']} in the outbox: {mail['subject']!r}"
    return None


def _function_ran(stage: Stage, since: float) -> str | None:
    for line in _log_lines(stage, provision.ISOLATE_FUNCTION, since):
        if line.startswith("REPORT"):
            duration = line.partition("Duration: ")[2].partition(" ms")[0]
            return f"function {provision.ISOLATE_FUNCTION} ran in {duration} ms"
    return None


def _moved(stage: Stage) -> str | None:
    members = stage.client("iot").list_things_in_thing_group(thingGroupName=provision.GROUP)["things"]
    return f"{', '.join(members)} moved to thing group {provision.GROUP}" if members else None


def _refused(stage: Stage, since: float) -> str | None:
    for line in _log_lines(stage, provision.function_of(BAD), since):
        if "connection refused" in line:
            return f"CONNECT of {line.strip()}"
    return None


def _log_lines(stage: Stage, function: str, since: float) -> list[str]:
    group = f"/aws/lambda/{function}"
    try:
        found = stage.client("logs").filter_log_events(logGroupName=group, startTime=round(since * 1000))
    except stage.client("logs").exceptions.ResourceNotFoundException:
        return []
    return [event["message"] for event in found["events"]]


def _both_heard(stage: Stage) -> bool | None:
    return all(stage.observer.count(provision.topic_of(sensor), 0)[0] >= 2 for sensor in SENSORS) or None


def _traffic(stage: Stage, sensor: str, since: float, until: float) -> str:
    messages, size = stage.observer.count(provision.topic_of(sensor), since, until)
    return f"{sensor} {messages} messages, {size:,} B"


# --- time -------------------------------------------------------------------------------------------------------------


def _next_window(window: int) -> float:
    return (time.time() // window + 1) * window


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))


def _until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (value := condition()) is not None:
            return value
        time.sleep(0.1)
    raise StoryEnded(f"waited {seconds:g} s for {what}")


def _done(line: str) -> None:
    console.print(f"  [green]✓[/green] {line}")
