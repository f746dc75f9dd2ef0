"""What is likely wrong with a function's source, as pyflakes sees it; Python itself decides whether it runs."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from pyflakes.checker import Checker

MAX_WARNINGS = 100
MAX_SOURCE = 256 * 1024
"""Characters of a source that is looked at."""


@dataclass(frozen=True, slots=True)
class Warning:
    """`line` counts from 1."""

    line: int
    text: str


def warnings_of(source: str) -> list[Warning]:
    """In the order of the lines. A source that is no Python has one warning."""
    if len(source) > MAX_SOURCE:
        return []
    try:
        found = Checker(ast.parse(source)).messages
    except SyntaxError as problem:
        return [Warning(problem.lineno or 1, f"syntax error: {problem.msg}")]
    except (ValueError, RecursionError, MemoryError) as problem:
        return [Warning(1, f"this cannot be read as Python: {problem or type(problem).__name__}")]
    warnings = [Warning(one.lineno, _sentence(one.message % one.message_args)) for one in found]
    return sorted(warnings, key=lambda one: one.line)[:MAX_WARNINGS]


def _sentence(text: str) -> str:
    """As Python says it when the function runs: `name 'os' is not defined`."""
    return text.replace("undefined name ", "name ") + " is not defined" if text.startswith("undefined name ") else text
