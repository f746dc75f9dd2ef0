"""The index of statements by what their patterns begin with."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from fleetward.policy.candidates import Candidates

TEXTS = st.text("ab", max_size=4)


@dataclass(frozen=True)
class Named:
    index: int
    starts: tuple[str, ...]


@given(st.lists(st.lists(TEXTS, min_size=1, max_size=3).map(tuple), max_size=8), TEXTS)
def test_candidates_are_those_whose_start_the_resource_has(starts: list[tuple[str, ...]], resource: str) -> None:
    """A statement is looked at exactly when the resource begins with one of its starts, in the document's order."""
    statements = [Named(index, each) for index, each in enumerate(starts)]
    found = list(dict.fromkeys(Candidates(statements).about(resource)))
    assert found == [each for each in statements if resource.startswith(each.starts)]
