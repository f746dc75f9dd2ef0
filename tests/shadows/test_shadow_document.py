"""Merging, stamps and deltas against an oracle that knows only paths."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_values import OBJECT, PATCHES, SECTIONS, Path, flat, patched

from fleetward import errors
from fleetward.shadows import answers
from fleetward.shadows.document import Shadow, Update, apply, delta, delta_of, same


def canonical(value: Any) -> str:
    """Equal texts for equal JSON: 1 and 1.0 are the same number, true is none."""
    return json.dumps(json.loads(json.dumps(value), parse_int=float), sort_keys=True)


def current(shadow: Shadow, seconds: int) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(answers.current(shadow, seconds))
    return document


def grown(updates: list[dict[str, Any]]) -> Shadow:
    """A shadow after these updates, one a second."""
    shadow = Shadow()
    for second, state in enumerate(updates, 1):
        shadow = apply(shadow, Update(state), second)
    return shadow


@given(st.lists(SECTIONS, max_size=5))
def test_a_shadow_is_the_sum_of_its_updates(updates: list[dict[str, Any]]) -> None:
    """Objects merge, other values replace, null removes, and a section with nothing in it is not there."""
    expected: dict[str, dict[Path, Any]] = {}
    for state in updates:
        for section, patch in state.items():
            expected[section] = patched(expected.get(section, {(): OBJECT}), flat(patch)) or {(): OBJECT}
    found = grown(updates).state
    for section in ("desired", "reported"):
        paths = expected.get(section, {(): OBJECT})
        assert canonical_paths(flat(found.get(section, {}))) == canonical_paths(paths)
        assert section not in found or found[section] != {}


def canonical_paths(paths: dict[Path, Any]) -> dict[Path, str]:
    return {path: "object" if value is OBJECT else canonical(value) for path, value in paths.items()}


@given(st.lists(SECTIONS, min_size=1, max_size=5))
def test_each_leaf_has_the_time_it_was_last_written(updates: list[dict[str, Any]]) -> None:
    """A leaf's timestamp is that of the last update that named it, even with the value it had; arrays are one leaf."""
    written: dict[Path, int] = {}
    for second, state in enumerate(updates, 1):
        written |= {path: second for path, value in flat(state).items() if value is not OBJECT}
    shadow = grown(updates)
    document = current(shadow, 99)
    for section, value in shadow.state.items():
        for path, leaf in flat(value, (section,)).items():
            metadata = document["metadata"]
            for name in path:
                metadata = metadata[name]
            assert metadata == stamped(leaf, written.get(path, 0)), path
    assert document["metadata"].keys() == shadow.state.keys()


def stamped(leaf: Any, second: int) -> Any:
    """The metadata of one leaf: an array's elements each carry its time."""
    if leaf is OBJECT:
        return AnyObject()
    if isinstance(leaf, list):
        return [stamped(item, second) for item in leaf]
    if isinstance(leaf, dict):
        return {name: stamped(item, second) for name, item in leaf.items()}
    return {"timestamp": second}


class AnyObject:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict)

    __hash__ = None  # type: ignore[assignment]


@given(PATCHES, PATCHES)
def test_a_delta_makes_reported_what_is_desired(desired: dict[str, Any], reported: dict[str, Any]) -> None:
    """Reporting the delta leaves none, and the delta names no path that is equal in both."""
    shadow = grown([{"desired": desired, "reported": reported}])
    desired, reported = shadow.state.get("desired", {}), shadow.state.get("reported", {})
    difference = delta(desired, reported)
    after = apply(shadow, Update({"reported": difference}), 2)
    assert delta_of(after) == {}
    leaves = {path: value for path, value in flat(difference).items() if value is not OBJECT}
    wanted, told = flat(desired), flat(reported)
    assert all(canonical(wanted[path]) == canonical(value) for path, value in leaves.items())
    equal = {path for path in leaves if path in told and told[path] is not OBJECT and same(told[path], wanted[path])}
    assert not equal
    missing = {path for path, value in wanted.items() if value is not OBJECT and path not in told} - leaves.keys()
    assert not missing


@given(PATCHES, PATCHES)
def test_equality_is_that_of_json(one: dict[str, Any], other: dict[str, Any]) -> None:
    """true is not 1, and 1 is 1.0."""
    assert same(one, other) == (canonical(one) == canonical(other))


@given(st.lists(SECTIONS, min_size=1, max_size=4))
def test_a_delta_document_has_the_metadata_of_what_is_desired(updates: list[dict[str, Any]]) -> None:
    """/update/delta is the part of the document's desired section that differs, with its metadata."""
    shadow = grown(updates)
    difference = delta_of(shadow)
    if not difference:
        assert "delta" not in current(shadow, 9)["state"]
        return
    message = json.loads(answers.delta(shadow, difference, 9, None))
    assert message["state"] == current(shadow, 9)["state"]["delta"]
    assert (message["version"], message["timestamp"]) == (len(updates), 9)
    whole = flat(current(shadow, 9)["metadata"]["desired"])
    assert flat(message["metadata"]).items() <= whole.items()


def test_every_update_makes_a_version_and_keeps_the_one_before() -> None:
    """Versions count up by one; an update never changes the documents that were handed out."""
    first = apply(Shadow(), Update({"desired": {"a": {"b": 1}}}), 10)
    second = apply(first, Update({"desired": {"a": {"b": None, "c": [1]}}, "reported": {"x": {}}}), 20)
    assert (first.version, second.version) == (1, 2)
    assert first.state == {"desired": {"a": {"b": 1}}}
    assert json.loads(answers.documents(first, second, 20, None)) == {
        "previous": {
            "state": {"desired": {"a": {"b": 1}}},
            "metadata": {"desired": {"a": {"b": {"timestamp": 10}}}},
            "version": 1,
        },
        "current": {
            "state": {"desired": {"a": {"c": [1]}}, "reported": {"x": {}}},
            "metadata": {"desired": {"a": {"c": [{"timestamp": 20}]}}, "reported": {"x": {}}},
            "version": 2,
        },
        "timestamp": 20,
    }


def test_an_update_for_another_version_is_a_conflict() -> None:
    """Only the version it was meant for takes an update that names one; 0 is the version of a shadow not yet made."""
    made = apply(Shadow(), Update({}, version=0), 1)
    assert apply(made, Update({}, version=1), 1).version == 2
    for version in (0, 2):
        with pytest.raises(errors.Conflict, match="Version conflict"):
            apply(made, Update({}, version=version), 1)


def test_an_accepted_document_repeats_the_request() -> None:
    """/update/accepted tells what was asked for, with its nulls, not the whole shadow."""
    before = apply(Shadow(), Update({"desired": {"a": 1, "b": 2}}), 1)
    update = Update({"desired": {"b": None}, "reported": None})
    assert json.loads(answers.accepted(apply(before, update, 2), update, 2)) == {
        "state": {"desired": {"b": None}, "reported": None},
        "metadata": {"desired": {"b": {"timestamp": 2}}, "reported": {"timestamp": 2}},
        "version": 2,
        "timestamp": 2,
    }


def test_a_section_goes_when_it_is_null_or_empty() -> None:
    """A document may end up without sections; it is still there."""
    shadow = apply(Shadow(), Update({"desired": {"a": 1}, "reported": {"b": 1}}), 1)
    shadow = apply(shadow, Update({"desired": None, "reported": {"b": None}}), 2)
    assert current(shadow, 3) == {"state": {}, "metadata": {}, "version": 2, "timestamp": 3}
