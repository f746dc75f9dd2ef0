"""Who is signed in: sessions by an unguessable token, kept in memory, so that a restart signs everybody out."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from fleetward.access.keys import AccessKey
from fleetward.model import Millis

HOURS = 12
"""As long as a session of AWS's console."""

WITH_PASSWORD = "console"  # noqa: S105
"""In place of an access key's id in the session of who signed in with a password."""

MAX_SESSIONS = 1_000
MAX_OF_PRINCIPAL = 50
"""The oldest session ends when one more would be too many, of all or of one principal."""


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in person. `key` says whose policies count; `alive` whether what they signed in with is still valid.

    `preferences` are how they like to look at it.
    """

    token: str = field(repr=False)
    name: str
    key: AccessKey
    ends_at: Millis
    alive: Callable[[Millis], bool] = field(repr=False)
    preferences: dict[str, bool | None] = field(default_factory=dict)


class Sessions:
    def __init__(self) -> None:
        self._sessions: dict[bytes, Session] = {}

    def open(self, name: str, key: AccessKey, alive: Callable[[Millis], bool], now: Millis) -> Session:
        own = [one for one, other in self._sessions.items() if other.key.principal_arn == key.principal_arn]
        if len(own) >= MAX_OF_PRINCIPAL:
            del self._sessions[own[0]]
        while len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        session = Session(secrets.token_urlsafe(32), name, key, now + HOURS * 3_600_000, alive)
        self._sessions[_digest(session.token)] = session
        return session

    def find(self, token: str, now: Millis) -> Session | None:
        """The session of that token, while it lasts. Looked up by digest, so that timing tells nothing of a token."""
        session = self._sessions.get(_digest(token))
        if session is not None and not is_valid(session, now):
            self.close(token)
            return None
        return session

    def close(self, token: str) -> None:
        self._sessions.pop(_digest(token), None)


def is_valid(session: Session, now: Millis) -> bool:
    return now < session.ends_at and session.alive(now)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
