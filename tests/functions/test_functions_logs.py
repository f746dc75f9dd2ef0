"""What functions print, as CloudWatch Logs keeps it, within bounds."""

import asyncio
import json
import re
import time
from pathlib import Path

import pytest
from function_house import House, now, open_database

from fleetward.errors import InvalidParameter, ResourceNotFound
from fleetward.functions import log_pattern, logs, output
from fleetward.functions.logs import Line, Span
from fleetward.store.database import Database

GROUP = "/aws/lambda/f"


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_database(tmp_path)


def store(database: Database, *messages: str, stream: str = "s", time: int | None = None) -> None:
    moment = now() if time is None else time
    with database.transaction(moment) as tx:
        logs.store(tx, [Line(GROUP, stream, moment, message) for message in messages])


def messages(database: Database, span: Span = Span(), limit: int = 10_000, newest: bool = False) -> list[str]:  # noqa: B008
    with database.read() as look:
        return [row["message"] for row in logs.events(look, GROUP, None, span, limit, newest)]


async def test_the_log_of_an_invocation(house: House) -> None:
    """An invocation is logged as AWS does: START, what it printed, END, REPORT with durations and memory."""
    house.make("import logging\ndef handler(e, c):\n print('one\\ntwo')\n logging.getLogger().warning('three')")
    result = await house.functions.invoke("f", b"{}")
    lines = house.log().splitlines()
    assert lines[0] == f"START RequestId: {result.request_id} Version: $LATEST"
    assert lines[1:3] == ["one", "two"]
    assert re.fullmatch(rf"\[WARNING\]\t[-\dT:.]+Z\t{result.request_id}\tthree", lines[3])
    assert lines[4] == f"END RequestId: {result.request_id}"
    report = (
        rf"REPORT RequestId: {result.request_id}\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB"
    )
    assert re.fullmatch(report + r"\tMax Memory Used: [1-9]\d* MB\tInit Duration: [\d.]+ ms", lines[5])
    assert result.log_tail.decode().splitlines() == lines


async def test_streams_are_processes(house: House) -> None:
    """Each process of a function has a stream of its own, named by day and version; the process knows its name."""
    house.make("def handler(e, c): return c.log_stream_name")
    first = json.loads((await house.functions.invoke("f", b"{}")).payload)
    house.edit("def handler(e, c): return [c.log_stream_name]")
    (second,) = json.loads((await house.functions.invoke("f", b"{}")).payload)
    house.functions.logs.flush()
    with house.database.read() as look:
        assert {row["name"] for row in logs.streams(look, GROUP)} == {first, second}
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", first)


async def test_the_tail_is_the_last_4_kib(house: House) -> None:
    """The tail of the log that a caller gets is at most 4 KiB, and the last of it."""
    house.make("def handler(e, c):\n for n in range(1000): print('line', n)")
    tail = (await house.functions.invoke("f", b"{}")).log_tail
    assert len(tail) == 4096
    assert tail.splitlines()[-1].startswith(b"REPORT")


async def test_bytes_that_are_no_text(house: House) -> None:
    """A function may print any bytes: what is no UTF-8 is replaced."""
    house.make("import sys\ndef handler(e, c): sys.stdout.buffer.write(b'a\\xff\\0b\\n'); sys.stdout.buffer.flush()")
    await house.functions.invoke("f", b"{}")
    assert "a\ufffd\ufffdb" in house.log().splitlines()


def test_a_stream_is_bounded(database: Database) -> None:
    """A stream keeps the newest of what it gets, never more than its limit."""
    for n in range(12):
        store(database, *(f"{n:05d}" + "x" * 9_995 for _ in range(50)))
    kept = messages(database)
    assert 0 < sum(map(len, kept)) <= logs.STREAM_BYTES
    assert kept[-1].startswith("00011")
    with database.read() as look:
        assert logs.groups(look)[0]["size"] == sum(map(len, kept)) + logs.EVENT_BYTES * len(kept)


def test_a_group_is_bounded(database: Database) -> None:
    """A group keeps so many streams, the newest."""
    for n in range(logs.GROUP_STREAMS + 5):
        store(database, "x", stream=f"s{n}", time=now() - 1_000_000 + n)
    with database.read() as look:
        names = [row["name"] for row in logs.streams(look, GROUP)]
    assert len(names) == logs.GROUP_STREAMS
    assert names[0] == f"s{logs.GROUP_STREAMS + 4}"
    assert "s0" not in names


def test_retention(database: Database) -> None:
    """Streams without an event within the group's retention are dropped."""
    day = 86_400_000
    store(database, "old", stream="old", time=now() - 2 * day)
    store(database, "new", stream="new")
    assert messages(database) == ["old", "new"]
    with database.transaction(now()) as tx:
        logs.set_retention(tx, GROUP, 1)
    store(database, "newer", stream="new")
    assert messages(database) == ["new", "newer"]


def test_reading_spans(database: Database) -> None:
    """Events are read in order, from either end, between times and past an id."""
    for n in range(5):
        store(database, str(n), time=1000 + n)
    assert messages(database, limit=2) == ["0", "1"]
    assert messages(database, limit=2, newest=True) == ["3", "4"]
    assert messages(database, Span(start=1001, end=1003)) == ["1", "2"]
    with database.read() as look:
        middle = logs.events(look, GROUP, None, Span(), 10)[2]["id"]
    assert messages(database, Span(after=middle)) == ["3", "4"]
    assert messages(database, Span(before=middle), limit=1, newest=True) == ["1"]


def test_nothing_there(database: Database) -> None:
    """Asking for a group or a stream that does not exist is refused."""
    with database.read() as look, pytest.raises(ResourceNotFound):
        logs.streams(look, "none")
    store(database, "x")
    with database.read() as look, pytest.raises(ResourceNotFound):
        logs.get_stream(look, GROUP, "none")


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("", "anything", None),
        ("ERROR", "an ERROR here", "an error here"),
        ("ERROR timed", "ERROR: timed out", "ERROR: refused"),
        ('"timed out"', "it timed out", "out timed"),
        ("ERROR -refused", "ERROR: timed out", "ERROR: refused"),
        ("?ERROR ?WARN", "WARN: x", "INFO: x"),
        (r'"say \"hi\""', 'they say "hi"', "they say hi"),
    ],
)
def test_patterns(pattern: str, matching: str, other: str | None) -> None:
    """Terms must all occur, phrases as they are, excluded terms must not, and of optional terms one must."""
    matches = log_pattern.parse(pattern)
    assert matches(matching)
    assert other is None or not matches(other)


@pytest.mark.parametrize("pattern", ['{ $.a = "b" }', "[ip, user]", "%a.*b%", '"open'])
def test_patterns_that_are_not_here(pattern: str) -> None:
    """Patterns on JSON, on fields, regular expressions and broken ones are refused, not taken for text."""
    with pytest.raises(InvalidParameter):
        log_pattern.parse(pattern)


async def test_lines_cost_too(house: House) -> None:
    """A line is charged what its row costs, so that short lines do not fill the store; the log says what is missing."""
    house.make("def handler(e, c):\n for _ in range(e): print('x')", timeout=20)
    await house.functions.invoke("f", b"50000")
    await house.functions.invoke("f", b"0")
    lines = house.log().splitlines()
    assert len(lines) < output.INVOCATION_BYTES / logs.EVENT_BYTES + 10
    assert any("bytes of output dropped" in line for line in lines)


async def test_a_flood_does_not_hold_up_the_house(house: House) -> None:
    """While threads print as fast as they can, the house loop answers at once."""
    source = """
        import os, threading, time
        def flood(end):
            while time.time() < end: os.write(1, b'x\\n' * 500)
        def handler(e, c):
            threads = [threading.Thread(target=flood, args=(time.time() + 1.5,)) for _ in range(2)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
    """
    house.make(source, timeout=10)
    running = asyncio.create_task(house.functions.invoke("f", b"{}"))
    busy = 0.0
    while not running.done():
        began = time.thread_time()
        await asyncio.sleep(0)
        busy = max(busy, time.thread_time() - began)
        await asyncio.sleep(0.002)
    assert busy < 0.1


def test_a_stream_of_short_lines_is_bounded(database: Database) -> None:
    """What a row costs counts towards a stream's bound."""
    for _ in range(5):
        store(database, *["x"] * 10_000)
    assert len(messages(database, limit=100_000)) <= logs.STREAM_BYTES / logs.EVENT_BYTES
