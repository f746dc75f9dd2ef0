"""Which elements of a list a set criterion objects to."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

from fleetward.model import SetCriterion, SetOperator

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IsMember: TypeAlias = Callable[[Any], bool]

CIDR_OPERATORS = (SetOperator.IN_CIDR_SET, SetOperator.NOT_IN_CIDR_SET)


def offenders(criterion: SetCriterion, elements: tuple[Any, ...]) -> tuple[Any, ...]:
    """The elements that are not as they should be, in their order; none of an empty list, which always conforms.

    `in-*-set` is normal when every element is in the set, `not-in-*-set` when none is (AWS developer guide, "Detect
    concepts").

    >>> offenders(SetCriterion(SetOperator.NOT_IN_PORT_SET, (23,)), (22, 23))
    (23,)
    """
    is_member, wanted = membership(criterion), criterion.operator.wants_members
    return tuple(element for element in elements if is_member(element) is not wanted)


@lru_cache(maxsize=1024)
def membership(criterion: SetCriterion) -> IsMember:
    """Says whether an element is in the criterion's set."""
    if criterion.operator not in CIDR_OPERATORS:
        return frozenset(criterion.elements).__contains__
    networks = [ipaddress.ip_network(str(cidr), strict=False) for cidr in criterion.elements]

    @lru_cache(maxsize=4096)
    def contains(text: str) -> bool:
        address = parsed(text)
        return address is not None and any(address in network for network in networks)

    return contains


def parsed(text: str) -> Address | None:
    """The address, an IPv4 one in IPv6 clothes as what it is; None when it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
