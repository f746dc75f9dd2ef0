"""Thing types and attributes: their limits, their life, and finding things by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetward import errors
from fleetward.registry import thing_attributes, thing_types, things
from fleetward.store.database import Database, Transaction, sqlite_url
from fleetward.store.tables import metadata

MINUTE = 60_000
SIX = {f"a{number}": "x" for number in range(6)}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(sqlite_url(tmp_path / "store.db"))
    metadata.create_all(made.engine)
    yield made
    made.close()


@pytest.fixture
def tx(database: Database) -> Iterator[Transaction]:
    with database.transaction(0) as transaction:
        yield transaction


def found(tx: Transaction, attribute: str, value: str | None = None, prefix: bool = False) -> list[str]:
    return [row["name"] for row in thing_attributes.find(tx, attribute, value, 100, None, prefix)]


class TestLimits:
    def test_attributes_without_and_with_type(self, tx: Transaction) -> None:
        """A thing has at most 3 attributes without a type and 50 with one, when it is made and when it changes."""
        thing_types.create(tx, "Lamp")
        with pytest.raises(errors.InvalidRequest, match="at most 3"):
            things.create(tx, "lamp", SIX)
        things.create(tx, "lamp", SIX, "Lamp")
        with pytest.raises(errors.InvalidRequest, match="at most 3"):
            things.update(tx, "lamp", remove_type=True)
        with pytest.raises(errors.InvalidRequest, match="at most 50"):
            things.update(tx, "lamp", {f"b{number}": "x" for number in range(45)}, merge=True)
        things.update(tx, "lamp", {"a": "x"}, remove_type=True)
        assert things.get(tx, "lamp")["type_name"] is None

    def test_searchable_attributes(self, tx: Transaction) -> None:
        """A type makes at most three attributes searchable, each once."""
        for wrong in (["a", "b", "c", "d"], ["a", "a"]):
            with pytest.raises(errors.InvalidRequest):
                thing_types.create(tx, "Lamp", "", wrong)

    def test_same_type_again(self, tx: Transaction) -> None:
        """Creating a type again succeeds with the same configuration and is a conflict with another."""
        made = thing_types.create(tx, "Lamp", "gives light", ["watt"])
        assert thing_types.create(tx, "Lamp", "gives light", ["watt"])["id"] == made["id"]
        with pytest.raises(errors.ResourceAlreadyExists):
            thing_types.create(tx, "Lamp", "gives light", ["volt"])

    def test_unknown_type(self, tx: Transaction) -> None:
        """A type that is not there cannot be given; the refusal suggests a near one."""
        thing_types.create(tx, "LightBulb")
        with pytest.raises(errors.ResourceNotFound, match="Did you mean LightBulb"):
            things.create(tx, "lamp", type_name="LightBulbs")


class TestDeprecation:
    def test_no_further_things(self, tx: Transaction) -> None:
        """A deprecated type cannot be given to a thing; one that has it keeps it and can change."""
        thing_types.create(tx, "Lamp")
        things.create(tx, "old", type_name="Lamp")
        things.create(tx, "bare")
        thing_types.deprecate(tx, "Lamp")
        for attempt in (
            lambda: things.create(tx, "new", type_name="Lamp"),
            lambda: things.update(tx, "bare", type_name="Lamp"),
        ):
            with pytest.raises(errors.InvalidRequest, match="deprecated"):
                attempt()
        things.update(tx, "old", {"a": "b"}, type_name="Lamp")
        thing_types.deprecate(tx, "Lamp", undo=True)
        things.update(tx, "bare", type_name="Lamp")

    def test_deleting_takes_five_minutes(self, database: Database) -> None:
        """A type is deleted five minutes after its deprecation, and only when no thing has it."""
        with database.transaction(0) as tx:
            thing_types.create(tx, "Lamp")
            things.create(tx, "lamp", type_name="Lamp")
        with database.transaction(MINUTE) as tx:
            with pytest.raises(errors.InvalidRequest, match="deprecate"):
                thing_types.delete(tx, "Lamp")
            thing_types.deprecate(tx, "Lamp")
        with database.transaction(2 * MINUTE) as tx:
            thing_types.deprecate(tx, "Lamp")  # again: the first time counts
        with database.transaction(6 * MINUTE - 1) as tx, pytest.raises(errors.InvalidRequest, match="5 minutes"):
            thing_types.delete(tx, "Lamp")
        with database.transaction(6 * MINUTE) as tx:
            with pytest.raises(errors.InvalidRequest, match="associated"):
                thing_types.delete(tx, "Lamp")
            things.update(tx, "lamp", remove_type=True)
            thing_types.delete(tx, "Lamp")
            assert thing_types.find(tx, "Lamp") is None


class TestFinding:
    def test_by_attribute(self, tx: Transaction) -> None:
        """Things are found by an attribute, by its value, or by how the value begins; case counts."""
        for name, room in (("a", "hall"), ("b", "hallway"), ("c", "Hall"), ("d", "attic")):
            things.create(tx, name, {"room": room})
        assert found(tx, "room", "hall") == ["a"]
        assert found(tx, "room", "hall", prefix=True) == ["a", "b"]
        assert sorted(found(tx, "room")) == ["a", "b", "c", "d"]
        things.update(tx, "a", {"room": ""}, merge=True)
        things.delete(tx, "b")
        assert found(tx, "room", "hall", prefix=True) == []

    def test_types_say_what_is_searchable(self, tx: Transaction) -> None:
        """A thing with a type is found by the searchable attributes of its type, as they are now."""
        thing_types.create(tx, "Lamp", "", ["watt", "model"])
        things.create(tx, "lamp", {"watt": "75", "room": "hall"}, "Lamp")
        things.create(tx, "desk", {"room": "hall"})
        assert found(tx, "room", "hall") == ["desk"]
        thing_types.update(tx, "Lamp", searchable=["room", "model"])
        assert found(tx, "room", "hall") == ["desk", "lamp"]
        assert found(tx, "watt") == []
        things.update(tx, "lamp", remove_type=True)
        assert found(tx, "watt", "75") == ["lamp"]

    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    @given(
        values=st.lists(st.sampled_from(["", "x", "xy", "x_", "x%", "y", "X"]), max_size=12),
        value=st.sampled_from([None, "x", "y"]),
        prefix=st.booleans(),
        size=st.integers(1, 5),
    )
    def test_pages_are_the_list(
        self, tmp_path_factory: pytest.TempPathFactory, values: list[str], value: str | None, prefix: bool, size: int
    ) -> None:
        """Page after page gives exactly the things that a plain filter gives, each once."""
        database = Database(sqlite_url(tmp_path_factory.mktemp("pages") / "store.db"))
        metadata.create_all(database.engine)
        with database.transaction(0) as tx:
            for number, room in enumerate(values):
                things.create(tx, f"t{number}", {"room": room})
            pages, after = [], None
            while rows := thing_attributes.find(tx, "room", value, size, after, prefix):
                pages += [row["name"] for row in rows]
                after = (rows[-1]["found"], rows[-1]["name"])
        database.close()
        keeps = (lambda room: room.startswith(value or "")) if prefix or value is None else (lambda room: room == value)
        assert len(pages) == len(set(pages))
        assert set(pages) == {f"t{number}" for number, room in enumerate(values) if room and keeps(room)}


def test_a_thing_has_one_identity_as_long_as_it_lives(database: Database) -> None:
    """A thing's id is a UUID that changes with nothing; a thing made anew under the name has another."""

    def identity(row: Mapping[Any, Any]) -> str:
        return things.identity(row["id"], row["name"], row["created_at"])

    with database.transaction(0) as tx:
        first = identity(things.create(tx, "lamp"))
        things.update(tx, "lamp", {"a": "b"})
        assert identity(things.get(tx, "lamp")) == first
        assert len(first) == 36
        things.delete(tx, "lamp")
        assert identity(things.create(tx, "lamp")) != first
