"""Guessing: many attempts at once, many names from one address, and what a success forgives."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward.console.attempts import FORGOTTEN_SECONDS, FREE_OF_ADDRESS, FREE_OF_NAME, MOST, Attempts


def test_attempts_under_way_count_as_failed() -> None:
    """Attempts that are begun before the first one is answered do not come for free."""
    attempts = Attempts()
    begun = 0
    while not attempts.wait("ana", "a", 0):
        attempts.begin("ana", "a", 0)
        begun += 1
    assert begun == FREE_OF_NAME + 1


def test_a_success_of_ones_own_hides_no_guessing() -> None:
    """Who signs in with an own name between guesses at others still has to wait, by address."""
    attempts = Attempts()
    for number in range(FREE_OF_ADDRESS + 1):
        attempts.begin("own", "a", 0)
        attempts.succeeded("own", "a")
        attempts.begin(f"other{number}", "a", 0)
    assert attempts.wait("one more", "a", 0) > 0
    assert attempts.wait("one more", "b", 0) == 0


def test_failures_are_forgotten_after_a_while() -> None:
    """A typo of yesterday does not count today."""
    attempts = Attempts()
    for _ in range(FREE_OF_NAME):
        attempts.begin("ana", "a", 0)
    later = (FORGOTTEN_SECONDS + 1) * 1000
    attempts.begin("ana", "a", later)
    assert attempts.wait("ana", "a", later) == 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 400_000)), max_size=60))
def test_waits_are_bounded(steps: list[tuple[int, bool, int]]) -> None:
    """Whatever is tried, nobody has to wait longer than five minutes, and memory is bounded."""
    attempts, now = Attempts(), 0
    for name, succeeds, pause in steps:
        now += pause
        attempts.begin(str(name), "a", now)
        if succeeds:
            attempts.succeeded(str(name), "a")
        assert 0 <= attempts.wait(str(name), "a", now) <= 300
    for number in range(MOST + 10):
        attempts.begin(str(number), str(number), now)
    assert len(attempts._failures) <= MOST
