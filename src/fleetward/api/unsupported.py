"""Refusing what would be silently without effect."""

from __future__ import annotations

from fleetward import errors
from fleetward.api.call import Call


def refuse_unsupported(call: Call, *names: str) -> None:
    """Refuses the call when any of these parameters is given."""
    given = [name for name in names if call.params.get(name)]
    if given:
        raise errors.NotImplementedHere(f"Fleetward does not implement {', '.join(given)} of {call.operation.name}.")
