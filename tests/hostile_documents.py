"""Strategies for what no honest sender sends: documents damaged in one place, and bytes that are none."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
HUGE = (2**31, 2**63, 2**64, -1, -(2**63), 10**400, 1e308, float("inf"), float("-inf"), float("nan"))
LONG = ("x" * 70_000, list(range(3_000)), [{}] * 2_000, {f"k{number}": number for number in range(2_000)})


def _nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"total": value}
    return value


ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 70_000),
    st.sampled_from(HUGE),
    st.floats(),
    TEXT,
    st.sampled_from(LONG).map(copy.deepcopy),
    st.sampled_from((5, 17, 300)).map(_nested),
    st.lists(TEXT | st.integers(), max_size=3),
    st.dictionaries(TEXT, st.integers(), max_size=3),
)
"""Values of another type, size or depth than anybody expects."""


@st.composite
def damaged(draw: st.DrawFn, document: Any) -> Any:
    """The document with one to three places replaced, removed, renamed or added."""
    made = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(made))
        holder, key = draw(st.sampled_from(places)) if places else (made, None)
        match draw(st.sampled_from(("replace", "replace", "remove", "rename", "add"))):
            case "replace" if key is not None:
                holder[key] = draw(ODD)
            case "remove" if key is not None:
                del holder[key]
            case "rename" if isinstance(holder, dict) and key in holder:
                holder[draw(TEXT)] = holder.pop(key)
            case _ if isinstance(holder, dict):
                holder[draw(TEXT)] = draw(ODD)
    return made


def _places(value: Any) -> Any:
    """(container, key) of everything in a document; of long lists only the first few."""
    items = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    for key, inner in items[:20]:
        yield value, key
        yield from _places(inner)


@st.composite
def as_text(draw: st.DrawFn, documents: st.SearchStrategy[Any]) -> bytes:
    """A document as JSON, which now and then names a member twice, ends early or has a byte too many."""
    text = json.dumps(draw(documents))
    match draw(st.sampled_from(("whole", "whole", "whole", "twice", "cut", "more"))):
        case "twice" if '":' in text:
            name = text[text.index('"') : text.index('":') + 2]
            text = text.replace(name, f"{name} 1, {name}", 1)
        case "cut":
            text = text[: draw(st.integers(0, len(text)))]
        case "more":
            text += draw(TEXT)
    return text.encode()
