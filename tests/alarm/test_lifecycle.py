"""The life of a violation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetward.alarm.lifecycle import TRANSITIONS, State, step
from fleetward.model import AlarmKind


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", AlarmKind)
def test_table(state: State, event: AlarmKind) -> None:
    """An alarm opens once and ends once, cleared or invalidated; every other event changes nothing."""
    expected = {
        (State.UNKNOWN, AlarmKind.IN_ALARM): State.IN_ALARM,
        (State.IN_ALARM, AlarmKind.CLEARED): State.CLEARED,
        (State.IN_ALARM, AlarmKind.INVALIDATED): State.INVALIDATED,
    }
    assert step(state, event) == expected.get((state, event))


@given(st.lists(st.sampled_from(AlarmKind), max_size=12))
def test_at_most_two_events_are_news(events: list[AlarmKind]) -> None:
    """However events repeat, one violation tells at most its start and one end, in that order."""
    state, news = State.UNKNOWN, []
    for event in events:
        after = step(state, event)
        if after is not None:
            state, news = after, [*news, event]
    assert news == [] or news[0] is AlarmKind.IN_ALARM
    assert len(news) <= 2


def test_states_are_named_after_events() -> None:
    """A violation's state is spelled as the event that led to it, so that one column serves both."""
    assert all(state == event for (_, event), state in TRANSITIONS.items())
