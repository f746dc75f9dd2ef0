"""What is kept of devices' connections: bounded a thing, in time and altogether."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleetward.registry import activity
from fleetward.registry.activity import CONNECTED, REFUSED, Event
from fleetward.registry.activity_log import WAITING, ActivityLog
from fleetward.store.database import Database, sqlite_url
from fleetward.store.migrate import migrate
from fleetward.store.tables.activity import activity as table


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(sqlite_url(tmp_path / "store.db"))
    migrate(made)
    yield made
    made.close()


def event(thing: str, time: int = 0, kind: str = CONNECTED, certificate: str = "c") -> Event:
    return Event(thing, time, kind, thing, certificate, "127.0.0.1", "")


def times_of(database: Database, thing: str) -> list[int]:
    with database.read() as look:
        return [row["time"] for row in look.all(activity.of_thing(thing).order_by(table.c.id))]


def test_a_thing_keeps_its_latest_events(database: Database) -> None:
    """However much one thing does, only its latest events stay, and nothing of another's goes."""
    with database.transaction(0) as tx:
        activity.write(tx, [event("quiet", 1)])
    for start in range(0, 2 * activity.OF_A_THING, 100):
        with database.transaction(0) as tx:
            activity.write(tx, [event("busy", start + number) for number in range(100)])
    assert times_of(database, "busy") == list(range(activity.OF_A_THING, 2 * activity.OF_A_THING))
    assert times_of(database, "quiet") == [1]


def test_old_events_and_the_surplus_are_forgotten(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is older than its time goes, and so does what is more than may be kept altogether."""
    now = 100 * 86_400_000
    monkeypatch.setattr(activity, "OF_ALL", 3)
    with database.transaction(now) as tx:
        activity.write(tx, [event("old", 1), *(event(f"made-up-{number}", now) for number in range(5))])
        activity.prune(tx)
    with database.read() as look:
        assert look.execute(sa.select(table.c.thing)).scalars().all() == ["made-up-2", "made-up-3", "made-up-4"]


def test_the_latest_connect_of_certificates(database: Database) -> None:
    """Of several certificates the latest begin of a session is found; refusals are none."""
    with database.transaction(0) as tx:
        activity.write(tx, [event("a", 1, certificate="one"), event("b", 2, certificate="two")])
        activity.write(tx, [event("c", 3, REFUSED, certificate="one")])
    with database.read() as look:
        found = activity.latest_connect(look, ["one", "two", "none"])
        assert found is not None
        assert found["client_id"] == "b"
        assert activity.latest_connect(look, []) is None


def test_a_flood_is_bounded_and_what_waits_is_written_at_the_end(database: Database) -> None:
    """More events than may wait lose the oldest, and stopping writes the rest."""

    async def flood() -> None:
        log = ActivityLog(database, lambda: 0)
        for number in range(WAITING + 10):
            log.note(event(f"thing-{number}", number))
        await log.stop()

    asyncio.run(flood())
    with database.read() as look:
        assert look.scalar(sa.select(sa.func.count()).select_from(table)) == WAITING
        assert look.scalar(sa.select(sa.func.min(table.c.time))) == 10
