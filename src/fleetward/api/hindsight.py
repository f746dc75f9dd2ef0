"""fleetward: what a security profile will do, told before it is attached: by arithmetic and by history."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fleetward import errors
from fleetward.alarm import words
from fleetward.api.call import Call
from fleetward.api.times import datetime_of, millis_of
from fleetward.detect import profile_store, profiles, targets
from fleetward.detect.backtest import Backtest, Device, backtest
from fleetward.detect.catalog import catalog
from fleetward.detect.inputs import Enroll, Input, Target, WatchedProfile
from fleetward.detect.lint import lint
from fleetward.meter.batch import Batch, unregistered_id
from fleetward.model import AlarmEvent, Behavior, Millis
from fleetward.records import ThingRecord
from fleetward.registry.view import FleetView
from fleetward.respond.mitigation_actions import AUTOMATIC_TAG
from fleetward.store.database import Reader
from fleetward.store.past import DAY, PastInputs, extremes

LISTED = 1_000
_ONE_AT_A_TIME = asyncio.Semaphore(1)


async def lint_security_profile(call: Call) -> dict[str, Any]:
    with call.read() as look:
        profile = _profile(call, look)
    return await asyncio.to_thread(_lint, call, profile, _population(call.rooms.view, profile.targets))


async def backtest_security_profile(call: Call) -> dict[str, Any]:
    """One at a time: a replay takes a core for seconds."""
    with call.read() as look:
        profile = _profile(call, look)
    if _ONE_AT_A_TIME.locked():
        raise errors.Validation("profile: another back-test is running; try again when it is done")
    async with _ONE_AT_A_TIME:
        found, begin = await asyncio.to_thread(_backtest, call, profile, tuple(call.rooms.view.things()))
    return _shown(found, begin)


def _population(view: FleetView, covered: Sequence[Target]) -> int:
    """How many registered things the targets cover."""
    if any(target.kind in ("all", "registered") for target in covered):
        return view.size
    return len(set().union(*(view.things_in(target.group) for target in covered if target.group is not None)))


def _lint(call: Call, profile: WatchedProfile, population: int) -> dict[str, Any]:
    since = _oldest(call)
    past = {behavior.key: extremes(call.rooms.history, behavior, since, call.now) for behavior in profile.behaviors}
    found = lint(profile.behaviors, population, {key: known for key, known in past.items() if known is not None})
    return {
        "population": population,
        "advice": [
            {"level": one.level, "code": one.code, "behaviorName": one.behavior, "text": one.text} for one in found
        ],
    }


def _backtest(call: Call, profile: WatchedProfile, fleet: Sequence[ThingRecord]) -> tuple[Backtest, Millis | None]:
    """What was found, and when the history of these metrics begins, if there is one."""
    view, history = call.rooms.view, call.rooms.history
    start = call.params.get("startTime")
    since = _aligned(_oldest(call) if start is None else millis_of(start), profile.behaviors)
    things = [Enroll(since, one.id, one.name, frozenset(view.ancestry(one.groups))) for one in fleet]
    ids = {name: unregistered_id(name) for name in history.things()} | {thing.name: thing.id for thing in things}
    durations = {behavior.duration_seconds for behavior in profile.behaviors if behavior.duration_seconds}
    columns = {behavior.column for behavior in profile.behaviors}
    past = PastInputs(history, columns, ids, durations, since, call.now)
    begin: list[Millis] = []
    found = backtest(profile, things, _noting(past, begin), since, call.now, past.kept, _is_acted_on(call))
    return found, begin[0] if begin else None


def _noting(past: Iterable[Input], begin: list[Millis]) -> Iterator[Input]:
    """The same inputs; puts the time of the first one, with which the history begins, into `begin`."""
    for item in past:
        if not begin:
            begin.append(item.start if isinstance(item, Batch) else item.now)
        yield item


# --- the profile in a request -----------------------------------------------------------------------------------------


def _profile(call: Call, look: Reader) -> WatchedProfile:
    document = _document(call)
    name, behaviors = str(document.get("securityProfileName") or "profile"), document.get("behaviors") or []
    if complaints := profiles.validate(behaviors, catalog(look)):
        raise errors.Validation(f"profile: {'; '.join(complaints[:10])}")
    margin = profiles.margin_percent(_tags(document).get(profiles.MARGIN_TAG))
    return WatchedProfile(name, profiles.parse(name, behaviors, margin), targets=_targets(call, look, name))


def _document(call: Call) -> Mapping[str, Any]:
    try:
        document = json.loads(call.params["profile"])
    except (ValueError, RecursionError):
        raise errors.Validation("profile should be JSON, as create-security-profile takes it") from None
    if not isinstance(document, dict) or not isinstance(document.get("tags") or [], list):
        raise errors.Validation("profile should be an object with the members of CreateSecurityProfile")
    return document


def _tags(document: Mapping[str, Any]) -> dict[str, str]:
    given = [tag for tag in document.get("tags") or () if isinstance(tag, dict)]
    return {str(tag.get("Key")): str(tag.get("Value") or "") for tag in given}


def _targets(call: Call, look: Reader, name: str) -> tuple[Target, ...]:
    if arns := call.params.get("targetArns"):
        return tuple(targets.parse(arn, call.rooms.arns) for arn in arns)
    if profile_store.find(look, name) is not None:
        attached = profile_store.attachments_of(look, name)
        return tuple(profile_store.target_in(row) for row in attached) or (Target("all"),)
    return (Target("all"),)


def _is_acted_on(call: Call) -> bool:
    """Whether somebody is told of the profile's alarms, or actions run by themselves."""
    document = _document(call)
    return bool(document.get("alertTargets")) or AUTOMATIC_TAG in _tags(document)


# --- times ------------------------------------------------------------------------------------------------------------


def _oldest(call: Call) -> Millis:
    return call.now - call.rooms.settings.history_retention_days * DAY


def _aligned(since: Millis, behaviors: Sequence[Behavior]) -> Millis:
    """The start of a window of every duration in use, when one begins within a day before `since`."""
    period = 1000 * math.lcm(*(behavior.duration_seconds or 1 for behavior in behaviors), 300)
    return since - since % period if period <= DAY else since


def _shown(found: Backtest, begin: Millis | None) -> dict[str, Any]:
    return {
        "startTime": datetime_of(found.since),
        "endTime": datetime_of(found.until),
        "historyTime": None if begin is None else datetime_of(begin),
        "devices": [_shown_device(device) for device in found.devices[:LISTED]],
        "deviceCount": len(found.devices),
        "isolatedCount": sum(device.isolated_at is not None for device in found.devices),
        "events": [_shown_event(event) for event in found.events[:LISTED]],
        "eventCount": found.total,
        "leftOut": [{"behaviorName": name, "reason": reason} for name, reason in found.left_out.items()],
        "exitCode": found.exit_code,
    }


def _shown_event(event: AlarmEvent) -> dict[str, Any]:
    return {
        "thingName": event.thing,
        "behaviorName": event.behavior.name,
        "type": event.kind.value,
        "time": datetime_of(event.time),
        "verdict": _verdict(event),
    }


def _verdict(event: AlarmEvent) -> str:
    return event.reason if event.explanation is None else words.why(event.explanation)


def _shown_device(device: Device) -> dict[str, Any]:
    return {
        "thingName": device.name,
        "behaviorName": device.first.behavior.name,
        "firstAlarmTime": datetime_of(device.first.time),
        "isolatedTime": None if device.isolated_at is None else datetime_of(device.isolated_at),
        "alarms": device.alarms,
        "verdict": _verdict(device.first),
    }
