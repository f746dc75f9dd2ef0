"""The gateway as a process of its own: its doors, its death and its successor, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from both_ends import ARNS, policy
from real_gateway import SECONDS, Awaited, MakeGateway, RealGateway, clock
from test_listener import Raw

from fleetward.gateway import process, remote
from fleetward.gateway.child import Child
from fleetward.gateway.doors import Arrival, Command, CountSessions, GetRetained, Inlets, Presence, Publish, Reply
from fleetward.gateway.frames import Frames, Steps, Stop, frame
from fleetward.gateway.packets import V5, Puback, Reason
from fleetward.gateway.packets import Publish as PublishPacket
from fleetward.gateway.process import Line
from fleetward.gateway.remote import RemoteGateway, known_to_gateway
from fleetward.gateway.starting import CannotListen, DurableFileError, GatewayStopped, TlsFiles
from fleetward.gateway.step_counter import StepCounter
from fleetward.meter.batch import Batch
from fleetward.model import Demand
from fleetward.records import Change, RecordKind
from fleetward.registry.authority import Authority
from fleetward.settings import Settings
from running_server import RunningServer, until

MAY_TALK = policy(("Allow", "iot:*", "*"))
MAY_NOT_TALK = policy(("Allow", "iot:*", "*"), ("Deny", "iot:Publish", "*"))


@pytest.fixture
def apart(make_gateway: MakeGateway) -> RealGateway:
    return make_gateway(apart=True)


def child_of(gateway: RealGateway) -> Child:
    assert isinstance(gateway.gateway, RemoteGateway)
    return gateway.gateway._child


def break_down(gateway: RealGateway) -> int:
    """kill -9 of the process; returns its pid."""
    pid = child_of(gateway).pid
    os.kill(pid, signal.SIGKILL)
    return pid


def test_a_change_bites_before_the_next_packet(apart: RealGateway) -> None:
    """A publish sent right after the house has changed a policy is decided by it, every time, in both directions."""
    apart.policy("talk", MAY_TALK)
    device = Raw(apart.certificate("talk"), V5).online("device")
    heard = []
    for number in range(2_000):
        apart.policy("talk", MAY_NOT_TALK if number % 2 else MAY_TALK)
        device.send(PublishPacket("t", b"x", 1, packet_id=1))
        answer = device.next()
        assert isinstance(answer, Puback)
        heard.append(answer.reason)
    allowed, denied = set(heard[::2]), set(heard[1::2])
    assert denied == {Reason.NOT_AUTHORIZED}
    assert allowed == {Reason.NO_MATCHING_SUBSCRIBERS}
    device.close()


def test_many_changes_at_once_do_not_wait_for_the_gateway(apart: RealGateway) -> None:
    """More than the socket holds is taken at once while the gateway stands still, and counts before the next packet."""
    apart.policy("talk", MAY_TALK)
    device = Raw(apart.certificate("talk"), V5).online("device")
    pid = child_of(apart).pid
    os.kill(pid, signal.SIGSTOP)
    for number in range(20_000):
        apart.thing(f"thing-{number}")
    apart.policy("talk", MAY_NOT_TALK)
    device.send(PublishPacket("t", b"x", 1, packet_id=1))
    os.kill(pid, signal.SIGCONT)
    answer = device.next()
    assert isinstance(answer, Puback)
    assert answer.reason == Reason.NOT_AUTHORIZED
    device.close()


def test_a_process_that_breaks_down_is_replaced(apart: RealGateway) -> None:
    """After kill -9 of the process another serves on the same port, with the fleet as it is then and what it had kept;
    the sessions of the dead one have ended."""
    keeper = apart.certificate().paho("keeper").online()
    keeper.publish("kept", b"1", 1, retain=True).wait_for_publish(SECONDS)
    until(lambda: apart.command(GetRetained("kept")), SECONDS, "the message")
    pid, port = child_of(apart).pid, apart.port
    until(lambda: is_durable(apart.folder, b"kept"), SECONDS, "the file")
    break_down(apart)
    assert keeper.gone.wait(SECONDS)
    assert apart.outlets.ended("keeper").reason == "SERVER_ERROR"
    apart.policy("late", MAY_TALK)
    late = apart.certificate("late").paho("late")
    until(lambda: child_of(apart).pid != pid and answers(apart), SECONDS, "another process")
    assert apart.port == port
    assert late.connect() == "Success"
    assert apart.command(CountSessions()) == 1
    assert apart.command(GetRetained("kept")) == Publish("kept", b"1", 1, True)
    late.close()


def is_durable(folder: Path, text: bytes) -> bool:
    return any(text in path.read_bytes() for path in folder.glob("gateway.db*"))


def answers(gateway: RealGateway) -> bool:
    try:
        gateway.command(CountSessions())
    except GatewayStopped:
        return False
    return True


def bring_to_a_stop(gateway: RealGateway) -> None:
    """Returns when none of the process's threads runs any more; a signal takes its time to arrive."""
    pid = child_of(gateway).pid
    os.kill(pid, signal.SIGSTOP)
    stats = list(Path(f"/proc/{pid}/task").glob("*/stat"))
    until(lambda: all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in stats), SECONDS, "its stop")


async def test_commands_of_a_process_that_breaks_down_fail(apart: RealGateway) -> None:
    """A command that the process took with it fails, and so does one while there is none; neither waits for ever."""
    house: Inlets = apart.gateway
    bring_to_a_stop(apart)
    waiting = [house.command(CountSessions()) for _ in range(3)]
    break_down(apart)
    for command in waiting:
        with pytest.raises(GatewayStopped):
            await asyncio.wait_for(command, SECONDS)


def test_a_process_that_hangs_is_replaced(make_gateway: MakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that does not even send its batches is killed and replaced."""
    monkeypatch.setattr(remote, "SILENT_SECONDS", 2.0)
    gateway = make_gateway(apart=True)
    pid = child_of(gateway).pid
    os.kill(pid, signal.SIGSTOP)
    until(lambda: child_of(gateway).pid != pid and answers(gateway), 3 * SECONDS, "another process")


def test_one_breakdown_after_the_other_is_given_up(make_gateway: MakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """When process after process breaks down, somebody is told why there is no gateway any more."""
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0))
    gateway = make_gateway(apart=True)
    for _ in range(2):
        pid = break_down(gateway)
        until(lambda pid=pid: child_of(gateway).pid != pid and answers(gateway), SECONDS, "another process")
    break_down(gateway)
    assert "broke down 2 times" in gateway.gave_up.get(timeout=SECONDS)


def test_a_refusal_to_start_is_told(apart: RealGateway, authority: Authority, tmp_path: Path) -> None:
    """What keeps the process from starting is raised in the house as by a gateway on a thread."""
    certificate, key = authority.issue_server(("localhost",), clock())
    tls = TlsFiles(certificate, key, authority.ca_file)
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database, and longer than its header would be" * 100)
    for port, file, why in (
        (apart.port, None, CannotListen),
        (0, broken, DurableFileError),
    ):
        settings, child = Settings(data_dir=tmp_path, mqtt_port=port), Child()
        gateway = RemoteGateway(settings, clock, ARNS, tls, file, Awaited(), tuple, child, print)
        with pytest.raises(why, match=str(file or port)):
            gateway.start()
        child.close()


def test_no_secret_reaches_the_process() -> None:
    """The process that faces the network is told no key and no password."""
    told = known_to_gateway(Settings(root_secret_access_key="hidden", smtp_password="hidden", mqtt_name=["a"]))
    assert "hidden" not in repr(told)
    assert told["mqtt_name"] == ["a"]


class Fleet:
    """The `Inlets` that a line leads to, and what came in."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def apply(self, changes: Sequence[Change]) -> None:
        self.changes.extend(changes)

    def demand(self, demand: Demand) -> None: ...

    async def command(self, command: Command) -> Reply: ...


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket, StepCounter]]:
    ours, theirs = socket.socketpair()
    counter = StepCounter.create()
    yield ours, theirs, counter
    ours.close()
    theirs.close()
    counter.close()


async def test_a_slow_house_costs_arrivals_only(
    ends: tuple[socket.socket, socket.socket, StepCounter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the house reads nothing the gateway goes on, and keeps batches and presences but not all arrivals."""
    monkeypatch.setattr(process, "WAITING_BYTES", 1_000_000)
    house, theirs, counter = ends
    line = Line(theirs, counter)
    line.attach(Fleet())
    arrival = Arrival("d", "c", "d", "$aws/things/d/shadow/get", bytes(100_000), 1)
    for number in range(100):
        line.batch(Batch("run", number, 0, 250))
        line.arrival(arrival)
        line.presence(Presence("d", "c", "d", True, "127.0.0.1", number, 1))
        await asyncio.sleep(0)
    house.setblocking(False)
    frames, heard = Frames(), []
    while not heard or heard[-1] != Presence("d", "c", "d", True, "127.0.0.1", 99, 1):
        heard += frames.feed(await asyncio.get_running_loop().sock_recv(house, 65536))
    assert [message.sequence for message in heard if isinstance(message, Batch)] == list(range(100))
    assert [message.session for message in heard if isinstance(message, Presence)] == list(range(100))
    assert 5 < heard.count(arrival) < 20


async def test_no_packet_passes_when_the_house_is_gone(ends: tuple[socket.socket, socket.socket, StepCounter]) -> None:
    """A change that the house has announced and cannot send any more is waited for no longer than the house lives."""
    house, theirs, counter = ends
    line = Line(theirs, counter)
    fleet = Fleet()
    line.attach(fleet)
    step = Change(1, RecordKind.THING, "t", None)
    house.sendall(frame(Steps([step])) + frame(Stop()))
    counter.set(1)
    assert line.is_behind()
    line.catch_up()
    assert (fleet.changes, line.is_behind(), line.over.is_set()) == ([step], False, True)
    counter.set(2)
    house.shutdown(socket.SHUT_RDWR)
    with pytest.raises(process.HouseGone):
        line.catch_up()
    assert line.is_behind()


# --- the whole server -------------------------------------------------------------------------------------------------


def child_pids(server: RunningServer) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{server.info.pid}/task/{server.info.pid}/children").read_text().split()]


def gateway_pid(server: RunningServer) -> int:
    (pid,) = (pid for pid in child_pids(server) if b"gateway.process" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return pid


def test_the_gateway_dies_with_the_server(server: RunningServer) -> None:
    """kill -9 of the server takes the gateway along, whose port and file the next server finds free at once."""
    pid = gateway_pid(server)
    server.kill()
    until(lambda: not Path(f"/proc/{pid}").exists(), SECONDS, "the gateway's end")
    server.start()
    assert gateway_pid(server) != pid


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_stops_the_server(server: RunningServer, number: signal.Signals) -> None:
    """A signal that all processes get, as from a terminal, stops them in order: what was acknowledged is kept."""
    server.client("iot-data").publish(topic="kept", payload=b"1", qos=1, retain=True)
    for pid in child_pids(server):
        if pid == gateway_pid(server):
            os.kill(pid, number)
    os.kill(server.info.pid, number)
    assert server.wait() == 0
    server.start()
    assert server.client("iot-data").get_retained_message(topic="kept")["payload"] == b"1"


def test_more_than_one_process_is_refused(tmp_path: Path) -> None:
    """The embedded broker is one process: asking for more is answered with what to do instead."""
    with pytest.raises(AssertionError, match=r"takes 0 or 1.*several servers"):
        RunningServer(tmp_path, FLEETWARD_GATEWAY_PROCESSES="2")
