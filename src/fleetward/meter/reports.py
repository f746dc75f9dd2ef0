"""Device reports: what an agent says of its device, in JSON or CBOR, read into the values of metrics.

AWS IoT Device Defender developer guide, "Sending metrics from devices" and "Custom metrics". Counts come from `total`,
sets from the lists, which agents cut short. Whatever is not in METRIC_READERS or among the custom metrics is ignored.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from fleetward.meter.report_encoding import Encoding, Malformed, decode
from fleetward.model import Value

Json: TypeAlias = Mapping[str, Any]
Values: TypeAlias = dict[str, Value]

MAX_NUMBER = 2**63 - 1

VERSION = re.compile(r"\d{1,9}\.\d{1,9}", re.ASCII)

DELTAS = frozenset({"aws:all-bytes-in", "aws:all-bytes-out", "aws:all-packets-in", "aws:all-packets-out"})
"""What a report counts since the one before it."""


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """An agent's report, read: built-in metrics by their full names, custom ones as they are called."""

    report_id: int
    values: Mapping[str, Value]


def read(payload: bytes, encoding: Encoding, custom: Mapping[str, str]) -> DeviceReport:
    """Reads a report; raises Malformed for one that breaks any rule.

    `custom` gives the type of each custom metric (string-list, ip-address-list, number-list, number). A value of a
    custom metric that is not there, or that is of another type, is left out.
    """
    document = _object(decode(payload, encoding))
    header = _object(_member(document, "header", "hed"))
    report_id = _count(_member(header, "report_id", "rid"))
    try:
        return DeviceReport(report_id, _values(document, header, custom))
    except Malformed as malformed:
        malformed.report_id = report_id
        raise


def _values(document: Json, header: Json, custom: Mapping[str, str]) -> Values:
    version = _member(header, "version", "v")
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise Malformed
    metrics, customs = _member(document, "metrics", "met"), _member(document, "custom_metrics", "cmet")
    if metrics is None and customs is None:
        raise Malformed
    values: Values = {}
    for long, short, reader in METRIC_READERS:
        if metrics is not None and (found := _member(_object(metrics), long, short)) is not None:
            values |= reader(_object(found))
    if customs is not None:
        values |= _read_custom(_object(customs), custom)
    return values


# --- built-in metrics -------------------------------------------------------------------------------------------------


def _read_tcp_ports(block: Json) -> Values:
    return _read_ports(block, "aws:num-listening-tcp-ports", "aws:listening-tcp-ports")


def _read_udp_ports(block: Json) -> Values:
    return _read_ports(block, "aws:num-listening-udp-ports", "aws:listening-udp-ports")


def _read_ports(block: Json, count_metric: str, set_metric: str) -> Values:
    values = _read_total(block, count_metric)
    if (ports := _member(block, "ports", "pts")) is not None:
        values[set_metric] = tuple(sorted({_port(_member(_object(port), "port", "pt")) for port in _list(ports)}))
    return values


def _read_network(block: Json) -> Values:
    values: Values = {}
    for metric, long, short in (
        ("aws:all-bytes-in", "bytes_in", "bi"),
        ("aws:all-bytes-out", "bytes_out", "bo"),
        ("aws:all-packets-in", "packets_in", "pi"),
        ("aws:all-packets-out", "packets_out", "po"),
    ):
        if (count := _member(block, long, short)) is not None:
            values[metric] = _count(count)
    return values


def _read_connections(block: Json) -> Values:
    established = _member(block, "established_connections", "ec")
    if established is None:
        return {}
    established = _object(established)
    values = _read_total(established, "aws:num-established-tcp-connections")
    if (connections := _member(established, "connections", "cs")) is not None:
        values["aws:destination-ip-addresses"] = _addresses(_list(connections))
    return values


def _addresses(connections: list[Any]) -> tuple[str, ...]:
    found = {_remote(_member(_object(connection), "remote_addr", "rad")) for connection in connections}
    return tuple(sorted(address for address in found if address is not None))


def _remote(text: object) -> str | None:
    """The address in `address:port`, whose last colon is the one that counts; IPv6 may stand in brackets."""
    if text is None:
        return None
    if not isinstance(text, str):
        raise Malformed
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit() and len(port) <= 5) or int(port) > 65_535:
        raise Malformed
    bracketed = host.startswith("[") and host.endswith("]")
    return _address(host[1:-1] if bracketed else host)


def _read_total(block: Json, metric: str) -> Values:
    total = _member(block, "total", "t")
    return {} if total is None else {metric: _count(total)}


METRIC_READERS: tuple[tuple[str, str, Callable[[Json], Values]], ...] = (
    ("listening_tcp_ports", "tp", _read_tcp_ports),
    ("listening_udp_ports", "up", _read_udp_ports),
    ("network_stats", "ns", _read_network),
    ("tcp_connections", "tc", _read_connections),
)
"""The blocks of a report: long name, short name, and what reads it."""


# --- custom metrics ---------------------------------------------------------------------------------------------------


def _read_custom(block: Json, types: Mapping[str, str]) -> Values:
    """Every value is a list of one structure with one member; that holds for metrics that are dropped, too."""
    values: Values = {}
    for name, entries in block.items():
        if not isinstance(entries, list) or len(entries) != 1:
            raise Malformed
        entry = _object(entries[0])
        known = [(kind, reader) for kind, reader in CUSTOM_READERS.items() if kind in entry]
        if len(known) != 1:
            raise Malformed
        kind, (metric_type, reader) = known[0]
        value = reader(entry[kind])
        if types.get(name) == metric_type:
            values[name] = value
    return values


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed
    try:
        number = float(value)
    except OverflowError:
        raise Malformed from None
    if not math.isfinite(number):
        raise Malformed
    return number


def _numbers(value: object) -> tuple[float, ...]:
    return tuple(_number(item) for item in _list(value))


def _strings(value: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_string(item) for item in _list(value)))


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise Malformed
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        raise Malformed from None
    return value


def _address_list(value: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_address(item) for item in _list(value)))


CUSTOM_READERS: Mapping[str, tuple[str, Callable[[object], Value]]] = {
    "number": ("number", _number),
    "number_list": ("number-list", _numbers),
    "string_list": ("string-list", _strings),
    "ip_list": ("ip-address-list", _address_list),
}
"""The member of a custom value → the type of custom metric it is of, and what reads it."""


# --- what members hold ------------------------------------------------------------------------------------------------


def _member(block: Json, long: str, short: str) -> Any:
    """What stands under either name; None when neither is there. Both at once say two things."""
    if long in block and short in block:
        raise Malformed
    return block.get(long, block.get(short))


def _object(value: object) -> Json:
    if not isinstance(value, dict):
        raise Malformed
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise Malformed
    return value


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NUMBER:
        raise Malformed
    return value


def _port(value: object) -> int:
    port = _count(value)
    if not 0 < port <= 65_535:
        raise Malformed
    return port


def _address(text: object) -> str:
    """An address in its one spelling: without its interface, and IPv4 as IPv4 even on an IPv6 socket."""
    if not isinstance(text, str):
        raise Malformed
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        raise Malformed from None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(address if mapped is None else mapped)
