"""Where a profile can be attached: the four forms of a target's ARN (AWS developer guide, "Detect concepts")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fleetward import arn, errors
from fleetward.arn import Arns
from fleetward.detect.behavior_checks import NAME, show
from fleetward.detect.inputs import Target
from fleetward.registry.view import FleetView

POPULATIONS: Mapping[str, str] = {
    "all/things": "all",
    "all/registered-things": "registered",
    "all/unregistered-things": "unregistered",
}
"""ARN resource → target kind; the one kind that is not here is "group"."""


def parse(text: str, arns: Arns) -> Target:
    """The target an ARN names; anything else, a single thing included, is an InvalidRequest."""
    parts = arn.parse(text)
    if parts is None or (parts.service, parts.region, parts.account) != ("iot", arns.region, arns.account):
        raise errors.InvalidRequest(f"{show(text)} is not a target in this account and region. {_FORMS}")
    if parts.resource in POPULATIONS:
        return Target(POPULATIONS[parts.resource])
    if parts.kind == "thinggroup" and NAME.fullmatch(parts.name):
        return Target("group", parts.name)
    hint = " Put the thing into a group of its own to watch it alone." if parts.kind == "thing" else ""
    raise errors.InvalidRequest(f"{show(text)} is not a target of a security profile. {_FORMS}{hint}")


def render(target: Target, arns: Arns) -> str:
    """The target's ARN; the inverse of `parse`."""
    if target.group is not None:
        return arns.iot("thinggroup", target.group)
    resource = next(resource for resource, kind in POPULATIONS.items() if kind == target.kind)
    return arns.make("iot", resource)


def covers(view: FleetView, targets: Iterable[Target], thing: str) -> bool:
    """Whether any of a profile's targets covers a device, registered or not."""
    record = view.thing(thing)
    groups = () if record is None else view.ancestry(record.groups)
    return any(
        target.kind == "all"
        or (target.kind == "registered" and record is not None)
        or (target.kind == "unregistered" and record is None)
        or (target.kind == "group" and target.group in groups)
        for target in targets
    )


_FORMS = (
    "A target is a thing group (thinggroup/NAME), all/things, all/registered-things or all/unregistered-things of this "
    "account."
)
