"""The change feed: what a commit touched, read back as `Change`s and handed to every view in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeAlias

import sqlalchemy as sa

from fleetward.model import (
    AuthorityRecord,
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
Keys: TypeAlias = "Sequence[str] | None"
"""Which records of a kind are asked for; None: all."""

KEYS_AT_ONCE = 500
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

    def fleet(self) -> Iterator[Change]:
        """The whole fleet once more, for a subscriber that lost it and takes every step since the call after it."""
        version = self._version
        with self._database.read() as look:
            for kind, key, record in read_all(look):
                yield Change(version, kind, key, record)

    def _committed(self, touched: Sequence[Touch]) -> None:
        mine = [(RecordKind(kind), key) for kind, key in touched if kind in _KINDS]
        if not mine:
            return
        with self._lock:
            with self._database.read() as look:
                records = read_records(look, mine)
            changes = [self._change(kind, key, records.get((kind, key))) for kind, key in mine]
            for subscriber in self._subscribers:
                subscriber(changes)

    def _everything(self) -> list[Change]:
        with self._database.read() as look:
            return [self._change(kind, key, record) for kind, key, record in read_all(look)]

    def _change(self, kind: RecordKind, key: str, record: Record | None) -> Change:
        self._version += 1
        return Change(self._version, kind, key, record)


def read_records(look: Reader, wanted: Sequence[tuple[RecordKind, str]]) -> dict[tuple[RecordKind, str], Record]:
    """The records under (kind, key) as they stand now; those that there are."""
    found: dict[tuple[RecordKind, str], Record] = {}
    for kind, read in _READERS.items():
        keys = [key for of_kind, key in wanted if of_kind is kind]
        for start in range(0, len(keys), KEYS_AT_ONCE):
            found |= {(kind, key): record for key, record in read(look, keys[start : start + KEYS_AT_ONCE])}
    return found


def read_record(look: Reader, kind: RecordKind, key: str) -> Record | None:
    """The record under (kind, key) as it stands now, or None when there is none."""
    return read_records(look, [(kind, key)]).get((kind, key))


def read_all(look: Reader) -> Iterator[tuple[RecordKind, str, Record]]:
    """Every record: policies before what they are attached to, things last."""
    for kind, read in _READERS.items():
        for key, record in read(look, None):
            yield kind, key, record


_Rows: TypeAlias = Iterator[tuple[str, Record]]


def _read_policies(look: Reader, names: Keys) -> _Rows:
    policies, versions = tables.policies, tables.policy_versions
    is_default = sa.and_(versions.c.policy_name == policies.c.name, versions.c.version == policies.c.default_version)
    statement = sa.select(policies.c.name, versions.c.document).join(versions, is_default)
    for name, document in look.execute(_only(statement, policies.c.name, names)):
        yield name, PolicyRecord(name, document)


def _read_groups(look: Reader, names: Keys) -> _Rows:
    policies = _policies_of(look, "thinggroup", names)
    table = tables.thing_groups
    for name, parent in look.execute(_only(sa.select(table.c.name, table.c.parent), table.c.name, names)):
        yield name, GroupRecord(name, parent, tuple(policies.get(name, ())))


def _read_authorities(look: Reader, ids: Keys) -> _Rows:
    table = tables.ca_certificates
    for key, pem in look.execute(_only(sa.select(table.c.id, table.c.pem), table.c.id, ids)):
        yield key, AuthorityRecord(key, pem)


def _read_certificates(look: Reader, ids: Keys) -> _Rows:
    policies = _policies_of(look, "cert", ids)
    attached, exclusive = _attachments(look, ids)
    table = tables.certificates
    # The text of a certificate is read only where the gateway needs it: there may be a million.
    pem = sa.case((table.c.stands_alone, table.c.pem))
    statement = sa.select(table.c.id, table.c.status, pem)
    for key, status, text in look.execute(_only(statement, table.c.id, ids)):
        things = frozenset(attached.get(key, ()))
        of_key = tuple(policies.get(key, ()))
        yield key, CertificateRecord(key, status == "ACTIVE", of_key, things, exclusive.get(key), text)


_things, _members = tables.things.c, tables.thing_group_members.c
_THINGS = (
    sa.select(_things.name, _things.id, _things.type_name, _things.attributes, _members.group_name)
    .outerjoin(tables.thing_group_members, _members.thing_name == _things.name)
    .order_by(_things.name, _members.group_name)
)


def _read_things(look: Reader, names: Keys) -> _Rows:
    """One query, with a row for each group of a thing."""
    rows = look.execute(_only(_THINGS, tables.things.c.name, names))
    for name, of_name in groupby(rows, key=lambda row: row[0]):
        first, *others = of_name
        groups = tuple(row[4] for row in (first, *others) if row[4] is not None)
        yield name, ThingRecord(name, first[1], first[2], first[3], groups)


_READERS: Mapping[RecordKind, Callable[[Reader, Keys], _Rows]] = {
    RecordKind.POLICY: _read_policies,
    RecordKind.GROUP: _read_groups,
    RecordKind.AUTHORITY: _read_authorities,
    RecordKind.CERTIFICATE: _read_certificates,
    RecordKind.THING: _read_things,
}
"""In the order in which the whole fleet is read."""


def _only(statement: sa.Select[Any], column: sa.Column[Any], keys: Keys) -> sa.Select[Any]:
    if keys is None:
        return statement
    return statement.where(column == keys[0] if len(keys) == 1 else column.in_(keys))


def _attachments(look: Reader, ids: Keys) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Certificate id → the things it is attached to, and → the thing it is exclusive to."""
    table = tables.thing_principals
    statement = sa.select(table.c.certificate_id, table.c.thing_name, table.c.exclusive)
    attached: dict[str, list[str]] = {}
    exclusive: dict[str, str] = {}
    for key, thing, is_exclusive in look.execute(_only(statement, table.c.certificate_id, ids)):
        attached.setdefault(key, []).append(thing)
        if is_exclusive:
            exclusive[key] = thing
    return attached, exclusive


def _policies_of(look: Reader, target_kind: str, targets: Keys) -> dict[str, list[str]]:
    table = tables.policy_attachments
    statement = sa.select(table.c.target, table.c.policy_name).where(table.c.target_kind == target_kind)
    found: dict[str, list[str]] = {}
    for owner, policy in look.execute(_only(statement, table.c.target, targets).order_by(table.c.policy_name)):
        found.setdefault(owner, []).append(policy)
    return found
