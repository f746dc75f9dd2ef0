"""Identity-based policies: whether a document is one, how long it is, and its compiled form.

Sources: IAM user guide, "Grammar of the IAM JSON policy language", "IAM and AWS STS quotas".
"""

from __future__ import annotations

from functools import lru_cache

from fleetward import errors
from fleetward.policy.document import Policy, parse

MAX_CHARACTERS = 10_240
"""Characters of the longest document anywhere, white space not counted."""


def size_of(document: str) -> int:
    """What counts against a quota: the characters that are not white space."""
    return len("".join(document.split()))


def check(document: str) -> None:
    """Refuses what is no identity-based policy."""
    try:
        parse(document, keys=None, max_characters=MAX_CHARACTERS)
    except errors.MalformedPolicy as refusal:
        raise errors.MalformedPolicyDocument(refusal.message) from None


@lru_cache(maxsize=4096)
def compiled(document: str, name: str) -> Policy:
    """The policy, ready to be evaluated; one that cannot be read denies everything."""
    try:
        return parse(document, name, keys=None, max_characters=MAX_CHARACTERS)
    except errors.MalformedPolicy:
        return parse(_DENY_ALL, name, keys=None)


_DENY_ALL = '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}'
