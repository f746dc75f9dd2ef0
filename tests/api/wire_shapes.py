"""Hypothesis strategies for values of a service model's shapes, as a botocore client may send or receive them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.model import Shape
from hypothesis import strategies as st

# What XML, HTTP headers and JSON can all carry.
LETTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff")
HEADER_TEXT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=12)
MOMENTS = st.integers(0, 4_000_000_000_000).map(
    lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)
# HTTP clients resolve empty and dot segments themselves, so a label cannot consist of one.
PATH_TEXT = st.text(LETTERS, min_size=1, max_size=12).filter(lambda text: not {"", ".", ".."} & set(text.split("/")))
JSON_VALUES = st.dictionaries(st.text(LETTERS, max_size=4), st.integers() | st.text(LETTERS, max_size=4), max_size=2)

DEEPEST = 4
"""From here on lists and maps are empty and structures have only what they must."""


def values(shape: Shape, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of `shape`; lists and maps get short, and optional members rare, as they nest."""
    return KINDS[shape.type_name](shape, depth)


def _structure(shape: Any, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    shapes = {name: member for name, member in shape.members.items() if not member.serialization.get("eventstream")}
    if depth > DEEPEST:
        shapes = {name: shapes[name] for name in shape.required_members}
    members = {name: _member(member, depth) for name, member in shapes.items()}
    if shape.is_tagged_union:
        return st.sampled_from(sorted(members)).flatmap(lambda name: st.fixed_dictionaries({name: members[name]}))
    required = {name: members.pop(name) for name in shape.required_members if name in members}
    return st.fixed_dictionaries(required, optional=members)


def _member(member: Any, depth: int) -> st.SearchStrategy[Any]:
    location = member.serialization.get("location")
    if member.serialization.get("jsonvalue"):
        return JSON_VALUES
    if location == "statusCode":
        return st.integers(200, 299)
    if member.type_name == "string" and location in ("uri", "header"):
        return HEADER_TEXT if location == "header" else PATH_TEXT
    if member.type_name == "list" and location == "querystring":
        return st.lists(values(member.member, depth + 1), min_size=1, max_size=3)
    return values(member, depth + 1)


def _list(shape: Any, depth: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(values(shape.member, depth + 1), max_size=2) if depth < DEEPEST else st.just([])


def _map(shape: Any, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    keys = st.text(LETTERS, min_size=1, max_size=6)
    return st.dictionaries(keys, values(shape.value, depth + 1), max_size=2) if depth < DEEPEST else st.just({})


def _string(shape: Any, depth: int) -> st.SearchStrategy[str]:
    return (
        st.sampled_from(shape.enum) if shape.enum else st.text(LETTERS | st.sampled_from("\t\n\r<&>\"'"), max_size=12)
    )


KINDS: dict[str, Any] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "boolean": lambda shape, depth: st.booleans(),
    "integer": lambda shape, depth: st.integers(-(2**31), 2**31 - 1),
    "long": lambda shape, depth: st.integers(-(2**63), 2**63 - 1),
    "float": lambda shape, depth: NUMBERS,
    "double": lambda shape, depth: NUMBERS,
    "timestamp": lambda shape, depth: MOMENTS,
    "blob": lambda shape, depth: st.binary(max_size=12),
}
