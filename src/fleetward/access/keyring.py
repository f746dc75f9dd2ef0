"""The key ring: access keys by id, kept in memory until the store says that one changed."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError

from fleetward import errors
from fleetward.access.keys import AccessKey, find_key
from fleetward.model import Millis
from fleetward.store.database import Database, Touch
from fleetward.store.tables.access import access_key_uses

MAX_KEYS = 4096
"""Keys kept in memory at once; unknown ids are never kept, so guessing cannot push real ones out."""

NOTED_EVERY: Millis = 60_000
"""How far behind the last use of a key may be in the store, so that a busy key does not write at every request."""

log = structlog.get_logger()


class KeyRing:
    """Finds access keys. Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys: dict[str, AccessKey] = {}
        self._noted: dict[str, Millis] = {}
        self._changes = 0
        self._lock = threading.Lock()
        database.on_commit(self._forget_changed)

    def find(self, key_id: str) -> AccessKey | None:
        key = self._keys.get(key_id)
        if key is None:
            changes = self._changes
            with self._database.read() as look:
                key = find_key(look, key_id)
            if key is not None:
                self._keep(key, changes)
        return key

    def holder_of(self, key_id: str, token: str | None, now: Millis) -> AccessKey:
        """The key of that id, when the session token is its own and it is active and has not ended.

        Raises errors.UnrecognizedClient or errors.ExpiredToken.
        """
        key = self.find(key_id)
        if key is None or not key.active or not _same(key.session_token, token):
            raise errors.UnrecognizedClient("The security token included in the request is invalid.")
        if key.expires_at is not None and key.expires_at <= now:
            raise errors.ExpiredToken("The security token included in the request is expired")
        return key

    def note_use(self, key: AccessKey, service: str, now: Millis) -> None:
        """Remembers when a long-lived key was last used, and for what; a store that refuses is no reason to fail."""
        noted = self._noted.get(key.id)
        if key.session_token is not None or (noted is not None and now < noted + NOTED_EVERY):
            return
        self._noted[key.id] = now
        try:
            with self._database.transaction(now) as tx:
                tx.execute(sa.delete(access_key_uses).where(access_key_uses.c.key_id == key.id))
                tx.execute(sa.insert(access_key_uses).values(key_id=key.id, used_at=now, service=service))
        except SQLAlchemyError as error:
            log.warning("key_use_not_noted", key=key.id, error=type(error).__name__)

    def _keep(self, key: AccessKey, changes: int) -> None:
        with self._lock:
            if changes != self._changes:  # a commit came between, so what we read may be old
                return
            if len(self._keys) >= MAX_KEYS:
                self._keys.clear()
            self._keys[key.id] = key

    def _forget_changed(self, touched: Sequence[Touch]) -> None:
        changed = [key_id for kind, key_id in touched if kind == "access_key"]
        with self._lock:
            self._changes += len(changed)
            for key_id in changed:
                self._keys.pop(key_id, None)
                self._noted.pop(key_id, None)


def _same(expected: str | None, given: str | None) -> bool:
    if expected is None or given is None:
        return expected is given
    return secrets.compare_digest(expected.encode(), given.encode())
