"""METRICS: one row per built-in metric. Adding one is a row here and a place that counts it.

The rows follow AWS IoT Device Defender's "Cloud-side metrics" and "Device-side metrics", those of `fleetward:` MQTT 5.0
§5.4.8, "Detecting abnormal behaviors". `docs/metrics.md` is the same table for people; a test keeps the two together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from fleetward.model import LIST_KINDS, Operator, SetOperator, ValueKind


class Kind(StrEnum):
    SIZE = "size"
    """Has a value only for a device that sent something; a static bound is compared with each message, a statistical
    threshold with the sum over the window."""

    COUNTER = "counter"
    """Counts per window; 0 for a device that is connected and idle."""

    DELTA = "delta"
    """Sums what reports say was added; has a value only for a device that reported."""

    GAUGE = "gauge"
    """A level that reports tell: judged as each report comes, or by the window's extreme when there is a duration."""

    SET = "set"
    """A list of elements, each of which is judged."""

    TIMER = "timer"
    """For how long a device has been in some state; read at the end of each window."""


class Duration(StrEnum):
    """Whether a static criterion takes `durationSeconds`; a statistical threshold always needs it."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class Metric:
    """`window_seconds` is the window without `durationSeconds`; 0 means each report is a datapoint of its own.

    `basic` metrics are counted and kept for every device, the others only where a profile uses or retains them.
    """

    name: str
    label: str
    kind: Kind
    unit: str
    duration: Duration = Duration.REQUIRED
    takes_dimension: bool = False
    value: ValueKind = ValueKind.COUNT
    window_seconds: int = 300
    basic: bool = False

    @property
    def statistical(self) -> bool:
        """Whether it can be compared with other devices."""
        return self.kind not in (Kind.SET, Kind.TIMER)

    @property
    def operators(self) -> tuple[Operator | SetOperator, ...]:
        """The comparisons that make sense of it."""
        if self.kind is Kind.TIMER:
            return (Operator.LESS_THAN, Operator.LESS_THAN_EQUALS)
        return OPERATORS[self.value]


OPERATORS: dict[ValueKind, tuple[Operator | SetOperator, ...]] = {
    ValueKind.COUNT: tuple(Operator),
    ValueKind.NUMBER: tuple(Operator),
    ValueKind.CIDRS: (SetOperator.IN_CIDR_SET, SetOperator.NOT_IN_CIDR_SET),
    ValueKind.PORTS: (SetOperator.IN_PORT_SET, SetOperator.NOT_IN_PORT_SET),
    ValueKind.NUMBERS: (SetOperator.IN_SET, SetOperator.NOT_IN_SET),
    ValueKind.STRINGS: (SetOperator.IN_SET, SetOperator.NOT_IN_SET),
}


def _cloud_side() -> Iterable[Metric]:
    counter, size = Kind.COUNTER, Kind.SIZE
    optional, required, forbidden = Duration.OPTIONAL, Duration.REQUIRED, Duration.FORBIDDEN
    yield Metric("aws:message-byte-size", "Message size", size, "bytes", optional, True, basic=True)
    yield Metric("aws:num-messages-sent", "Messages sent", counter, "messages", required, True, basic=True)
    yield Metric("aws:num-messages-received", "Messages received", counter, "messages", required, True, basic=True)
    yield Metric(
        "aws:num-authorization-failures", "Authorization failures", counter, "failures", required, True, basic=True
    )
    yield Metric("aws:num-connection-attempts", "Connection attempts", counter, "attempts", basic=True)
    yield Metric("aws:num-disconnects", "Disconnects", counter, "disconnects", basic=True)
    yield Metric("aws:source-ip-address", "Source IP", Kind.SET, "addresses", forbidden, True, ValueKind.CIDRS)
    yield Metric("aws:disconnect-duration", "Disconnect duration", Kind.TIMER, "minutes", forbidden, window_seconds=60)


def _device_side() -> Iterable[Metric]:
    for flow in ("out", "in"):
        yield Metric(f"aws:all-bytes-{flow}", f"Bytes {flow}", Kind.DELTA, "bytes")
        yield Metric(f"aws:all-packets-{flow}", f"Packets {flow}", Kind.DELTA, "packets")
    for protocol in ("tcp", "udp"):
        yield _gauge(f"aws:num-listening-{protocol}-ports", f"Listening {protocol.upper()} port count", "ports")
        yield _reported_set(
            f"aws:listening-{protocol}-ports", f"Listening {protocol.upper()} ports", "ports", ValueKind.PORTS
        )
    yield _gauge("aws:num-established-tcp-connections", "Established TCP connections count", "connections")
    yield _reported_set("aws:destination-ip-addresses", "Destination IPs", "addresses", ValueKind.CIDRS)


def _own() -> Iterable[Metric]:
    yield Metric("fleetward:topics-tried", "Topics tried", Kind.COUNTER, "topics")
    yield Metric("fleetward:undeliverable-messages", "Undeliverable messages", Kind.COUNTER, "messages")
    yield Metric("fleetward:idle-connections", "Idle connections", Kind.COUNTER, "connections")
    yield Metric("fleetward:client-ids-per-certificate", "Client IDs per certificate", Kind.COUNTER, "client ids")
    yield Metric("fleetward:silence-duration", "Silence", Kind.TIMER, "seconds", Duration.FORBIDDEN, window_seconds=10)
    yield Metric("fleetward:new-source-network", "Connections from new networks", Kind.COUNTER, "connections")


def _gauge(name: str, label: str, unit: str, value: ValueKind = ValueKind.COUNT) -> Metric:
    return Metric(name, label, Kind.GAUGE, unit, Duration.OPTIONAL, value=value, window_seconds=0)


def _reported_set(name: str, label: str, unit: str, value: ValueKind) -> Metric:
    return Metric(name, label, Kind.SET, unit, Duration.FORBIDDEN, value=value, window_seconds=0)


METRICS: dict[str, Metric] = {metric.name: metric for metric in (*_cloud_side(), *_device_side(), *_own())}

BASIC = tuple(metric.name for metric in METRICS.values() if metric.basic)
DISTINCT = frozenset({"fleetward:topics-tried", "fleetward:client-ids-per-certificate"})
"""The counters that count different things, each once per window and at most MAX_DISTINCT."""
MAX_DISTINCT = 1_000

MESSAGE_SIZE = "aws:message-byte-size"
MESSAGES_SENT = "aws:num-messages-sent"
MESSAGES_RECEIVED = "aws:num-messages-received"
AUTHORIZATION_FAILURES = "aws:num-authorization-failures"
CONNECTION_ATTEMPTS = "aws:num-connection-attempts"
DISCONNECTS = "aws:num-disconnects"
SOURCE_IP = "aws:source-ip-address"
DISCONNECT_DURATION = "aws:disconnect-duration"
TOPICS_TRIED = "fleetward:topics-tried"
UNDELIVERABLE = "fleetward:undeliverable-messages"
IDLE_CONNECTIONS = "fleetward:idle-connections"
CLIENT_IDS = "fleetward:client-ids-per-certificate"
SILENCE = "fleetward:silence-duration"
NEW_NETWORK = "fleetward:new-source-network"

PLAIN = frozenset(
    name for name, metric in METRICS.items() if metric.kind is Kind.COUNTER and name not in {*DISTINCT, NEW_NETWORK}
)
"""The counters of which each observation weighs 1, so that its number says it all."""


def metric_of(name: str, value: ValueKind = ValueKind.COUNT) -> Metric:
    """The built-in metric of that name, or the custom one, whose `value` kind its profile knows."""
    built_in = METRICS.get(name)
    if built_in is not None:
        return built_in
    return _reported_set(name, name, "", value) if value in LIST_KINDS else _gauge(name, name, "", value)
