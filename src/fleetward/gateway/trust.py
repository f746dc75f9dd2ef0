"""Whose certificates pass the TLS handshake: our own CA's, those of registered CAs, and some that stand alone.

TLS only proves that a client holds the key of its certificate, and that somebody known made it; whether that very
certificate may connect is the guard's decision, for every CONNECT. That is why trust only grows while the gateway runs:
what was removed from the registry is refused a moment later all the same.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from fleetward.records import AuthorityRecord, CertificateRecord, Change, Record


class Trust:
    """Keeps the TLS context of the listener in step with the change feed. To be used on the gateway's thread only."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._trusted: set[str] = set()

    def apply(self, change: Change) -> None:
        """Takes one step of the feed; handshakes that begin after it know it."""
        if change.record is not None:
            self.load([change.record])

    def load(self, records: Iterable[Record]) -> None:
        """Takes records as they stand."""
        for record in records:
            if isinstance(record, CertificateRecord | AuthorityRecord) and record.pem is not None:
                self._trust(record.id, record.pem)

    def _trust(self, id: str, pem: str) -> None:
        if id not in self._trusted:
            self._context.load_verify_locations(cadata=pem)
            self._trusted.add(id)
