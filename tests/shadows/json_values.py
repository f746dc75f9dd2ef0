"""Hypothesis strategies for shadow states and updates, and an oracle that sees a document as a set of paths."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "b", "c", "ß"])
SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, 1.5, "", "1", "x"])
SOLID = SCALARS.filter(lambda value: value is not None)
ARRAYS = st.lists(SOLID | st.lists(SOLID, max_size=2) | st.dictionaries(NAMES, SOLID, max_size=2), max_size=3)
PATCHES = st.dictionaries(
    NAMES,
    st.recursive(SCALARS | ARRAYS, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=8),
    max_size=4,
)
SECTIONS = st.fixed_dictionaries({}, optional={"desired": PATCHES | st.none(), "reported": PATCHES | st.none()})

Path = tuple[str, ...]
Flat = dict[Path, Any]
"""Path → leaf, array or, for an object (whose members have paths of their own), OBJECT."""

OBJECT = object()


def flat(value: Any, path: Path = ()) -> Flat:
    if not isinstance(value, dict):
        return {path: value}
    found: Flat = {path: OBJECT}
    for name, item in value.items():
        found |= flat(item, (*path, name))
    return found


def patched(document: Flat, patch: Flat) -> Flat:
    """The document after each path of the patch, from the outside in: what is no object clears what is below."""
    after = dict(document)
    for path, value in sorted(patch.items(), key=lambda item: len(item[0])):
        if value is OBJECT and after.get(path) is OBJECT:
            continue
        after = {known: kept for known, kept in after.items() if known[: len(path)] != path}
        if value is not None:
            after[path] = value
    return after
