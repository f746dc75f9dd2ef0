"""The migrations make exactly the schema the code speaks of, and refuse what they do not know."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from fleetward.store.database import Database, sqlite_url
from fleetward.store.migrate import NewerSchema, migrate
from fleetward.store.tables import metadata


@pytest.fixture
def database(tmp_path):
    made = Database(sqlite_url(tmp_path / "store.db"))
    yield made
    made.close()


def test_migrations_make_the_schema(database):
    """A migrated store differs in nothing from the tables in the code, and migrating again changes nothing."""
    migrate(database)
    migrate(database)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_ids_are_never_given_twice(database):
    """Tables whose ids must not name another row later are made with AUTOINCREMENT by the migrations too."""
    migrate(database)
    wanted = {name for name, table in metadata.tables.items() if table.dialect_options["sqlite"]["autoincrement"]}
    with database.read() as look:
        rows = look.execute(sa.text("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'")).scalars()
        assert set(rows) == wanted


def test_newer_schema_is_refused(database):
    """A store of a version we do not know is refused with a text that says what to do, and is left as it is."""
    migrate(database)
    with database.transaction(0) as tx:
        tx.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerSchema, match=r"9999.*newer"):
        migrate(database)


def test_a_transaction_is_all_or_nothing(database):
    """What a transaction did before it failed is undone, and no listener hears of it."""
    migrate(database)
    heard = []
    database.on_commit(heard.append)
    insert = sa.text("INSERT INTO tags (arn, key, value) VALUES ('a', 'b', 'c')")
    with pytest.raises(RuntimeError), database.transaction(0) as tx:
        tx.execute(insert)
        tx.touch("thing", "a")
        raise RuntimeError
    with database.read() as look:
        assert look.scalar(sa.text("SELECT count(*) FROM tags")) == 0
    with database.transaction(0) as tx:
        tx.execute(insert)
        tx.touch("thing", "a")
        tx.touch("thing", "a")
        assert heard == []
    assert heard == [(("thing", "a"),)]
