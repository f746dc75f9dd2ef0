"""Reading the typed values of conditions: numbers, dates, booleans, IP addresses. None for a text that is none.

Source: IAM user guide, "Condition operators".
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = "IPv4Address | IPv6Address"
Network: TypeAlias = "IPv4Network | IPv6Network"

_NUMBER = re.compile(r"[+-]?\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,3})?", re.ASCII)
_EPOCH_SECONDS = re.compile(r"-?\d{5,15}(\.\d{1,9})?", re.ASCII)
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d.{0,25})?", re.ASCII)


def read_number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def read_date(text: str) -> float | None:
    """Seconds since the epoch of an ISO 8601 date (UTC when it names no zone) or of epoch seconds."""
    if _EPOCH_SECONDS.fullmatch(text):
        return float(text)
    try:
        date = datetime.fromisoformat(text if _ISO_DATE.fullmatch(text) else "")
    except ValueError:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def read_boolean(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


@lru_cache(maxsize=1024)
def read_address(text: str) -> Address | None:
    """An IP address; an IPv4 client of a dual-stack socket (`::ffff:a.b.c.d`) counts as the IPv4 address it is."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def read_network(text: str) -> Network | None:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    return ip_network((mapped, network.prefixlen - 96)) if mapped and network.prefixlen >= 96 else network
