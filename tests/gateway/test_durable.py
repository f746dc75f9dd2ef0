"""The durable file: what it keeps, what it refuses, and what a crash may take."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward.gateway.durable import (
    Durable,
    DurableFile,
    DurableFileError,
    DurableState,
    NullDurable,
    SavedMessage,
    SavedSession,
)
from fleetward.gateway.packets import Subscription


def session(client_id: str, **fields: object) -> SavedSession:
    values: dict[str, object] = {
        "certificate_id": "c" * 64,
        "version": 4,
        "expires_after_seconds": 3600,
        "disconnected_at": None,
    }
    return SavedSession(client_id, **(values | fields))  # type: ignore[arg-type]


def reopened(durable: DurableFile, path: Path) -> DurableState:
    durable.close()
    with closing(DurableFile.open(path)) as again:
        return again.load()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
def durable(path: Path) -> Iterator[DurableFile]:
    durable = DurableFile.open(path)
    yield durable
    durable.close()


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_everything_survives_a_restart(durable: DurableFile, path: Path) -> None:
    """Sessions with their options, messages with their state, and retained messages come back as they were."""
    subscriptions = (Subscription("a/#", 1), Subscription("$share/g/ü", 2, False, True, 2))
    first = session(
        "first", subscriptions=subscriptions, awaiting_release=(1, 65535), disconnected_at=1_790_000_000_000
    )
    second = session("second", version=5, expires_after_seconds=None)
    properties: dict[str, object] = {
        "content_type": "text/plain",
        "correlation_data": b"\0\xff",
        "user_property": (("k", "1"), ("k", "2")),
        "subscription_identifier": (1, 300),
    }
    sent = SavedMessage("a/1", b"\0payload", 2, True, 77, True, properties, 1_790_000_060_000)
    queued = SavedMessage("a/2", b"", 1)
    durable.save_session(first)
    durable.save_session(second)
    durable.save_message("first", 10, queued)
    durable.save_message("first", 9, sent)
    durable.retain("status", SavedMessage("status", b"on", 1, True))
    state = reopened(durable, path)
    assert state.sessions == (first, second)
    assert state.messages == {"first": ((9, sent), (10, queued))}
    assert state.retained == (SavedMessage("status", b"on", 1, True),)


def test_last_change_of_a_key_wins(durable: DurableFile, path: Path) -> None:
    """Saving again replaces, forgetting removes, whether or not the writer came in between."""
    for flush in (lambda: None, durable.flush):
        durable.save_session(session("device", awaiting_release=(1,)))
        durable.save_message("device", 1, SavedMessage("a", b"1", 1))
        durable.save_message("device", 2, SavedMessage("a", b"2", 1))
        durable.retain("kept", SavedMessage("kept", b"old"))
        durable.retain("gone", SavedMessage("gone", b"old"))
        flush()
        durable.save_session(session("device", awaiting_release=()))
        durable.save_message("device", 1, SavedMessage("a", b"1", 1, packet_id=5))
        durable.forget_message("device", 2)
        durable.retain("kept", SavedMessage("kept", b"new"))
        durable.forget_retained("gone")
        durable.flush()
        state = durable.load()
        assert state.sessions == (session("device"),)
        assert state.messages == {"device": ((1, SavedMessage("a", b"1", 1, packet_id=5)),)}
        assert state.retained == (SavedMessage("kept", b"new"),)


def test_forgotten_session_takes_its_messages_with_it(durable: DurableFile, path: Path) -> None:
    """A session begun anew has only what was saved after the old one was forgotten."""
    durable.save_session(session("device"))
    for order in range(3):
        durable.save_message("device", order, SavedMessage("a", b"old"))
    durable.flush()
    durable.save_message("device", 3, SavedMessage("a", b"old"))
    durable.forget_session("device")
    durable.save_session(session("device", version=5))
    durable.save_message("device", 1, SavedMessage("a", b"new"))
    state = reopened(durable, path)
    assert state.sessions == (session("device", version=5),)
    assert state.messages == {"device": ((1, SavedMessage("a", b"new")),)}


def test_messages_without_a_session_are_swept(durable: DurableFile, path: Path) -> None:
    """A message whose session is not in the file is gone when the file is opened again."""
    durable.save_message("nobody", 1, SavedMessage("a", b""))
    assert reopened(durable, path) == DurableState()


clients = st.sampled_from(["a", "b"])
orders = st.integers(0, 3)
messages = st.builds(SavedMessage, st.just("t"), st.binary(max_size=4), st.integers(0, 2), packet_id=st.integers(0, 9))
steps = st.one_of(
    st.tuples(st.just("save_session"), st.builds(session, clients, version=st.sampled_from([4, 5]))),
    st.tuples(st.just("forget_session"), clients),
    st.tuples(st.just("save_message"), clients, orders, messages),
    st.tuples(st.just("forget_message"), clients, orders),
    st.tuples(st.just("retain"), clients, messages),
    st.tuples(st.just("forget_retained"), clients),
    st.tuples(st.just("flush")),
)


class Model:
    """The same calls on plain dicts."""

    def __init__(self) -> None:
        self.sessions: dict[str, SavedSession] = {}
        self.messages: dict[str, dict[int, SavedMessage]] = {}
        self.retained: dict[str, SavedMessage] = {}

    def save_session(self, session: SavedSession) -> None:
        self.sessions[session.client_id] = session

    def forget_session(self, client_id: str) -> None:
        self.sessions.pop(client_id, None)
        self.messages.pop(client_id, None)

    def save_message(self, client_id: str, order: int, message: SavedMessage) -> None:
        self.messages.setdefault(client_id, {})[order] = message

    def forget_message(self, client_id: str, order: int) -> None:
        self.messages.get(client_id, {}).pop(order, None)

    def retain(self, topic: str, message: SavedMessage) -> None:
        self.retained[topic] = message

    def forget_retained(self, topic: str) -> None:
        self.retained.pop(topic, None)

    def flush(self) -> None: ...

    def state(self) -> DurableState:
        kept = {client: tuple(sorted(self.messages.get(client, {}).items())) for client in self.sessions}
        return DurableState(
            tuple(session for _, session in sorted(self.sessions.items())),
            {client: entries for client, entries in kept.items() if entries},
            tuple(message for _, message in sorted(self.retained.items())),
        )


@settings(max_examples=25)
@given(steps=st.lists(steps, max_size=25))
def test_any_history(steps: list[tuple[object, ...]]) -> None:
    """Whatever happened, and whenever it was written, the file holds what plain dicts would."""
    model = Model()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gateway.db"
        durable = DurableFile.open(path)
        for name, *arguments in steps:
            for each in (model, durable):
                getattr(each, str(name))(*arguments)
        assert reopened(durable, path) == model.state()
        assert durable.lost == 0
        assert (durable._pending.bytes, durable._writing.bytes) == (0, 0)


def test_null_durable() -> None:
    """The null object takes every call and keeps nothing."""
    durable: Durable = NullDurable()
    durable.save_session(session("device"))
    durable.save_message("device", 1, SavedMessage("a", b""))
    durable.retain("a", SavedMessage("a", b""))
    durable.forget_message("device", 1)
    durable.forget_session("device")
    durable.forget_retained("a")
    durable.flush()
    assert durable.load() == DurableState()
    durable.close()


# --- the way to the disk ----------------------------------------------------------------------------------------------


def test_acknowledged_before_written_costs_nothing(durable: DurableFile) -> None:
    """A message that is forgotten before the writer came to it never reaches the file."""
    durable.flush()
    with durable._using_file:
        before = durable._connection.total_changes
        for order in range(1000):
            durable.save_message("device", order, SavedMessage("a", b"x"))
            durable.forget_message("device", order)
    durable.flush()
    assert durable._connection.total_changes == before


def test_a_standing_disk_blocks_nobody_and_is_bounded(path: Path) -> None:
    """While the disk stands still calls return, memory stays bounded, and what does not fit is counted as lost."""
    durable = DurableFile.open(path, limit=100_000)
    with durable._using_file:
        durable.save_session(session("device"))
        for order in range(1000):
            durable.save_message("device", order, SavedMessage("a", bytes(1000)))
        waiting = durable._pending.bytes + durable._writing.bytes
        assert 90_000 < waiting <= 100_000
        kept = 1000 - durable.lost
        for order in range(kept // 2):
            durable.forget_message("device", order)
    durable.flush()
    assert [order for order, _ in durable.load().messages["device"]] == list(range(kept // 2, kept))
    assert durable.lost == 1000 - kept
    durable.save_message("device", 2000, SavedMessage("a", bytes(1000)))
    assert reopened(durable, path).messages["device"][-1] == (2000, SavedMessage("a", bytes(1000)))


def test_a_full_disk_is_waited_out(durable: DurableFile, path: Path) -> None:
    """A batch that cannot be written makes flush fail, is kept, and is written when there is room again."""
    durable.flush()
    with durable._using_file:
        pages = durable._connection.execute("PRAGMA page_count").fetchone()[0]
        durable._connection.execute(f"PRAGMA max_page_count={pages}")
    durable.save_session(session("device"))
    durable.save_message("device", 1, SavedMessage("a", bytes(100_000)))
    with pytest.raises(DurableFileError):
        durable.flush()
    durable.save_message("device", 2, SavedMessage("a", b"later"))
    with durable._using_file:
        durable._connection.execute("PRAGMA max_page_count=1000000")
    state = reopened(durable, path)
    assert [order for order, _ in state.messages["device"]] == [1, 2]
    assert durable.lost == 0


# --- what is refused --------------------------------------------------------------------------------------------------


def test_only_the_owner_may_read(durable: DurableFile, path: Path) -> None:
    """The file and its companions have mode 0600, also when the file was there with another."""
    durable.save_session(session("device"))
    durable.flush()
    assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {0o600}
    durable.close()
    path.chmod(0o644)
    DurableFile.open(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_second_gateway_is_kept_out(durable: DurableFile, path: Path) -> None:
    """The file is one process's alone while it is open."""
    opening = (
        f"from pathlib import Path; from fleetward.gateway.durable import *; DurableFile.open(Path({str(path)!r}))"
    )
    second = subprocess.run([sys.executable, "-c", opening], capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "DurableFileError" in second.stderr
    assert "locked" in second.stderr


def test_closing_is_final(durable: DurableFile) -> None:
    """A closed file stays closed, and says so to whoever flushes it."""
    durable.close()
    durable.close()
    with pytest.raises(DurableFileError, match="closed"):
        durable.flush()


def write_garbage(path: Path) -> None:
    path.write_bytes(b"not a database, and longer than a header" * 100)


def make_newer(path: Path) -> None:
    DurableFile.open(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=99")


def make_foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE something (else_ TEXT)")


def damage_pages(path: Path) -> None:
    with closing(DurableFile.open(path)) as durable:
        durable.save_session(session("device"))
        for order in range(2000):
            durable.save_message("device", order, SavedMessage("a", bytes(100)))
    content = bytearray(path.read_bytes())
    for start in range(4096 * 4, len(content), 4096):
        content[start : start + 64] = b"\xa5" * 64
    path.write_bytes(content)


def link_elsewhere(path: Path) -> None:
    path.symlink_to(path.parent / "elsewhere")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (write_garbage, "not a database"),
        (make_newer, "format 99"),
        (make_foreign, "not a durable file"),
        (damage_pages, "corrupt|malformed"),
        (link_elsewhere, "cannot be opened"),
        (Path.mkdir, "cannot be opened"),
    ],
)
def test_unusable_files_are_refused(path: Path, spoil: Callable[[Path], None], why: str) -> None:
    """A file that is corrupt, newer, another program's or elsewhere is refused with its path and the cause."""
    spoil(path)
    with pytest.raises(DurableFileError, match=why) as refusal:
        DurableFile.open(path)
    assert str(path) in str(refusal.value)


# --- crashes ----------------------------------------------------------------------------------------------------------

WRITER = """
import sys, time
from pathlib import Path
from fleetward.gateway.durable import DurableFile, SavedMessage, SavedSession

durable = DurableFile.open(Path(sys.argv[1]))
durable.save_session(SavedSession("device", "certificate", 4, None, None))
for order in range(int(sys.argv[2]), 1_000_000):
    durable.save_message("device", order, SavedMessage("a", b"x" * 100, 1))
    durable.retain("last", SavedMessage("last", str(order).encode()))
    print(order, time.monotonic(), flush=True)
    time.sleep(0.001)
"""


def write_until_killed(path: Path, first: int, seconds: float) -> list[tuple[int, float]]:
    """What a child wrote and when, until it was killed with -9 after about `seconds`."""
    command = [sys.executable, "-c", WRITER, str(path), str(first)]
    written: list[tuple[int, float]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            order, time = line.split()
            written.append((int(order), float(time)))
            if written[-1][1] - written[0][1] > seconds:
                os.kill(child.pid, signal.SIGKILL)
                written += [(int(o), float(t)) for o, t in (rest.split() for rest in child.stdout if "\n" in rest)]
                break
    assert child.returncode == -signal.SIGKILL
    return written


def test_kill_9_loses_at_most_the_last_second(path: Path) -> None:
    """After kill -9, twice, everything that was saved more than a second before is there, in order."""
    first = write_until_killed(path, 0, 1.3)
    second = write_until_killed(path, first[-1][0] + 1, 1.2)
    with closing(DurableFile.open(path)) as durable:
        state = durable.load()
    orders = [order for order, _ in state.messages["device"]]
    assert orders == sorted(orders)
    for written in (first, second):
        old = {order for order, time in written if time < written[-1][1] - 1.0}
        assert len(old) > 50
        assert old.issubset(orders)
    assert int(state.retained[0].payload) >= max(order for order in old)
