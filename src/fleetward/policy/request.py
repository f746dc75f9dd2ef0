"""The context of a request, and what the variables of a policy stand for in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

ContextValue: TypeAlias = "str | tuple[str, ...]"
Context: TypeAlias = Mapping[str, ContextValue]


class Request(dict[str, str | None]):
    """The context of one request as the statements of one effect see it; as a mapping: what a variable stands for.

    A value that is put in never acts as a wildcard. For an Allow, one with wildcard characters is not put in (None): a
    device that calls itself `+` or `*` gains nothing. For a Deny it is, as plain text: the same device does not slip
    past. The characters are those of the AWS IoT Core developer guide, "X.509 Certificate policy variable limitations".
    """

    __slots__ = ("context", "deny", "fold")

    def __init__(self, context: Context, deny: bool, fold: bool = False) -> None:
        self.context = context
        self.deny = deny
        self.fold = fold

    def __missing__(self, key: str) -> str | None:
        value = self.context.get(key)
        if not isinstance(value, str) or (not self.deny and _WILD.search(value)):
            self[key] = None
        else:
            self[key] = value.lower() if self.fold else value
        return self[key]

    @property
    def folded(self) -> Request:
        """The same request with its values in lower case."""
        return Request(self.context, self.deny, fold=True)


_WILD = re.compile(r"[*?+#$]")
