"""Bringing the store to this version's schema: runs by itself on start, and refuses a newer schema."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from fleetward.store.database import Database

MIGRATIONS = Path(__file__).parent / "migrations"


class NewerSchema(Exception):
    """The store was written by a newer version; starting would harm it."""


def migrate(database: Database) -> None:
    """Upgrades the store to the newest schema this version knows; a new store gets all of it.

    Raises NewerSchema when the store's schema is not one of this version's.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    with database.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current == script.get_current_head():
        return
    if current is not None and current not in {revision.revision for revision in script.walk_revisions()}:
        raise NewerSchema(
            f"the store has schema {current}, which is newer than this version of Fleetward knows "
            f"({script.get_current_head()}); start the newer version, or restore a backup made before the upgrade"
        )
    with database.connect(writing=True) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
