"""CloudWatch Logs' filter patterns for plain text: terms, "phrases", -excluded and ?optional terms.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

import re
from collections.abc import Callable

from fleetward.errors import InvalidParameter

_TERM = re.compile(r'\s*([-?]?)(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?=\s|$)')


def parse(pattern: str) -> Callable[[str], bool]:
    """Whether a message matches; terms are case-sensitive. Raises InvalidParameter for patterns on JSON or fields."""
    if pattern.lstrip().startswith(("{", "[", "%")):
        raise InvalidParameter("Filter patterns on JSON, on fields and regular expressions are not implemented here")
    terms = _terms(pattern)
    every = [text for sign, text in terms if sign == ""]
    none = [text for sign, text in terms if sign == "-"]
    some = [text for sign, text in terms if sign == "?"]

    def matches(message: str) -> bool:
        return (
            all(text in message for text in every)
            and not any(text in message for text in none)
            and (not some or bool(every) or any(text in message for text in some))
        )

    return matches


def _terms(pattern: str) -> list[tuple[str, str]]:
    found, position, pattern = [], 0, pattern.strip()
    while position < len(pattern):
        match = _TERM.match(pattern, position)
        if match is None:
            raise InvalidParameter("Invalid filter pattern")
        sign, phrase, word = match.groups()
        found.append((sign, word if phrase is None else re.sub(r"\\(.)", r"\1", phrase)))
        position = match.end()
    return found
