"""METRICS: one row per built-in metric. Adding one is a row here and a place that counts it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    SIZE = "size"
    """Has a value only for a device that sent something; a static bound is compared with each message, a percentile
    with the sum over the window."""

    COUNTER = "counter"
    """Counts per window; 0 for a device that is connected and idle."""


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    label: str
    kind: Kind
    unit: str
    duration_required: bool
    takes_dimension: bool


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("aws:message-byte-size", "Message size", Kind.SIZE, "bytes", False, True),
        Metric("aws:num-messages-sent", "Messages sent", Kind.COUNTER, "messages", True, True),
        Metric("aws:num-messages-received", "Messages received", Kind.COUNTER, "messages", True, True),
        Metric("aws:num-authorization-failures", "Authorization failures", Kind.COUNTER, "failures", True, True),
        Metric("aws:num-connection-attempts", "Connection attempts", Kind.COUNTER, "attempts", True, False),
        Metric("aws:num-disconnects", "Disconnects", Kind.COUNTER, "disconnects", True, False),
    )
}

MESSAGE_SIZE = "aws:message-byte-size"
MESSAGES_SENT = "aws:num-messages-sent"
MESSAGES_RECEIVED = "aws:num-messages-received"
AUTHORIZATION_FAILURES = "aws:num-authorization-failures"
CONNECTION_ATTEMPTS = "aws:num-connection-attempts"
DISCONNECTS = "aws:num-disconnects"
