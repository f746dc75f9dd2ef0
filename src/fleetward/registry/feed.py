"""The change feed: what a commit touched, read back as `Change`s and handed to every view in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa

from fleetward.model import (
    CertificateRecord,
    Change,
    GroupRecord,
    PolicyRecord,
    Record,
    RecordKind,
    ThingRecord,
)
from fleetward.store.database import Database, Reader, Touch
from fleetward.store.tables import registry as tables

Subscriber: TypeAlias = Callable[[Sequence[Change]], None]

_KINDS = frozenset(kind.value for kind in RecordKind)


class Feed:
    """Turns commits into changes, numbered without gaps, and passes them to the subscribers in commit order."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._subscribers: list[Subscriber] = []
        self._version = 0
        self._lock = threading.Lock()
        database.on_commit(self._committed)

    def subscribe(self, subscriber: Subscriber) -> list[Change]:
        """Returns the whole fleet; every step after that goes to `subscriber`, on the committing thread."""
        with self._lock:
            self._subscribers.append(subscriber)
            return self._everything()

    def _committed(self, touched: Sequence[Touch]) -> None:
        mine = [(RecordKind(kind), key) for kind, key in touched if kind in _KINDS]
        if not mine:
            return
        with self._lock:
            with self._database.read() as look:
                changes = [self._change(kind, key, read_record(look, kind, key)) for kind, key in mine]
            for subscriber in self._subscribers:
                subscriber(changes)

    def _everything(self) -> list[Change]:
        with self._database.read() as look:
            return [self._change(kind, key, record) for kind, key, record in read_all(look)]

    def _change(self, kind: RecordKind, key: str, record: Record | None) -> Change:
        self._version += 1
        return Change(self._version, kind, key, record)


def read_record(look: Reader, kind: RecordKind, key: str) -> Record | None:
    """The record under (kind, key) as it stands now, or None when there is none."""
    return next((record for _, _, record in _READERS[kind](look, key)), None)


def read_all(look: Reader) -> Iterator[tuple[RecordKind, str, Record]]:
    """Every record: policies before what they are attached to, things last."""
    for kind in (RecordKind.POLICY, RecordKind.GROUP, RecordKind.CERTIFICATE, RecordKind.THING):
        yield from _READERS[kind](look, None)


_Rows: TypeAlias = Iterator[tuple[RecordKind, str, Record]]


def _read_things(look: Reader, name: str | None) -> _Rows:
    members = _grouped(look, tables.thing_group_members.c.thing_name, tables.thing_group_members.c.group_name, name)
    for row in look.all(_select(tables.things, tables.things.c.name, name)):
        groups = tuple(members.get(row["name"], ()))
        yield (
            RecordKind.THING,
            row["name"],
            ThingRecord(row["name"], row["id"], row["type_name"], row["attributes"], groups),
        )


def _read_groups(look: Reader, name: str | None) -> _Rows:
    policies = _policies_of(look, "thinggroup", name)
    for row in look.all(_select(tables.thing_groups, tables.thing_groups.c.name, name)):
        yield (
            RecordKind.GROUP,
            row["name"],
            GroupRecord(row["name"], row["parent"], tuple(policies.get(row["name"], ()))),
        )


def _read_certificates(look: Reader, certificate_id: str | None) -> _Rows:
    policies = _policies_of(look, "cert", certificate_id)
    principals = tables.thing_principals
    things = _grouped(look, principals.c.certificate_id, principals.c.thing_name, certificate_id)
    exclusive = {
        row["certificate_id"]: row["thing_name"]
        for row in look.all(
            _select(principals, principals.c.certificate_id, certificate_id).where(principals.c.exclusive)
        )
    }
    for row in look.all(_select(tables.certificates, tables.certificates.c.id, certificate_id)):
        key = row["id"]
        record = CertificateRecord(
            key,
            row["status"] == "ACTIVE",
            tuple(policies.get(key, ())),
            frozenset(things.get(key, ())),
            exclusive.get(key),
        )
        yield RecordKind.CERTIFICATE, key, record


def _read_policies(look: Reader, name: str | None) -> _Rows:
    policies, versions = tables.policies, tables.policy_versions
    joined = sa.select(policies.c.name, versions.c.document).join(
        versions,
        sa.and_(versions.c.policy_name == policies.c.name, versions.c.version == policies.c.default_version),
    )
    for row in look.all(joined if name is None else joined.where(policies.c.name == name)):
        yield RecordKind.POLICY, row["name"], PolicyRecord(row["name"], row["document"])


_READERS: Mapping[RecordKind, Callable[[Reader, str | None], _Rows]] = {
    RecordKind.THING: _read_things,
    RecordKind.GROUP: _read_groups,
    RecordKind.CERTIFICATE: _read_certificates,
    RecordKind.POLICY: _read_policies,
}


def _select(table: sa.Table, column: sa.Column[Any], key: str | None) -> sa.Select[Any]:
    return sa.select(table) if key is None else sa.select(table).where(column == key)


def _grouped(look: Reader, by: sa.Column[Any], what: sa.Column[Any], key: str | None) -> dict[str, list[str]]:
    statement = sa.select(by, what).order_by(what)
    found: dict[str, list[str]] = {}
    for owner, value in look.execute(statement if key is None else statement.where(by == key)):
        found.setdefault(owner, []).append(value)
    return found


def _policies_of(look: Reader, target_kind: str, target: str | None) -> dict[str, list[str]]:
    table = tables.policy_attachments
    statement = sa.select(table.c.target, table.c.policy_name).where(table.c.target_kind == target_kind)
    if target is not None:
        statement = statement.where(table.c.target == target)
    found: dict[str, list[str]] = {}
    for owner, policy in look.execute(statement.order_by(table.c.policy_name)):
        found.setdefault(owner, []).append(policy)
    return found
