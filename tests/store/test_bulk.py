"""One statement over many rows."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from fleetward.store.bulk import execute_many
from fleetward.store.database import Database, sqlite_url
from fleetward.store.tables import metadata
from fleetward.store.tables.notify import messages

ROWS = [
    {
        "created_at": number,
        "id": str(number),
        "topic_name": "T",
        "kind": "Notification",
        "text": "it's 100% :fine ?",
        "attributes": '{"a":{"Type":"String","Value":"é"}}',
    }
    for number in range(3)
]


def test_rows_are_those_that_sqlalchemy_writes(tmp_path: Path) -> None:
    """Inserted and updated in bulk, rows read as if SQLAlchemy had written them, whatever the order of their keys."""
    insert = sa.insert(messages)
    update = sa.update(messages).where(messages.c.id == sa.bindparam("key")).values(subject=sa.bindparam("told"))
    database = Database(sqlite_url(tmp_path / "store.db"))
    metadata.create_all(database.engine)
    with database.transaction(0) as tx:
        execute_many(tx, insert, [])
        execute_many(tx, insert, ROWS[:2])
        execute_many(tx, insert, [dict(reversed(ROWS[2].items()))])
        execute_many(tx, update, [{"told": f"s{number}", "key": str(number)} for number in range(3)])
        found = tx.all(sa.select(messages).order_by(messages.c.id))
    database.close()
    assert [(row["id"], row["created_at"], row["subject"]) for row in found] == [
        (str(number), number, f"s{number}") for number in range(3)
    ]
    assert {(row["text"], row["attributes"]["a"]["Value"]) for row in found} == {("it's 100% :fine ?", "é")}
