"""The audit trail: whatever changes a tracked table is written down in the same transaction."""

import json

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward import errors
from fleetward.access import keys
from fleetward.arn import Arns
from fleetward.registry import groups, policies, tags, things
from fleetward.store import trail
from fleetward.store.database import Database, sqlite_url
from fleetward.store.tables import metadata
from fleetward.store.tables.trail import trail as table
from fleetward.store.trail import HIDDEN, TRACKED, UNREMARKABLE, Actor

ARNS = Arns("us-east-1", "123456789012")
ALICE = Actor("arn:aws:iam::123456789012:user/alice", "127.0.0.1", "iot:CreateThing", "r-1", "because")
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]})


def open_store(folder):
    database = Database(sqlite_url(folder / "store.db"))
    metadata.create_all(database.engine)
    return database


@pytest.fixture
def database(tmp_path):
    made = open_store(tmp_path)
    yield made
    made.close()


def entries(database):
    with database.read() as look:
        return look.all(sa.select(table).order_by(table.c.id))


def test_who_what_when_before_and_after(database):
    """A change says who made it, from where, by what, and what the row was before and after."""
    with database.transaction(7, ALICE) as tx:
        things.create(tx, "lamp", {"room": "hall"})
        things.update(tx, "lamp", {"room": "attic"})
        things.delete(tx, "lamp")
    made, changed, deleted = entries(database)
    assert {made[name] for name in ("principal", "address", "operation", "request_id", "reason")} == {
        ALICE.principal, "127.0.0.1", "iot:CreateThing", "r-1", "because",
    }  # fmt: skip
    assert (made["time"], made["kind"], made["name"], made["before"]) == (7, "thing", "lamp", None)
    assert changed["before"]["attributes"] == {"room": "hall"}
    assert changed["after"]["attributes"] == {"room": "attic"}
    assert deleted["before"]["attributes"] == {"room": "attic"}
    assert deleted["after"] is None


def test_what_failed_left_no_trace(database):
    """A transaction that fails leaves nothing on the trail, and one that changes nothing leaves nothing either."""
    with pytest.raises(errors.ResourceNotFound), database.transaction(0, ALICE) as tx:
        things.create(tx, "lamp")
        groups.add_thing(tx, "nowhere", "lamp")
    with database.transaction(0, ALICE) as tx:
        things.delete(tx, "lamp")
        tags.remove(tx, "arn", ["key"])
    assert entries(database) == []


def test_everything_that_moves_is_named(database):
    """A group move, a policy and its attachment are each an entry that names both ends."""
    with database.transaction(0) as tx:
        things.create(tx, "lamp")
        groups.create(tx, "lamps")
        groups.add_thing(tx, "lamps", "lamp")
        policies.create(tx, "p", POLICY)
        policies.attach(tx, "p", ARNS.iot("thinggroup", "lamps"))
        groups.delete(tx, "lamps")
    told = [(entry["kind"], entry["name"], entry["after"] is not None) for entry in entries(database)]
    assert ("thing group member", "lamps/lamp", True) in told
    assert ("policy attachment", "p/thinggroup/lamps", True) in told
    assert ("policy attachment", "p/thinggroup/lamps", False) in told
    assert ("thing group member", "lamps/lamp", False) in told


def test_secrets_are_hidden(database):
    """A secret is never on the trail, and the keys of sessions are not on it at all."""
    with database.transaction(0) as tx:
        root = keys.ensure_root_key(tx, ARNS)
        session = keys.issue_session(tx, ARNS.role("r"), "s", 900)
    written = json.dumps([dict(entry) for entry in entries(database)])
    assert root.id in written
    assert root.secret not in written
    assert session.id not in written


def test_retention(database):
    """What happened before the retention is forgotten."""
    for now in (1, 2, 3):
        with database.transaction(now) as tx:
            things.create(tx, f"lamp{now}")
    with database.transaction(4) as tx:
        trail.prune(tx.connection, 3)
    assert [entry["time"] for entry in entries(database)] == [3]


def test_every_table_is_tracked_or_known_not_to_be():
    """A new table is either on the trail or listed here as something that happens by itself."""
    by_itself = {
        *(
            "access_key_uses",
            "activity",
            "deliveries",
            "function_code",
            "invocations",
            "isolations",
            "log_events",
            "log_groups",
        ),
        *("log_streams", "mails", "messages", "mitigation_executions", "shadows", "thing_attributes", "trail"),
        *("activity", "violation_events", "violations"),
    }
    assert set(metadata.tables) == set(TRACKED) | by_itself
    assert not HIDDEN & UNREMARKABLE


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "remove"]), st.sampled_from("abc"), st.sampled_from(["x", "y"])), max_size=12
)


@given(steps=STEPS)
@settings(max_examples=20)
def test_the_trail_tells_the_whole_story(tmp_path_factory, steps):
    """Following the trail from nothing gives exactly the rows that are there."""
    database = open_store(tmp_path_factory.mktemp("trail"))
    for action, key, value in steps:
        with database.transaction(0) as tx:
            if action == "put":
                tags.put(tx, "arn", {key: value})
            else:
                tags.remove(tx, "arn", [key])
    told = {}
    for entry in entries(database):
        assert told.get(entry["name"]) == entry["before"]
        told[entry["name"]] = entry["after"]
    with database.read() as look:
        there = tags.of(look, "arn")
    assert {row["key"]: row["value"] for row in told.values() if row} == there
    database.close()
