"""The shadow document, pure: merging updates, the time of each leaf, and the delta.

AWS IoT Core developer guide, "Device Shadow service documents" and "Device Shadow MQTT topics". An array is a leaf,
because it is only ever replaced as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fleetward import errors

SECTIONS = ("desired", "reported")

Json: TypeAlias = Any
State: TypeAlias = dict[str, Any]
"""JSON values by attribute; in an update, None removes an attribute."""

Stamps: TypeAlias = dict[str, Any]
"""Shaped like the state they belong to, with epoch seconds where it has leaves."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """A shadow at one version. `state` and `stamps` hold a section only while there is something in it.

    Version 0 is the shadow that nobody has written yet.
    """

    state: State = field(default_factory=dict)
    stamps: Stamps = field(default_factory=dict)
    version: int = 0


@dataclass(frozen=True, slots=True)
class Update:
    """A request state document: a section that is None is removed, one that is absent stays as it is."""

    state: State
    version: int | None = None
    client_token: str | None = None


def apply(shadow: Shadow, update: Update, seconds: int) -> Shadow:
    """The next version of the shadow. Raises errors.Conflict when the update was meant for another version."""
    if update.version is not None and update.version != shadow.version:
        raise errors.Conflict("Version conflict")
    state, stamps = dict(shadow.state), dict(shadow.stamps)
    for section, patch in update.state.items():
        merged, merged_stamps = merge(state.pop(section, {}), stamps.pop(section, {}), patch or {}, seconds)
        if merged and patch is not None:
            state[section], stamps[section] = merged, merged_stamps
    return Shadow(_in_order(state), _in_order(stamps), shadow.version + 1)


def merge(state: State, stamps: Stamps, patch: State, seconds: int) -> tuple[State, Stamps]:
    """State and stamps after a patch: objects are merged, any other value replaces, None removes."""
    state, stamps = dict(state), dict(stamps)
    for name, value in patch.items():
        before, before_stamps = state.get(name), stamps.get(name)
        if value is None:
            state.pop(name, None)
            stamps.pop(name, None)
        elif not isinstance(value, dict):
            state[name], stamps[name] = value, seconds
        elif isinstance(before, dict) and isinstance(before_stamps, dict):
            state[name], stamps[name] = merge(before, before_stamps, value, seconds)
        else:
            state[name], stamps[name] = merge({}, {}, value, seconds)
    return state, stamps


def delta(desired: State, reported: State) -> State:
    """What is desired and not reported: whole values where they differ, nothing of what only `reported` has."""
    found: State = {}
    for name, value in desired.items():
        if name not in reported:
            found[name] = value
        elif isinstance(value, dict) and isinstance(reported[name], dict):
            if difference := delta(value, reported[name]):
                found[name] = difference
        elif not same(value, reported[name]):
            found[name] = value
    return found


def same(one: Json, other: Json) -> bool:
    """Whether two JSON values are equal. Python also takes true for 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def delta_of(shadow: Shadow) -> State:
    return delta(shadow.state.get("desired", {}), shadow.state.get("reported", {}))


def _in_order(sections: State) -> State:
    return {section: sections[section] for section in SECTIONS if section in sections}
