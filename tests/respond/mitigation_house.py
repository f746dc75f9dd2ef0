"""A store with things, groups, violations and mitigation actions, and the mitigator over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from fleetward.arn import Arns
from fleetward.registry import groups, things
from fleetward.respond import mitigation_actions, mitigation_tasks
from fleetward.respond.mitigator import Mitigator
from fleetward.store.database import Database, sqlite_url
from fleetward.store.tables.base import metadata
from fleetward.store.tables.detect import security_profiles, violations
from fleetward.store.tables.respond import mitigation_executions

ROLE = "arn:aws:iam::123456789012:role/mitigation"
T0 = 1_790_000_000_000


def isolate(*names: str) -> dict[str, Any]:
    return {"addThingsToThingGroupParams": {"thingGroupNames": list(names)}}


class MitigationHouse:
    """`denied` are the resources on which no role may do anything."""

    def __init__(self, folder: Path) -> None:
        self.now = T0
        self.denied: set[str] = set()
        self.arns = Arns("us-east-1", "123456789012")
        self.database = Database(sqlite_url(folder / "respond.db"))
        metadata.create_all(self.database.engine)
        self.mitigator = Mitigator(self.database, self.arns, lambda: self.now, self._permits)
        with self.tx() as tx:
            groups.create(tx, "Isolated")
            groups.create(tx, "Watched")
            row = {"name": "P", "document": {}, "version": 1, "created_at": 0, "modified_at": 0}
            tx.execute(security_profiles.insert(), [row])
            mitigation_actions.create(tx, "isolate", ROLE, isolate("Isolated"))
            mitigation_actions.create(tx, "watch", ROLE, isolate("Watched"))
            mitigation_actions.create(tx, "missing", ROLE, isolate("NoSuchGroup"))

    def _permits(self, _look: object, _role: str, action: str, resource: str) -> bool:
        assert action == "iot:AddThingToThingGroup"
        return resource not in self.denied

    def tx(self) -> Any:
        return self.database.transaction(self.now)

    def violation(self, thing: str, register: bool = True, **columns: Any) -> str:
        """An open violation of a new thing; returns its id."""
        row = {
            "id": f"{thing:0>32}"[:32],
            "thing": thing,
            "profile": "P",
            "behavior": {"name": "b"},
            "behavior_name": "b",
            "criteria_type": "STATIC",
            "suppressed": False,
            "alert_topics": [],
            "state": "in-alarm",
            "started_at": self.now,
            "last_at": self.now,
            "last_value": {"count": 1},
            "ended_at": None,
            "reason": "",
            "explanation": None,
            "verification_state": "UNKNOWN",
            "verification_description": None,
            **columns,
        }
        with self.tx() as tx:
            if register:
                things.create(tx, thing)
            known = {name: value for name, value in row.items() if name in violations.c}
            tx.execute(violations.insert(), [known])
        return str(row["id"])

    def start(self, task_id: str, *ids: str, actions: tuple[str, ...] = ("isolate",), **how: Any) -> None:
        target = how.pop("target", {"violationIds": list(ids)})
        with self.tx() as tx:
            mitigation_tasks.start(tx, task_id, target, actions, **how)

    def run(self) -> int:
        """Carries out every task; returns in how many steps."""
        steps = 0
        while self.mitigator.step():
            steps += 1
        return steps

    def task(self, task_id: str) -> dict[str, Any]:
        with self.database.read() as look:
            return dict(mitigation_tasks.get(look, task_id))

    def executions(self, task_id: str) -> list[tuple[str, str, str]]:
        """(thing, action, status) of each execution, in their order."""
        row = mitigation_executions.c
        with self.database.read() as look:
            wanted = sa.select(row.thing, row.action, row.status).where(row.task_id == task_id).order_by(row.number)
            return [tuple(found) for found in look.execute(wanted)]

    def members(self, group: str = "Isolated") -> list[str]:
        with self.database.read() as look:
            return groups.members(look, group)

    def close(self) -> None:
        self.database.close()
