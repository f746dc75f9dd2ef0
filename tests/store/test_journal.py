"""The journal: whatever happens to the process, the kernel comes back as it was."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

sys.path.append(str(Path(__file__).parents[1] / "detect"))
from kernel_streams import Streams

from fleetward.detect.kernel import Kernel
from fleetward.store.journal import Journal


def said(outcomes) -> list:
    return [(outcome.events, outcome.progress, [window.start for window in outcome.windows]) for outcome in outcomes]


def run(journal: Journal, kernel: Kernel, items) -> list:
    outcomes = []
    for item in items:
        journal.append(item)
        outcomes.append(kernel.feed(item))
    return outcomes


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(0, 60))
def test_snapshot_and_log_give_the_same_events_again(seed, first, second):
    """Recovery answers the inputs since the snapshot as the lost kernel did, and goes on as it would have."""
    stream = Streams(seed).inputs(90)
    with tempfile.TemporaryDirectory() as name:
        journal = Journal.open(Path(name))
        kernel, _ = journal.recover(Kernel)
        run(journal, kernel, stream[:first])
        journal.snapshot(kernel)
        lost = run(journal, kernel, stream[first : first + second])
        # No close: the process is gone.
        back = Journal.open(Path(name))
        restored, replayed = back.recover(Kernel)
        assert said(replayed) == said(lost)
        rest = stream[first + second :]
        assert said(run(back, restored, rest)) == said([kernel.feed(item) for item in rest])


def test_a_killed_process_loses_nothing(tmp_path):
    """After SIGKILL every input that `append` returned for is replayed."""
    code = (
        "import sys, os, signal; sys.path.append(sys.argv[2]); from pathlib import Path\n"
        "from kernel_streams import Streams; from fleetward.store.journal import Journal\n"
        "from fleetward.detect.kernel import Kernel\n"
        "journal = Journal.open(Path(sys.argv[1])); kernel, _ = journal.recover(Kernel)\n"
        "for number, item in enumerate(Streams(5).inputs(50)):\n"
        "    journal.append(item); kernel.feed(item)\n"
        "    number == 20 and journal.snapshot(kernel)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    streams = Path(__file__).parents[1] / "detect"
    killed = subprocess.run([sys.executable, "-c", code, tmp_path, streams], check=False)
    assert killed.returncode == -signal.SIGKILL
    kernel, replayed = Journal.open(tmp_path).recover(Kernel)
    stream, whole = Streams(5).inputs(50), Kernel()
    outcomes = [whole.feed(item) for item in stream]
    assert said(replayed) == said(outcomes[21:])
    assert kernel.watermark == whole.watermark
    assert kernel.things() == whole.things()


@pytest.mark.parametrize("lost", [1, 7, 15, 16, 17, 60])
def test_a_torn_tail_is_cut_off(tmp_path, lost):
    """A record half written at the power cut is dropped, what is before it counts, and appending goes on behind it."""
    journal = Journal.open(tmp_path)
    kernel, _ = journal.recover(Kernel)
    stream = Streams(3).inputs(30)
    run(journal, kernel, stream)
    log = tmp_path / "inputs.log"
    os.truncate(log, log.stat().st_size - lost)
    back = Journal.open(tmp_path)
    restored, replayed = back.recover(Kernel)
    assert len(replayed) == len(stream) - 1
    run(back, restored, stream[-1:])
    _, again = Journal.open(tmp_path).recover(Kernel)
    assert len(again) == len(stream)


def test_a_flipped_bit_ends_the_log_there(tmp_path):
    """A damaged record fails its checksum; it and what follows are dropped with a warning."""
    journal = Journal.open(tmp_path)
    kernel, _ = journal.recover(Kernel)
    run(journal, kernel, Streams(3).inputs(30))
    log = tmp_path / "inputs.log"
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 1
    log.write_bytes(content)
    with capture_logs() as logs:
        _, replayed = Journal.open(tmp_path).recover(Kernel)
    assert 0 < len(replayed) < 34
    assert [entry["event"] for entry in logs] == ["journal_tail_dropped"]


def test_a_crash_between_snapshot_and_log_counts_nothing_twice(tmp_path):
    """Inputs that the snapshot contains already are not fed again when the log was not emptied in time."""
    journal = Journal.open(tmp_path)
    kernel, _ = journal.recover(Kernel)
    run(journal, kernel, Streams(3).inputs(30))
    before = (tmp_path / "inputs.log").read_bytes()
    journal.snapshot(kernel)
    (tmp_path / "inputs.log").write_bytes(before)
    restored, replayed = Journal.open(tmp_path).recover(Kernel)
    assert replayed == []
    assert restored.watermark == kernel.watermark


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("evil-was-here",))


def sealed(payload: bytes) -> bytes:
    """A snapshot file that is right in everything but what it holds."""
    from hashlib import sha256

    from fleetward.store import journal

    return journal._SNAPSHOT.pack(journal._MAGIC, journal.VERSION, 1, sha256(payload).digest()) + payload


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"something else entirely, but long enough to hold a header of the right size",
        sealed(pickle.dumps(Kernel()))[:-1],
        sealed(pickle.dumps(Kernel())).replace(b"FLEETWARD-KERNEL\3", b"FLEETWARD-KERNEL\2"),
        sealed(pickle.dumps(Evil())),
        sealed(pickle.dumps({"not": "a kernel"})),
    ],
    ids=["empty", "foreign", "damaged", "other version", "evil", "no kernel"],
)
def test_a_bad_snapshot_is_set_aside(tmp_path, monkeypatch, content):
    """A snapshot that is damaged, foreign or hostile is kept under another name and never run; a new kernel starts."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kernel.snapshot").write_bytes(content)
    with capture_logs() as logs:
        kernel, replayed = Journal.open(tmp_path).recover(Kernel)
    assert (kernel.watermark, replayed) == (None, [])
    assert [entry["event"] for entry in logs] == ["journal_snapshot_rejected"]
    assert (tmp_path / "kernel.rejected").read_bytes() == content
    assert not (tmp_path / "evil-was-here").exists()


def test_the_files_are_for_the_owner_only(tmp_path):
    """Folder 0700, files 0600, whatever the umask."""
    folder = tmp_path / "journal"
    before = os.umask(0)
    try:
        journal = Journal.open(folder)
        kernel, _ = journal.recover(Kernel)
        journal.snapshot(kernel)
        journal.close()
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


def test_the_setting_wins_over_the_snapshot(tmp_path):
    """The strict grid of a restored kernel is what the settings say now."""
    journal = Journal.open(tmp_path)
    kernel, _ = journal.recover(Kernel)
    journal.snapshot(kernel)
    restored, _ = Journal.open(tmp_path).recover(lambda: Kernel(strict_grid=True))
    assert restored.strict_grid
