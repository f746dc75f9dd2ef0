"""What security profiles use by name (custom metrics, dimensions), as it is kept: one table each, the same rules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward import errors
from fleetward.registry.names import near_name
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.detect import security_profiles


@dataclass(frozen=True, slots=True)
class Shelf:
    """`word` is what people call one of them, `touch` what a change is announced as; `used_in` gives the names that a
    profile's document uses.
    """

    table: sa.Table
    word: str
    touch: str
    most: int
    used_in: Callable[[Mapping[str, Any]], Collection[str]]

    def find(self, look: Reader, name: str) -> RowMapping | None:
        return look.one(sa.select(self.table).where(self.table.c.name == name))

    def get(self, look: Reader, name: str) -> RowMapping:
        """The row, or ResourceNotFound."""
        row = self.find(look, name)
        if row is None:
            hint = near_name(look, self.table.c.name, name)
            raise errors.ResourceNotFound(f"{self.word} {name} not found.{hint}")
        return row

    def create(self, tx: Transaction, name: str, wanted: Mapping[str, Any]) -> RowMapping:
        """Adds a row; the same request again, told by its `request_token`, succeeds and changes nothing."""
        existing = self.find(tx, name)
        if existing is not None:
            if wanted["request_token"] and all(existing[key] == value for key, value in wanted.items()):
                return existing
            raise errors.ResourceAlreadyExists(f"{self.word} {name} already exists")
        if (tx.scalar(sa.select(sa.func.count()).select_from(self.table)) or 0) >= self.most:
            raise errors.LimitExceeded(f"There can be at most {self.most} {self.word.lower()}s")
        tx.execute(self.table.insert(), [{"name": name, **wanted, "created_at": tx.now, "modified_at": tx.now}])
        tx.touch(self.touch, name)
        return self.get(tx, name)

    def change(self, tx: Transaction, name: str, **values: Any) -> RowMapping:
        self.get(tx, name)
        tx.execute(self.table.update().where(self.table.c.name == name).values(**values, modified_at=tx.now))
        return self.get(tx, name)

    def delete(self, tx: Transaction, name: str) -> None:
        """Deletes what no profile uses; what is not there is deleted already."""
        if self.find(tx, name) is None:
            return
        if users := self.users(tx, name):
            told = f"{self.word} {name} is used by security profile {', '.join(users[:5])}; remove it there first"
            raise errors.InvalidRequest(told)
        tx.execute(self.table.delete().where(self.table.c.name == name))
        tx.touch(self.touch, name)

    def users(self, look: Reader, name: str) -> list[str]:
        """The profiles that use it."""
        rows = look.execute(sa.select(security_profiles.c.name, security_profiles.c.document))
        return sorted(profile for profile, document in rows if name in self.used_in(document))
