"""Who stands behind an access key: the root user, a user, or a session of a role."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from fleetward.arn import parse


class Kind(StrEnum):
    """The kinds, spelled as the context key `aws:PrincipalType`."""

    ROOT = "Account"
    USER = "User"
    ROLE = "AssumedRole"


@dataclass(frozen=True, slots=True)
class Principal:
    """`arn` is what GetCallerIdentity shows; `name` the user's or the role's name, `session` a session's."""

    kind: Kind
    arn: str
    account: str
    name: str = ""
    session: str = ""


@lru_cache(maxsize=4096)
def principal_of(arn: str) -> Principal | None:
    """The principal of that ARN; None for any other ARN."""
    parsed = parse(arn)
    if parsed is None:
        return None
    if (parsed.service, parsed.resource) == ("iam", "root"):
        return Principal(Kind.ROOT, arn, parsed.account)
    if (parsed.service, parsed.kind) == ("iam", "user"):
        return Principal(Kind.USER, arn, parsed.account, parsed.name.rsplit("/", 1)[-1])
    if (parsed.service, parsed.kind) == ("sts", "assumed-role"):
        role, _, session = parsed.name.partition("/")
        return Principal(Kind.ROLE, arn, parsed.account, role, session)
    return None
