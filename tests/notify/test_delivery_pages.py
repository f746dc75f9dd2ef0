"""The pages of the delivery log and of a function's runs, few or many rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleetward.functions import queue
from fleetward.notify.log import deliveries_before
from fleetward.store import newest
from fleetward.store.database import Database, sqlite_url
from fleetward.store.migrate import migrate
from fleetward.store.tables.functions import invocations
from fleetward.store.tables.notify import deliveries, messages, topics

ROWS = 30


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Two topics whose messages took turns, each with one delivery; and two functions with a run each time."""
    made = Database(sqlite_url(tmp_path / "store.db"))
    migrate(made)
    with made.transaction(0) as tx:
        for name in ("even", "odd"):
            tx.execute(sa.insert(topics).values(name=name, attributes={}, created_at=0))
        for number in range(ROWS):
            name = ("even", "odd")[number % 2]
            message = {"id": f"m{number}", "topic_name": name, "kind": "Notification", "text": "", "attributes": {}}
            tx.execute(sa.insert(messages).values({**message, "created_at": number}))
            row = {"message_id": f"m{number}", "subscription_id": "s", "protocol": "lambda", "endpoint": "e"}
            tx.execute(
                sa.insert(deliveries).values({**row, "status": "handed over", "attempts": 1, "created_at": number})
            )
            queue.enqueue(tx, name, b"{}", "sns", str(number + 1))
    yield made
    made.close()


@pytest.mark.parametrize("many", [1, 1_000])
def test_few_and_many_rows_are_told_alike(database: Database, monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    """Whichever way the newest rows are found, they are the topic's or the function's own, the newest first."""
    monkeypatch.setattr(newest, "MANY", many)
    own = [number + 1 for number in range(ROWS) if number % 2]
    with database.read() as look:
        rows = look.all(deliveries_before(look, None, "odd"))
        later = look.all(deliveries_before(look, own[5], "odd").limit(3))
        runs = look.all(queue.runs_of(look, "odd").order_by(invocations.c.sequence.desc()))
        nobody = look.all(deliveries_before(look, None, "none"))
    assert [row["delivery"] for row in rows] == own[::-1]
    assert [row["delivery"] for row in later] == own[4:1:-1]
    assert [int(row["source_id"]) for row in runs] == own[::-1]
    assert {row["invocation_status"] for row in rows} == {"pending"}
    assert nobody == []
