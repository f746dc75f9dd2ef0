"""Where a topic leads: the sessions whose subscriptions match it, each once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from fleetward.gateway.sessions import Grant, Session


class Target(NamedTuple):
    """One session that a topic goes to, with its matching subscriptions taken together (§3.3.4).

    `local` is whether it gets even what it published itself.
    """

    session: Session
    qos: int
    retain_as_published: bool
    local: bool
    identifiers: tuple[int, ...]


Targets: TypeAlias = tuple[Target, ...]


def merge(grants: Iterable[tuple[Session, Grant]]) -> Targets:
    """One target for each session: the highest QoS [MQTT-3.3.4-2], all subscription identifiers [MQTT-3.3.4-3..5]."""
    targets: dict[Session, Target] = {}
    for session, grant in grants:
        subscription = grant.subscription
        identifiers = (grant.identifier,) if grant.identifier else ()
        known = targets.get(session, Target(session, 0, False, False, ()))
        targets[session] = Target(
            session,
            max(known.qos, subscription.qos),
            known.retain_as_published or subscription.retain_as_published,
            known.local or not subscription.no_local,
            known.identifiers + identifiers,
        )
    return tuple(targets.values())
