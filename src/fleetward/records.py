"""What the fleet is made of, as every view of it holds it: the records of door 3, and the steps of the change feed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from fleetward.model import Millis


@dataclass(frozen=True, slots=True)
class ThingRecord:
    """A registered thing and the groups it is a direct member of. `id` is its integer identity in packed batches."""

    name: str
    id: int
    type_name: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    version: int = 1
    created_at: Millis = 0


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """A thing group, its parent and the names of the policies attached to it."""

    name: str
    parent: str | None = None
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """A device certificate: `id` is the SHA-256 of its DER form in hex, as on AWS.

    `things` are the things it is attached to; `exclusive_thing` is set when the attachment is EXCLUSIVE_THING. `pem` is
    there only for one that no authority vouches for.
    """

    id: str
    active: bool
    policies: tuple[str, ...] = ()
    things: frozenset[str] = frozenset()
    exclusive_thing: str | None = None
    pem: str | None = None


@dataclass(frozen=True, slots=True)
class AuthorityRecord:
    """A registered CA, whose certificates may show themselves to the gateway; `id` as of a device certificate."""

    id: str
    pem: str


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """A policy and the JSON text of its default version."""

    name: str
    document: str


Record: TypeAlias = ThingRecord | GroupRecord | CertificateRecord | PolicyRecord | AuthorityRecord


class RecordKind(StrEnum):
    THING = "thing"
    GROUP = "group"
    CERTIFICATE = "certificate"
    POLICY = "policy"
    AUTHORITY = "authority"


@dataclass(frozen=True, slots=True)
class Change:
    """One step of the change feed: the record under (kind, key) is now `record`, or gone when None."""

    version: int
    kind: RecordKind
    key: str
    record: Record | None
