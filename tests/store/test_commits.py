"""What hears of a commit, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from fleetward.records import Change
from fleetward.registry import things
from fleetward.registry.feed import Feed
from fleetward.store.database import Database, Reader, Touch, sqlite_url
from fleetward.store.tables import metadata


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(sqlite_url(tmp_path / "store.db"))
    metadata.create_all(made.engine)
    yield made
    made.close()


def broken(*_: object) -> None:
    raise RuntimeError("broken")


def test_one_listener_that_fails_keeps_no_other_from_hearing(database: Database) -> None:
    """Every listener hears of every commit, in the order they came, and the failure of one is told afterwards."""
    heard: list[str] = []
    feed: list[Change] = []
    database.on_commit(lambda touched: heard.append("first"))
    database.on_commit(broken)
    database.on_commit(lambda touched: heard.append("last"))
    Feed(database).subscribe(feed.extend)
    with pytest.raises(RuntimeError), database.transaction(0) as tx:
        things.create(tx, "lamp")
    assert heard == ["first", "last"]
    assert [change.key for change in feed] == ["lamp"]


def test_what_cannot_be_read_back_is_not_committed(database: Database) -> None:
    """A change that the feed could not pass on is undone, so no view can miss one."""
    heard: list[Sequence[Touch]] = []
    database.on_commit(heard.append)
    database.before_commit(broken)
    with pytest.raises(RuntimeError), database.transaction(0) as tx:
        things.create(tx, "lamp")
    with database.read() as look:
        assert things.find(look, "lamp") is None
    assert heard == []


def test_before_the_commit_only_the_transaction_sees_the_change(database: Database) -> None:
    """A preparation reads what the transaction made; its step runs when everybody can."""
    seen: list[bool] = []

    def exists(look: Reader) -> bool:
        return things.find(look, "lamp") is not None

    def everybody() -> None:
        with database.read() as look:
            seen.append(exists(look))

    def prepare(look: Reader, _touched: Sequence[Touch]) -> Callable[[], None]:
        seen.append(exists(look))
        everybody()
        return everybody

    database.before_commit(prepare)
    with database.transaction(0) as tx:
        things.create(tx, "lamp")
    assert seen == [True, False, True]


def test_a_transaction_that_raises_tells_nobody(database: Database) -> None:
    """What is undone was never there."""
    heard: list[Sequence[Touch]] = []
    database.on_commit(heard.append)
    with pytest.raises(KeyError), database.transaction(0) as tx:
        things.create(tx, "lamp")
        raise KeyError
    with database.read() as look:
        assert things.find(look, "lamp") is None
    assert heard == []
