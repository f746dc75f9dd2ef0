"""Lint's advice on stored profiles, remembered for a while: it reads the history."""

from __future__ import annotations

import json
import math
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from fleetward.console.operator import Operator
from fleetward.console.profile_draft import Draft

Advice = Sequence[Mapping[str, Any]]

WAITING = "…"
KEPT_SECONDS = 300
"""The advice depends on the fleet and its history too, so it is asked for again."""
MOST = 1_000

_known: OrderedDict[str, tuple[float, Advice]] = OrderedDict()


async def advice(operator: Operator, stored: Draft) -> Advice | None:
    """What LintSecurityProfile says of a stored profile; None for whoever may not ask."""
    if not operator.may("fleetward", "LintSecurityProfile"):
        return None
    profile = json.dumps(stored.document())
    now, asked = time.monotonic(), json.dumps([stored.version, stored.targets, profile])
    since, found = _known.get(asked, (-math.inf, ()))
    if now - since > KEPT_SECONDS:
        answer = await operator.do(
            "fleetward", "LintSecurityProfile", profile=profile, targetArns=stored.targets or None
        )
        found = answer["advice"]
        _known[asked] = (now, found)
        while len(_known) > MOST:
            _known.popitem(last=False)
    return found


def mark(found: Advice | None) -> tuple[str, str]:
    """A word for the list, and its tone."""
    if found is None:
        return "–", ""
    warnings = sum(one["level"] == "warning" for one in found)
    if warnings:
        return f"{warnings} warning{'' if warnings == 1 else 's'}", "warn"
    notes = len(found)
    return (f"{notes} note{'' if notes == 1 else 's'}", "") if notes else ("Fine", "good")
