"""Lint's warnings with the answer that creates, changes or attaches a security profile: in a header and in the log.

By arithmetic alone, which takes microseconds; what the history adds, LintSecurityProfile tells. Never in the way: the
profile is stored before, and an error here is only logged.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from fleetward.api.call import Call
from fleetward.detect import profile_store, profiles
from fleetward.detect.inputs import Target
from fleetward.detect.lint import Advice, Level, lint
from fleetward.registry import tags
from fleetward.registry.view import FleetView

HEADER = "x-fleetward-warning"
SEPARATOR = " | "
MAX_WARNINGS = 5
MAX_LENGTH = 300
"""Characters of one warning in the header; the log has the whole of each."""

log = structlog.get_logger()


def give(call: Call, profile: str) -> None:
    """Warns of what is stored as `profile`."""
    try:
        if warnings := _warnings(call, profile):
            call.headers[HEADER] = header_value(warnings)
            for one in warnings[:MAX_WARNINGS]:
                log.warning("profile_warning", profile=profile, behavior=one.behavior, code=one.code, text=one.text)
    except Exception:
        log.exception("profile_not_linted", profile=profile)


def header_value(warnings: Sequence[Advice]) -> str:
    """The warnings side by side, in printable ASCII: `b: p50 flags… [flags-healthy-devices] | …`."""
    shown = [_shown(one) for one in warnings[:MAX_WARNINGS]]
    more = len(warnings) - len(shown)
    return SEPARATOR.join([*shown, f"{more} more, see fleetward lint"] if more else shown)


def _shown(one: Advice) -> str:
    end = f" [{one.code}]"
    text = f"{one.behavior}: {one.text}"
    if len(text) + len(end) > MAX_LENGTH:
        text = text[: MAX_LENGTH - len(end) - 3] + "..."
    return "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text + end)


def _warnings(call: Call, name: str) -> list[Advice]:
    with call.read() as look:
        document = profile_store.get(look, name)["document"]
        attached = [profile_store.target_in(row) for row in profile_store.attachments_of(look, name)]
        margin = tags.of(look, call.rooms.arns.iot("securityprofile", name)).get(profiles.MARGIN_TAG)
    behaviors = profiles.parse(name, document.get("behaviors") or (), profiles.margin_percent(margin))
    found = lint(behaviors, _population(call.rooms.view, attached or [Target("all")]))
    return [one for one in found if one.level is Level.WARNING]


def _population(view: FleetView, targets: Sequence[Target]) -> int | None:
    """How many registered things the targets cover; not known of devices that are not registered."""
    if any(target.kind in ("all", "registered") for target in targets):
        return view.size
    groups = [target.group for target in targets if target.group is not None]
    return len(set().union(*map(view.things_in, groups))) if groups else None
