"""The change feed: what a commit touched, read back as `Change`s and handed to every view in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, TypeAlias

import sqlalchemy as sa

from fleetward.records import (
    AuthorityRecord,
    CertificateRecord,
    Change,
    GroupRecord,
    PolicyRecord,
    Record,
    RecordKind,
    ThingRecord,
)
from fleetward.store.database import Database, Reader, Touched
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
        database.before_commit(self._read)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Every step from now on goes to `subscriber`, on the committing thread; `read_fleet` tells what was before."""
        with self._lock:
            self._subscribers.append(subscriber)

    def _read(self, look: Reader, touched: Touched) -> Callable[[], None] | None:
        """Reads what a transaction made of the records that it touched, to be published once that is committed."""
        mine = {(RecordKind(kind), key): record for (kind, key), record in touched.items() if kind in _KINDS}
        if not mine:
            return None
        mine |= read_records(look, [place for place, record in mine.items() if record is None])
        return partial(self._publish, [(kind, key, record) for (kind, key), record in mine.items()])

    def _publish(self, records: Sequence[tuple[RecordKind, str, Record | None]]) -> None:
        with self._lock:
            changes = [self._change(*record) for record in records]
            for subscriber in self._subscribers:
                subscriber(changes)

    def _change(self, kind: RecordKind, key: str, record: Record | None) -> Change:
        self._version += 1
        return Change(self._version, kind, key, record)


def read_records(look: Reader, wanted: Sequence[tuple[RecordKind, str]]) -> dict[tuple[RecordKind, str], Record]:
    """The records under (kind, key) as they stand now; those that there are."""
    found: dict[tuple[RecordKind, str], Record] = {}
    for kind, read in READERS.items():
        keys = [key for of_kind, key in wanted if of_kind is kind]
        for start in range(0, len(keys), KEYS_AT_ONCE):
            found |= {(kind, key): record for key, record in read(look, keys[start : start + KEYS_AT_ONCE])}
    return found


def read_record(look: Reader, kind: RecordKind, key: str) -> Record | None:
    """The record under (kind, key) as it stands now, or None when there is none."""
    return read_records(look, [(kind, key)]).get((kind, key))


_Rows: TypeAlias = Iterator[tuple[str, Record]]


class _Query:
    """A statement whose rows are asked for by `key`; put together once, which takes longer than reading a row."""

    def __init__(self, statement: sa.Select[Any], key: sa.Column[str]) -> None:
        self._all = statement
        self._one = statement.where(key == sa.bindparam("wanted"))
        self._some = statement.where(key.in_(sa.bindparam("wanted", expanding=True)))

    def rows(self, look: Reader, keys: Keys) -> Iterable[Any]:
        if keys is None:
            return look.execute(self._all)
        if len(keys) == 1:
            return look.execute(self._one, {"wanted": keys[0]})
        return look.execute(self._some, {"wanted": list(keys)})


_policies, _versions = tables.policies.c, tables.policy_versions.c
_DOCUMENTS = _Query(
    sa.select(_policies.name, _versions.document).join(
        tables.policy_versions,
        sa.and_(_versions.policy_name == _policies.name, _versions.version == _policies.default_version),
    ),
    _policies.name,
)


def _read_policies(look: Reader, names: Keys) -> _Rows:
    for name, document in _DOCUMENTS.rows(look, names):
        yield name, PolicyRecord(name, document)


_groups = tables.thing_groups.c
_GROUPS = _Query(sa.select(_groups.name, _groups.parent), _groups.name)


def _read_groups(look: Reader, names: Keys) -> _Rows:
    policies = _policies_of(look, "thinggroup", names)
    for name, parent in _GROUPS.rows(look, names):
        yield name, GroupRecord(name, parent, tuple(policies.get(name, ())))


_authorities = tables.ca_certificates.c
_AUTHORITIES = _Query(sa.select(_authorities.id, _authorities.pem), _authorities.id)


def _read_authorities(look: Reader, ids: Keys) -> _Rows:
    for key, pem in _AUTHORITIES.rows(look, ids):
        yield key, AuthorityRecord(key, pem)


_certificates = tables.certificates.c
# The text of a certificate is read only where the gateway needs it: there may be a million.
_text = sa.case((_certificates.stands_alone, _certificates.pem))
_CERTIFICATES = _Query(sa.select(_certificates.id, _certificates.status, _text), _certificates.id)


def _read_certificates(look: Reader, ids: Keys) -> _Rows:
    policies = _policies_of(look, "cert", ids)
    attached, exclusive = _attachments(look, ids)
    same: dict[tuple[str, ...], tuple[str, ...]] = {}  # of a million certificates most have the policies of others
    for key, status, text in _CERTIFICATES.rows(look, ids):
        things = frozenset(attached.get(key, ()))
        of_key = tuple(policies.get(key, ()))
        of_key = same.setdefault(of_key, of_key)
        yield key, CertificateRecord(key, status == "ACTIVE", of_key, things, exclusive.get(key), text)


_things, _members = tables.things.c, tables.thing_group_members.c
_THINGS = _Query(
    sa.select(
        _things.name,
        _things.id,
        _things.type_name,
        _things.attributes,
        _things.version,
        _things.created_at,
        _members.group_name,
    )
    .outerjoin(tables.thing_group_members, _members.thing_name == _things.name)
    .order_by(_things.name, _members.group_name),
    _things.name,
)


def _read_things(look: Reader, names: Keys) -> _Rows:
    """One query, with a row for each group of a thing."""
    for name, of_name in groupby(_THINGS.rows(look, names), key=lambda row: row[0]):
        rows = list(of_name)
        _, id, type_name, attributes, version, created_at, _ = rows[0]
        groups = tuple(row[-1] for row in rows if row[-1] is not None)
        yield name, ThingRecord(name, id, type_name, attributes, groups, version, created_at)


READERS: Mapping[RecordKind, Callable[[Reader, Keys], _Rows]] = {
    RecordKind.POLICY: _read_policies,
    RecordKind.GROUP: _read_groups,
    RecordKind.AUTHORITY: _read_authorities,
    RecordKind.CERTIFICATE: _read_certificates,
    RecordKind.THING: _read_things,
}
"""Policies before what they are attached to, things last."""


_principals = tables.thing_principals.c
_ATTACHMENTS = _Query(
    sa.select(_principals.certificate_id, _principals.thing_name, _principals.exclusive), _principals.certificate_id
)


def _attachments(look: Reader, ids: Keys) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Certificate id → the things it is attached to, and → the thing it is exclusive to."""
    attached: dict[str, list[str]] = {}
    exclusive: dict[str, str] = {}
    for key, thing, is_exclusive in _ATTACHMENTS.rows(look, ids):
        attached.setdefault(key, []).append(thing)
        if is_exclusive:
            exclusive[key] = thing
    return attached, exclusive


_targets = tables.policy_attachments.c
_POLICIES = {
    kind: _Query(
        sa.select(_targets.target, _targets.policy_name)
        .where(_targets.target_kind == kind)
        .order_by(_targets.policy_name),
        _targets.target,
    )
    for kind in ("thinggroup", "cert")
}
"""Kind of target → the policies attached to such."""


def _policies_of(look: Reader, target_kind: str, targets: Keys) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for owner, policy in _POLICIES[target_kind].rows(look, targets):
        found.setdefault(owner, []).append(policy)
    return found
