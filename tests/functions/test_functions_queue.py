"""Asynchronous invocations: durable, in order, retried, and their outcome written down."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from function_house import House, until
from structlog.testing import capture_logs

from fleetward.errors import RequestTooLarge
from fleetward.functions import queue
from fleetward.store.tables.functions import invocations


def look_up(house: House, invocation_id: str) -> Any:
    with house.database.read() as look:
        return queue.find(look, invocation_id)


async def ended(house: House, invocation_id: str) -> Any:
    """The invocation's row once it has ended."""
    done = ("succeeded", "failed")
    return await until(lambda: (row := look_up(house, invocation_id)) is not None and row["status"] in done and row)


async def test_success(house: House) -> None:
    """A committed invocation is carried out and noted as succeeded, and can be found by its source."""
    house.make("def handler(e, c): print('got', e)")
    row = await ended(house, house.enqueue(b'"it"', source_id="42"))
    assert (row["status"], row["attempts"], row["last_error"]) == ("succeeded", 1, None)
    assert (row["source"], row["source_id"]) == ("test", "42")
    assert "got it" in house.log()


async def test_not_before_the_commit(house: House) -> None:
    """An invocation of a transaction that is rolled back never happens."""
    house.make("def handler(e, c): print('called')")
    with pytest.raises(ZeroDivisionError), house.database.transaction(0) as tx:
        house.functions.enqueue(tx, "f", b"{}", "test", "1")
        raise ZeroDivisionError
    await ended(house, house.enqueue())
    assert house.log().count("called") == 1


async def test_two_retries(house: House) -> None:
    """A failing function is tried three times in all with the same request id, then the failure is final."""
    house.make("def handler(e, c): print('try', c.aws_request_id); raise ValueError('no such group')")
    invocation = house.enqueue()
    row = await ended(house, invocation)
    assert (row["status"], row["attempts"]) == ("failed", 3)
    assert row["last_error"] == "ValueError: no such group"
    assert house.log().count(f"try {invocation}") == 3


async def test_retry_waits_its_delay(tmp_path: Path) -> None:
    """The second attempt is due one minute after the first, as on AWS, and the error is on record meanwhile."""
    house = House(tmp_path)
    await house.functions.start()
    house.make("def handler(e, c): 1 / 0")
    invocation = house.enqueue()
    row = await until(lambda: (row := look_up(house, invocation))["last_error"] and row)
    assert (row["status"], row["attempts"]) == ("pending", 1)
    assert 59_000 < row["due_at"] - row["created_at"] < 70_000
    await house.stop()


async def test_a_failure_tells_when_it_goes_on(house: House) -> None:
    """Each failed attempt is logged with the moment of the next one, and the last as the last."""
    house.make("def handler(e, c): 1 / 0")
    with capture_logs() as logged:
        await ended(house, house.enqueue())
    told = [line for line in logged if line["event"] == "function_failed"]
    assert [(line["attempt"], line["status"]) for line in told] == [(1, "pending"), (2, "pending"), (3, "failed")]
    for line in told[:2]:
        assert abs(datetime.fromisoformat(line["next_attempt"]) - datetime.now(UTC)) < timedelta(minutes=5)
    assert "last" in told[2]["next_attempt"]


async def test_a_retry_that_succeeds(house: House) -> None:
    """An error of an attempt before is forgotten when a later one succeeds."""
    house.make("n = []\ndef handler(e, c): n.append(1); assert len(n) == 2")
    row = await ended(house, house.enqueue())
    assert (row["status"], row["attempts"], row["last_error"]) == ("succeeded", 2, None)


async def test_a_function_that_is_gone(house: House) -> None:
    """An invocation of a function that does not exist fails at once, with the reason."""
    row = await ended(house, house.enqueue(name="gone"))
    assert (row["status"], row["last_error"]) == ("failed", "ResourceNotFoundException: Function not found: gone")


async def test_order(house: House) -> None:
    """Invocations of one function are carried out in the order of their commits."""
    house.make("def handler(e, c): print('event', e)")
    ids = [house.enqueue(str(n).encode()) for n in range(10)]
    for invocation in ids:
        await ended(house, invocation)
    lines = [line for line in house.log().splitlines() if line.startswith("event")]
    assert lines == [f"event {n}" for n in range(10)]


async def test_one_stuck_function_does_not_hold_up_others(house: House) -> None:
    """A function that takes its time holds up only itself."""
    house.make("import time\ndef handler(e, c): time.sleep(600)", "slow", timeout=900)
    house.make("def handler(e, c): pass", "quick")
    slow = house.enqueue(name="slow")
    await until(lambda: look_up(house, slow)["status"] == "running")
    assert (await ended(house, house.enqueue(name="quick")))["status"] == "succeeded"


async def test_run_again_after_a_crash(tmp_path: Path) -> None:
    """What was running when the server ended is run again, and that attempt does not count against it."""
    house = House(tmp_path)
    await house.functions.start()
    house.make("import time\ndef handler(e, c): time.sleep(600)", timeout=900)
    invocation = house.enqueue()
    await until(lambda: look_up(house, invocation)["status"] == "running")
    await house.stop()
    again = House(tmp_path)
    again.edit("def handler(e, c): print('again')")
    await again.functions.start()
    row = await ended(again, invocation)
    assert (row["status"], row["attempts"]) == ("succeeded", 1)
    assert "again" in again.log()
    await again.stop()


async def test_payload_too_large(house: House) -> None:
    """An asynchronous event is at most 1 MiB."""
    with pytest.raises(RequestTooLarge):
        house.enqueue(b'"' + b"x" * 1024 * 1024 + b'"')


async def test_pruning(house: House) -> None:
    """Successes are forgotten after an hour, failures after two weeks."""
    house.make("def handler(e, c): assert e")
    good, bad = house.enqueue(b"1"), house.enqueue(b"0")
    ended_at = max((await ended(house, good))["finished_at"], (await ended(house, bad))["finished_at"])
    for later, left in ((3_599_000, 2), (3_601_000, 1), (14 * 86_400_000 + 1000, 0)):
        with house.database.transaction(ended_at + later) as tx:
            queue.prune(tx)
            assert tx.scalar(sa.select(sa.func.count()).select_from(invocations)) == left
