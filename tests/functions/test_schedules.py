"""Schedules: each slot once, never piling up, only where permitted."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from function_house import ARNS, ROLE, House, now, open_database, until, zipped

from fleetward.errors import Validation
from fleetward.functions import catalog, permissions, queue, schedules
from fleetward.store.database import Database
from fleetward.store.tables.functions import invocations

MINUTE = 60_000
BEGIN = 1_000_000 * MINUTE


def allow(database: Database, name: str = "f") -> None:
    allowed = {"action": "lambda:InvokeFunction", "principal": "events.amazonaws.com", "source_arn": ARNS.rule("r")}
    with database.transaction(BEGIN) as tx:
        permissions.add(tx, ARNS, name, "events", **allowed)


def schedule(database: Database, expression: str = "rate(1 minute)", text: str | None = None) -> None:
    with database.transaction(BEGIN) as tx:
        schedules.put_rule(tx, "r", expression)
        schedules.put_target(tx, "r", "t", "f", text)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = open_database(tmp_path)
    with database.transaction(BEGIN) as tx:
        code = zipped(m="")
        catalog.create(tx, "f", code, runtime="python3.12", handler="m.handler", role=ROLE)
    return database


def fire(database: Database, slot: int) -> int:
    with database.transaction(slot) as tx:
        return schedules.fire(tx, ARNS, "r", slot)


def queued(database: Database) -> list:
    with database.read() as look:
        return list(look.all(sa.select(invocations).order_by(invocations.c.sequence)))


def carry_out(database: Database, at: int, error: str | None = None) -> None:
    with database.transaction(at) as tx:
        row = queue.take(tx, "f")
        assert row is not None
        queue.succeed(tx, row) if error is None else queue.fail(tx, row, error, [MINUTE])


def test_a_slot_is_fired_once(database: Database) -> None:
    """A slot calls its targets once, whoever fires it again, and with AWS's scheduled event."""
    allow(database)
    schedule(database)
    slot = BEGIN + MINUTE
    assert [fire(database, slot), fire(database, slot), fire(database, slot - MINUTE)] == [1, 0, 0]
    (row,) = queued(database)
    event = json.loads(row["payload"])
    assert event.pop("id")
    assert event == {
        "version": "0",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "1971-11-26T10:41:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/r"],
        "detail": {},
    }
    assert (row["source"], row["source_id"]) == ("events", f"r/t@{slot}")


def test_input_of_a_target(database: Database) -> None:
    """A target's Input is what its function gets."""
    allow(database)
    schedule(database, text='{"slot": 1}')
    fire(database, BEGIN + MINUTE)
    assert queued(database)[0]["payload"] == b'{"slot": 1}'


def test_late_work_does_not_pile_up(database: Database) -> None:
    """While the call of an earlier slot waits or runs, later slots are left out."""
    allow(database)
    schedule(database)
    assert [fire(database, BEGIN + n * MINUTE) for n in (1, 2, 3)] == [1, 0, 0]
    carry_out(database, BEGIN + 3 * MINUTE)
    assert fire(database, BEGIN + 4 * MINUTE) == 1


def test_a_failed_call_does_not_stop_the_schedule(database: Database) -> None:
    """While a failed call waits for its retry, the next slot is fired all the same."""
    allow(database)
    schedule(database)
    fire(database, BEGIN + MINUTE)
    carry_out(database, BEGIN + MINUTE, error="no")
    assert fire(database, BEGIN + 2 * MINUTE) == 1


@pytest.mark.parametrize(("expression", "attempts"), [("rate(59 seconds)", 1), ("rate(1 minute)", 3)])
def test_fast_rates_are_not_retried(database: Database, expression: str, attempts: int) -> None:
    """Slots of less than a minute are tried once: the next slot comes before a retry would."""
    allow(database)
    schedule(database, expression)
    fire(database, BEGIN + MINUTE)
    assert queued(database)[0]["max_attempts"] == attempts


def test_permission_is_needed(database: Database) -> None:
    """A rule calls only a function whose policy lets events.amazonaws.com do so; else the target says what is wrong."""
    schedule(database)
    assert fire(database, BEGIN + MINUTE) == 0
    with database.read() as look:
        assert "AddPermission" in schedules.targets(look, "r")[0]["last_error"]
    allow(database)
    assert fire(database, BEGIN + 2 * MINUTE) == 1
    with database.read() as look:
        assert schedules.targets(look, "r")[0]["last_error"] is None


def test_disabled_rules(database: Database) -> None:
    """A disabled rule fires nothing; enabled again it goes on with the next slot, not with those it has missed."""
    allow(database)
    schedule(database)
    with database.transaction(BEGIN) as tx:
        schedules.enable(tx, "r", False)
    assert fire(database, BEGIN + MINUTE) == 0
    with database.transaction(BEGIN + 3 * MINUTE + 1) as tx:
        schedules.enable(tx, "r", True)
    assert [fire(database, BEGIN + n * MINUTE) for n in (3, 4)] == [0, 1]


def test_rules_with_targets_stay(database: Database) -> None:
    """A rule can be deleted once it has no targets, and one that is not there any time."""
    schedule(database)
    with database.transaction(BEGIN) as tx:
        with pytest.raises(Validation):
            schedules.delete_rule(tx, "r")
        assert schedules.remove_target(tx, "r", "t")
        assert not schedules.remove_target(tx, "r", "t")
        schedules.delete_rule(tx, "r")
        schedules.delete_rule(tx, "r")


async def test_the_clock_fires(house: House) -> None:
    """A rate of one second calls its function at the start of every whole second, once each."""
    house.make("import time\ndef handler(e, c): print('at', e['time'], time.time())")
    allow(house.database)
    with house.database.transaction(now()) as tx:
        schedules.put_rule(tx, "r", "rate(1 second)")
        schedules.put_target(tx, "r", "t", "f", None)

    def lines() -> list[str]:
        return [line for line in house.log().splitlines() if line.startswith("at")]

    await until(lambda: len(lines()) >= 3)
    with house.database.transaction(now()) as tx:
        schedules.enable(tx, "r", False)
    calls = [line.split() for line in lines()]
    seconds = [int(float(called)) for _, _, called in calls]
    assert seconds == list(range(seconds[0], seconds[0] + len(seconds)))
    assert all(float(called) % 1 < 0.5 for _, _, called in calls)
    assert [slot[-3:-1] for _, slot, _ in calls] == [f"{second % 60:02d}" for second in seconds]


async def test_a_new_rule_starts_with_a_whole_slot(house: House) -> None:
    """A rule never fires in the middle of the slot it was made in."""
    house.make("def handler(e, c): pass")
    allow(house.database)
    with house.database.transaction(now()) as tx:
        schedules.put_rule(tx, "r", "rate(1 hour)")
        schedules.put_target(tx, "r", "t", "f", None)
    # The scheduler has heard of the rule once it has heard of what was committed later.
    await until(lambda: house.functions._scheduler._rules)
    assert queued(house.database) == []
