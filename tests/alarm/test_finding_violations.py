"""Violations found by the beginning of their ids, and listed by what they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetward import errors
from fleetward.alarm import violations
from fleetward.alarm.lifecycle import State
from fleetward.alarm.violations import Filter
from fleetward.store.database import Database, Reader, sqlite_url
from fleetward.store.tables import metadata
from fleetward.store.tables.detect import violations as table

ROW: dict[str, Any] = {
    "profile": "P",
    "behavior": {},
    "behavior_name": "b",
    "criteria_type": "STATIC",
    "suppressed": False,
    "alert_topics": [],
    "last_at": 0,
    "last_value": {},
    "reason": "",
    "verification_state": "UNKNOWN",
}
KEPT = (
    ("abcd01", "lamp", State.IN_ALARM, 1_000),
    ("abcd02", "lamp", State.CLEARED, 2_000),
    ("abff03", "desk", State.INVALIDATED, 3_000),
)


@pytest.fixture
def look(tmp_path: Path) -> Iterator[Reader]:
    database = Database(sqlite_url(tmp_path / "store.db"))
    metadata.create_all(database.engine)
    with database.transaction(0) as tx:
        for id_, thing, state, started in KEPT:
            tx.execute(table.insert().values(**ROW, id=id_, thing=thing, state=state, started_at=started))
    with database.read() as reader:
        yield reader
    database.close()


@pytest.mark.parametrize(("beginning", "found"), [("abf", "abff03"), ("abcd01", "abcd01"), ("abcd02", "abcd02")])
def test_a_beginning_is_enough(look: Reader, beginning: str, found: str) -> None:
    """As much of an id as no other begins with finds its violation, and so does the whole id."""
    assert violations.get(look, beginning)["id"] == found


def test_what_begins_several(look: Reader) -> None:
    """A beginning of several ids is refused and names them."""
    with pytest.raises(errors.Validation, match=r"abcd01, abcd02$"):
        violations.get(look, "abcd")


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("abcd09", "Did you mean abcd0"),
        ("abfg03", "Did you mean abff03?"),
        ("lamp", "fleetward violations lamp"),
        ("zz", ""),
    ],
)
def test_what_is_not_there(look: Reader, wanted: str, hint: str) -> None:
    """An unknown id is refused with the nearest one, cut to the same length, or with how a device's are listed."""
    with pytest.raises(errors.ResourceNotFound) as refused:
        violations.get(look, wanted)
    assert refused.value.message.startswith(f"Violation {wanted} not found.")
    assert hint in refused.value.message


@pytest.mark.parametrize(
    ("kept", "found"),
    [
        (Filter(), {"abcd01", "abcd02", "abff03"}),
        (Filter(is_open=True), {"abcd01"}),
        (Filter(is_open=False), {"abcd02", "abff03"}),
        (Filter(is_open=False, since=2_500), {"abff03"}),
        (Filter(thing="lamp", since=2_000), {"abcd02"}),
    ],
)
def test_filters(look: Reader, kept: Filter, found: set[str]) -> None:
    """A listing keeps what its filter says: open or ended, of whom, raised since when."""
    assert {row["id"] for row in look.all(violations.recorded(kept))} == found
