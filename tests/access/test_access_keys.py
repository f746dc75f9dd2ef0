"""The root key, session keys, and the key ring over them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from api_house import House
from fleetward import errors
from fleetward.access import users
from fleetward.access.keys import (
    KEPT_AFTER_EXPIRY,
    ensure_root_key,
    issue_session,
    issue_user_session,
    root_key,
    session_arn,
    set_active,
)
from fleetward.store.tables.access import access_key_uses, access_keys

ROLE = "arn:aws:iam::123456789012:role/service-role/Function"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def test_the_root_key_stays_until_another_is_given(house: House) -> None:
    """A root key is made once; one that is given replaces it, and the old one is refused from then on."""
    database, arns = house.rooms.database, house.rooms.arns
    with database.transaction(1) as tx:
        assert ensure_root_key(tx, arns) == house.root
    assert house.rooms.keys.holder_of(house.root.id, None, 1) == house.root
    with database.transaction(1) as tx:
        given = ensure_root_key(tx, arns, "me", "s")
    assert (given.id, given.secret, given.principal_arn) == ("me", "s", arns.root)
    with pytest.raises(errors.UnrecognizedClient):
        house.rooms.keys.holder_of(house.root.id, None, 1)
    with database.transaction(1) as tx:
        assert ensure_root_key(tx, arns) == given == root_key(tx, arns)


def test_half_a_root_key_is_refused(house: House) -> None:
    """An id without a secret, or a secret without an id, is a mistake in the settings."""
    with house.rooms.database.transaction(1) as tx, pytest.raises(ValueError, match="together"):
        ensure_root_key(tx, house.rooms.arns, "me", None)


def test_a_new_secret_counts_from_the_commit_on(house: House) -> None:
    """The key ring forgets a key when a commit changes it, and not when the change is rolled back."""
    keys, arns = house.rooms.keys, house.rooms.arns
    assert keys.find(house.root.id)
    with contextlib.suppress(InterruptedError), house.rooms.database.transaction(1) as tx:
        ensure_root_key(tx, arns, house.root.id, "another")
        raise InterruptedError
    assert keys.find(house.root.id) == house.root
    with house.rooms.database.transaction(1) as tx:
        ensure_root_key(tx, arns, house.root.id, "another")
    found = keys.find(house.root.id)
    assert found is not None
    assert found.secret == "another"


def test_expired_keys_are_pruned_after_an_hour(house: House) -> None:
    """Issuing a session forgets keys that ended more than an hour ago, and no others."""
    database = house.rooms.database
    with database.transaction(0) as tx:
        ended = issue_session(tx, ROLE, "old", 1)
        running = issue_session(tx, ROLE, "new", 7200)
    with database.transaction(1001 + KEPT_AFTER_EXPIRY) as tx:
        issue_session(tx, ROLE, "newest", 60)
        left = set(tx.connection.execute(sa.select(access_keys.c.id)).scalars())
    assert ended.id not in left
    assert {running.id, house.root.id} < left


def test_secrets_do_not_show(house: House) -> None:
    """Printing keys shows neither secret nor token."""
    with house.rooms.database.transaction(0) as tx:
        keys = issue_session(tx, ROLE, "old", 1)
    assert keys.secret not in repr(keys)
    assert str(keys.session_token) not in repr(keys)
    assert house.root.secret not in repr(house.root)


def test_a_sessions_principal_leaves_out_the_roles_path() -> None:
    """A session's ARN names role and session, as AWS writes it."""
    assert session_arn(ROLE, "s") == "arn:aws:sts::123456789012:assumed-role/Function/s"


def test_a_key_that_is_switched_off_ends_at_once(house: House) -> None:
    """An inactive key is refused like an unknown one, and so are the sessions it made for its own user; switched on
    again, the key works."""
    database, ring = house.rooms.database, house.rooms.keys
    with database.transaction(1) as tx:
        users.create(tx, "u", "/")
        key = users.create_key(tx, house.rooms.arns, "u")
        session = issue_user_session(tx, key, 900)
    assert ring.holder_of(key.id, None, 2) == key
    assert ring.holder_of(session.id, session.session_token, 2) == session
    with database.transaction(3) as tx:
        set_active(tx, key.id, False)
    for gone, token in ((key, None), (session, session.session_token)):
        with pytest.raises(errors.UnrecognizedClient):
            ring.holder_of(gone.id, token, 4)
    with database.transaction(5) as tx:
        set_active(tx, key.id, True)
    assert ring.holder_of(key.id, None, 6) == key


def test_a_session_of_the_root_user_is_not_the_root_key(house: House) -> None:
    """Only the long-lived key counts as the root key, whatever sessions the root user has."""
    with house.rooms.database.transaction(1) as tx:
        issue_user_session(tx, house.root, 900)
        assert root_key(tx, house.rooms.arns) == house.root
        ensure_root_key(tx, house.rooms.arns, "me", "s")
        assert [row["id"] for row in tx.all(sa.select(access_keys.c.id))] == ["me"]


def test_the_last_use_is_noted_once_a_minute(house: House) -> None:
    """The store learns of a key's use at most once a minute, and never of a session's."""
    ring, database = house.rooms.keys, house.rooms.database
    with database.transaction(1) as tx:
        session = issue_user_session(tx, house.root, 900)
    for now in (1_000, 2_000, 61_000, 62_000):
        ring.note_use(house.root, "iot", now)
        ring.note_use(session, "iot", now)
    with database.read() as look:
        rows = look.all(sa.select(access_key_uses))
    assert [(row["key_id"], row["used_at"], row["service"]) for row in rows] == [(house.root.id, 61_000, "iot")]
