"""Users and roles with their policies compiled, kept in memory until a commit touches one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

from fleetward.access import documents, entities, managed, trust
from fleetward.access.trust import TrustPolicy
from fleetward.arn import Arns
from fleetward.policy.document import Policy
from fleetward.store.database import Database, Reader, Touch

K = TypeVar("K")
V = TypeVar("V")

MOST = 4096
"""Users and roles, and managed policies, kept in memory at once."""

TOUCHED = frozenset({"user", "role", "managed_policy"})


@dataclass(frozen=True, slots=True)
class Holder:
    """A user or role. `trust` is a role's; None when it trusts nobody."""

    id: str
    arn: str
    policies: tuple[Policy, ...]
    trust: TrustPolicy | None = None


class Holders:
    """Safe to use from several threads. What does not exist is looked for each time."""

    def __init__(self, database: Database, arns: Arns) -> None:
        self._database = database
        self._arns = arns
        self._holders: dict[tuple[str, str], Holder] = {}
        self._managed: dict[str, Policy] = {}
        self._changes = 0
        self._lock = threading.Lock()
        database.on_commit(self._forget_changed)

    def find(self, kind: entities.Kind, name: str, look: Reader | None = None) -> Holder | None:
        found = self._holders.get((kind.word, name))
        if found is None:
            changes = self._changes
            with self._reading(look) as reader:
                found = self._read(reader, kind, name)
            if found is not None:
                self._keep(self._holders, (kind.word, name), found, changes)
        return found

    def managed_policy(self, arn: str) -> Policy | None:
        """The default version of a managed policy."""
        found = self._managed.get(arn)
        if found is None:
            changes = self._changes
            with self._database.read() as look:
                text = managed.document(look, arn)
            if text is not None:
                found = documents.compiled(text, arn)
                self._keep(self._managed, arn, found, changes)
        return found

    def _reading(self, look: Reader | None) -> AbstractContextManager[Reader]:
        return self._database.read() if look is None else nullcontext(look)

    def _read(self, look: Reader, kind: entities.Kind, name: str) -> Holder | None:
        row = entities.find(look, kind, name)
        if row is None:
            return None
        texts = {own["policy_name"]: own["document"] for own in entities.inline(look, kind, name)}
        texts |= {arn: managed.document(look, arn) for arn in entities.attached(look, kind, name)}
        policies = tuple(documents.compiled(text, policy) for policy, text in texts.items() if text is not None)
        trusted = trust.compiled(row["trust_policy"]) if kind is entities.ROLE else None
        return Holder(row["id"], kind.arn(self._arns, row), policies, trusted)

    def _keep(self, kept: dict[K, V], key: K, value: V, changes: int) -> None:
        with self._lock:
            if changes != self._changes:  # a commit came between, so what we read may be old
                return
            if len(kept) >= MOST:
                kept.clear()
            kept[key] = value

    def _forget_changed(self, touched: Sequence[Touch]) -> None:
        if any(kind in TOUCHED for kind, _ in touched):
            with self._lock:
                self._changes += 1
                self._holders.clear()
                self._managed.clear()
