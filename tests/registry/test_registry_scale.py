"""A million things cost what a thousand cost: nothing that is asked for every day reads a whole table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fleetward.registry import certificates, feed, groups, names, policies, thing_attributes, things
from fleetward.store.database import Database, Reader, sqlite_url
from fleetward.store.tables import metadata
from fleetward.store.tables.registry import things as table

ID = "ab" * 32
Ask = Callable[[Reader], Any]

QUESTIONS: dict[str, Ask] = {
    "describe a thing": lambda look: things.find(look, "t"),
    "things by name": lambda look: things.by_name(look, 100, "t"),
    "things of a type": lambda look: things.by_name(look, 100, "t", "Lamp"),
    "things by attribute": lambda look: thing_attributes.find(look, "room", None, 100, ("hall", "t")),
    "things by value": lambda look: thing_attributes.find(look, "room", "hall", 100, ("hall", "t")),
    "things by prefix": lambda look: thing_attributes.find(look, "room", "ha", 100, ("hall", "t"), prefix=True),
    "a near name": lambda look: names.near_name(look, table.c.name, "SensorDevice2"),
    "members of a group": lambda look: groups.page_of_members(look, "g", False, 100, ("g", "t")),
    "groups by prefix": lambda look: groups.listed(look, 100, "g", "gr", None, True),
    "children of a group": lambda look: groups.listed(look, 100, "g", None, "parent", False),
    "groups of a thing": lambda look: groups.groups_of(look, "t"),
    "certificates": lambda look: certificates.listed(look, 100, (1, ID), True),
    "certificates, newest first": lambda look: certificates.listed(look, 100, (1, ID), False),
    "certificates of a CA": lambda look: certificates.listed(look, 100, (1, ID), False, ID),
    "things of a certificate": lambda look: certificates.attachments_of_certificate(look, ID, 100, "t"),
    "certificates of a thing": lambda look: certificates.attachments_of_thing(look, "t", 100, ID),
    "targets of a policy": lambda look: policies.targets(look, "p", None, 100, ("cert", ID)),
    "a change of a thing": lambda look: feed.read_record(look, feed.RecordKind.THING, "t"),
    "changes of things": lambda look: feed.read_records(
        look, [(feed.RecordKind.THING, "t"), (feed.RecordKind.THING, "u")]
    ),
    "a change of a certificate": lambda look: feed.read_record(look, feed.RecordKind.CERTIFICATE, ID),
}

FEW = {"groups of a thing", "a change of a thing", "changes of things", "a change of a certificate"}
"""Questions whose answer is short by the registry's own limits, so that it may be sorted."""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path: Path = tmp_path_factory.mktemp("scale") / "store.db"
    made = Database(sqlite_url(path))
    metadata.create_all(made.engine)
    yield made
    made.close()


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_reads_a_whole_table_or_sorts(database: Database, question: str) -> None:
    """Everyday questions are answered from an index, in its order, from where the page before ended."""
    asked: list[tuple[str, Any]] = []

    def hear(_conn: Any, _cursor: Any, text: str, parameters: Any, *_: Any) -> None:
        asked.append((text, parameters))

    sa.event.listen(database.engine, "before_cursor_execute", hear)
    try:
        with database.read() as look:
            QUESTIONS[question](look)
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", hear)
    selects = [(text, parameters) for text, parameters in asked if text.startswith(("SELECT", "WITH"))]
    assert selects
    for text, parameters in selects:
        with database.engine.connect() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters).fetchall()
        for *_, step in plan:
            assert question in FEW or "TEMP B-TREE" not in step, f"{step} in {text}"
            assert not step.startswith("SCAN") or step.startswith("SCAN CONSTANT"), f"{step} in {text}"


def test_a_commit_is_read_back_with_as_many_queries_whatever_it_touched(database: Database) -> None:
    """The feed asks once for all things of a commit, not once for each."""
    counts = []
    for number in (1, 40):
        wanted = [(feed.RecordKind.THING, f"t{i}") for i in range(number)]
        wanted += [(feed.RecordKind.CERTIFICATE, f"{i:064x}") for i in range(number)]
        asked: list[str] = []
        hear = lambda _c, _k, text, *_, asked=asked: asked.append(text)  # noqa: E731
        sa.event.listen(database.engine, "before_cursor_execute", hear)
        with database.read() as look:
            feed.read_records(look, wanted)
        sa.event.remove(database.engine, "before_cursor_execute", hear)
        counts.append(len(asked))
    assert counts[0] == counts[1]
