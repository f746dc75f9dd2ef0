"""Enrolments that follow one another reach the kernel as one input."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleetward.detect.inputs import Configure, Enroll, EnrollMany, Input, Release
from fleetward.detect.kernel import Kernel
from fleetward.pipeline import together

GROUPS = st.sampled_from(["hall", "attic", "isolated"])
ENROLMENTS = st.builds(
    lambda now, id, groups: EnrollMany.of(now, [Enroll(now, id, f"thing{id}", groups)]),
    now=st.integers(0, 9),
    id=st.integers(1, 4),
    groups=st.frozensets(GROUPS),
)
OTHERS = st.builds(Release, now=st.integers(0, 9), name=st.just("thing1"))


def enrolled(inputs: list[Input | None]) -> tuple[dict[int, str], dict[str, frozenset[str]]]:
    """What a kernel knows of the things: their names, and the groups of those that are in any."""
    kernel = Kernel()
    for item in inputs:
        assert item is not None
        kernel.feed(item)
    slots = kernel._state.slots
    return kernel.things(), {slots.names[slot]: groups for slot, groups in slots.groups.items()}


@given(st.lists(st.one_of(ENROLMENTS, OTHERS)))
def test_enrolled_together_is_enrolled_one_by_one(inputs: list[Input]) -> None:
    """The kernel knows the same things in the same groups, whatever comes in between."""
    merged = list(together(inputs))
    assert enrolled(merged) == enrolled(list(inputs))
    assert [item for item in merged if isinstance(item, Release)] == [
        item for item in inputs if isinstance(item, Release)
    ]


def test_only_enrolments_that_follow_one_another_become_one() -> None:
    """What came before or behind another input stays there, the word to stop included."""
    one, two, three = (EnrollMany.of(now, [Enroll(now, now, f"thing{now}")]) for now in (1, 2, 3))
    configure = Configure(2, ())
    assert list(together([one, two, configure, three, None])) == [
        EnrollMany(2, (1, 2), ("thing1", "thing2")),
        configure,
        three,
        None,
    ]
