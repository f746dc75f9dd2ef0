"""What a gateway is started with, and why it does not start or answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fleetward.errors import ServiceUnavailable


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the broker's certificate and key, and the authority whose device certificates are let in."""

    certificate: Path
    key: Path
    authority: Path


class CannotServe(Exception):
    """Why the gateway cannot start, in words for whoever started the server."""


class CannotListen(CannotServe):
    """The MQTT port cannot be bound; says which one and why."""


class DurableFileError(CannotServe):
    """The durable file cannot be used: corrupt, newer than this version, in use, or not writable."""


class GatewayStopped(ServiceUnavailable):
    """A command came when the gateway was not running, or it stopped before it replied."""
