"""The life of a violation as a table: (state, event) → state.

A pair that is not in the table changes nothing and tells nobody: that is what makes a replay after a crash harmless.
A new alarm after the end has a new id, so the two end states have no way out.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from fleetward.model import AlarmKind


class State(StrEnum):
    """The state of a violation, spelled as the event that led to it."""

    UNKNOWN = "unknown"
    """No such violation was ever recorded."""
    IN_ALARM = "in-alarm"
    CLEARED = "alarm-cleared"
    INVALIDATED = "alarm-invalidated"


TRANSITIONS: Mapping[tuple[State, AlarmKind], State] = {
    (State.UNKNOWN, AlarmKind.IN_ALARM): State.IN_ALARM,
    (State.IN_ALARM, AlarmKind.CLEARED): State.CLEARED,
    (State.IN_ALARM, AlarmKind.INVALIDATED): State.INVALIDATED,
}


def step(state: State, event: AlarmKind) -> State | None:
    """The state after `event`, or None when the event changes nothing."""
    return TRANSITIONS.get((state, event))
