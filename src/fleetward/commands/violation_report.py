"""What `fleetward violations show` prints of a violation: DescribeViolation's answer as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from fleetward.alarm.words import listed, moment, plain, quantity
from fleetward.model import AlarmKind, Ended

Json: TypeAlias = Mapping[str, Any]
Step: TypeAlias = tuple[datetime, str]

SUFFIX = "Document"
"""How the names of members end that hold JSON."""

ENDS = {AlarmKind.CLEARED: "cleared", AlarmKind.INVALIDATED: "ended without being cleared"}


def document(answer: Any) -> Any:
    """The answer with the JSON in it unfolded: `explanationDocument` in place of the one sentence `explanation`."""
    if isinstance(answer, list):
        return [document(item) for item in answer]
    if not isinstance(answer, Mapping):
        return answer
    unfolded = {key: document(value) for key, value in answer.items() if not key.endswith(SUFFIX)}
    texts = {key: value for key, value in answer.items() if key.endswith(SUFFIX)}
    return unfolded | {key.removesuffix(SUFFIX): json.loads(text) for key, text in texts.items()}


def standing(violation: Json) -> str:
    """`in alarm, isolated`, or how and when it ended."""
    if "endTime" not in violation:
        return "in alarm, isolated" if violation["isolated"] else "in alarm"
    return f"{ENDS[AlarmKind(violation['state'])]} {_moment(violation['endTime'])}"


def report(answer: Json) -> list[str]:
    violation = answer["violation"]
    why = json.loads(violation["explanationDocument"])
    head = f"{violation['thingName']}: {standing(violation)}"
    lines = [f"Violation {violation['violationId']}", head, "", *_table(_facts(answer, why))]
    if topics := why.get("topics"):
        lines += ["", "Published to:"]
        lines += [
            f"  {one['topic']}: {quantity(one['bytes'], 'bytes')} in {quantity(one['messages'], 'messages')}"
            for one in topics
        ]
    lines += ["", "What happened:"]
    return lines + [f"  {_moment(time)}.{time.microsecond // 1000:03d}  {text}" for time, text in _history(answer)]


# --- what it is and why -----------------------------------------------------------------------------------------------


def _facts(answer: Json, why: Json) -> dict[str, str]:
    violation = answer["violation"]
    last = json.loads(answer["lastViolationValueDocument"])
    return {
        "Why": violation["explanation"],
        "Profile": violation["securityProfileName"],
        "Behavior": violation["behaviorName"],
        "Alarms when": answer["alarmCondition"].removeprefix("Alarm when "),
        "Normal": answer["expectedBehavior"].removeprefix("Normal is "),
        **_verdict(why),
        "Datapoints": _datapoints(answer, why),
        "Last value": f"{_value(last, why.get('unit', ''))} at {_moment(answer['lastViolationTime'])}",
        "Ended": violation.get("endReason", ""),
        "Verification": _verification(violation),
        "Alerts to": _targets(answer),
        "Isolated": f"since {_moment(answer['isolatedTime'])}" if answer.get("isolatedTime") else "",
    }


def _verdict(why: Json) -> dict[str, str]:
    """The parts of the verdict; a violation of long ago may lack some."""
    if not why:
        return {}
    unit, metric = why.get("unit", ""), why.get("metric", "")
    on = f" on {why['dimension']}" if why.get("dimension") else ""
    return {
        "Metric": f"{metric}{on}",
        "Value": _shown(why["value"], unit),
        "Threshold": _shown(why["threshold"], unit) + _rank(why),
        **_when(why),
    }


def _when(why: Json) -> dict[str, str]:
    start, end = why["windowStart"], why["windowEnd"]
    if start == end:
        return {"Reported": moment(start)}
    early = ", decided as soon as the bound was crossed" if why.get("early") else ""
    return {"Window": f"{moment(start)} to {moment(end)}{early}"}


def _rank(why: Json) -> str:
    if why.get("statistic") is None:
        return ""
    rank = f"rank {why['rank']} of " if why.get("rank") is not None else "of "
    others = quantity(why.get("population", 0), "other devices")
    margin = f", margin {why['marginPercent']:g} %" if why.get("marginPercent") else ""
    return f" ({why['statistic']}: {rank}{others}{margin})"


def _datapoints(answer: Json, why: Json) -> str:
    criteria = json.loads(answer["behaviorDocument"]).get("criteria", {})
    to_alarm, to_clear = (criteria.get(f"consecutiveDatapointsTo{what}", 1) for what in ("Alarm", "Clear"))
    in_a_row = f"{quantity(why['datapoints'], 'violating datapoints')} in a row, " if "datapoints" in why else ""
    return f"{in_a_row}alarms after {to_alarm}, clears after {to_clear} normal"


def _shown(value: Any, unit: str) -> str:
    return listed(value) if isinstance(value, list) else quantity(value, unit)


def _value(value: Json, unit: str) -> str:
    """A MetricValue of the API."""
    return next((_shown(one, unit) for one in value.values()), "none")


def _verification(violation: Json) -> str:
    said = violation.get("verificationStateDescription")
    return f"{violation['verificationState']}{f' ({plain(said, 1_000)})' if said else ''}"


def _targets(answer: Json) -> str:
    if answer["alertsSuppressed"]:
        return "nobody: the behavior suppresses alerts"
    return ", ".join(answer["alertTargetArns"]) or "nobody: the profile has no alert target"


def _table(facts: Mapping[str, str]) -> list[str]:
    return [f"{name + ':':<14} {text}" for name, text in facts.items() if text]


# --- what happened ----------------------------------------------------------------------------------------------------


def _history(answer: Json) -> list[Step]:
    steps = [step for event in answer["events"] for step in _event(event)]
    steps += [step for one in answer["mitigations"] for step in _mitigation(one)]
    steps += [(one["time"], _change(one)) for one in answer["changes"]]
    return sorted(steps, key=lambda step: step[0])


def _event(event: Json) -> Iterator[Step]:
    told = event.get("explanation") or event.get("reason") or ""
    yield event["time"], f"{event['type']}{f': {told}' if told else ''}"
    if event.get("alertError"):
        yield event["time"], f"  alert refused: {event['alertError']}"
    elif event.get("reason") == Ended.RELEASED:
        yield event["time"], "  no alert: a release is not told"
    for one in event["deliveries"]:
        yield from _delivery(one)


def _delivery(one: Json) -> Iterator[Step]:
    tries = f" after {one['attempts']} attempts" if one["attempts"] > 1 else ""
    wrong = f": {one['error']}" if one.get("error") else ""
    again = f", next at {_moment(one['nextTime'])}" if one.get("nextTime") else ""
    time = one.get("attemptedTime") or one["createdTime"]
    yield time, f"  alert by {one['protocol']} to {one['endpoint']} {one['status']}{tries}{again}{wrong}"
    if run := one.get("run"):
        tries = f" after {run['attempts']} attempts" if run["attempts"] > 1 else ""
        wrong = f": {run['error']}" if run.get("error") else ""
        told = f"function {run['functionName']} {run['status']}{tries}, request {run['requestId']}{wrong}"
        yield run.get("endTime") or time, f"  {told}"


def _mitigation(one: Json) -> Iterator[Step]:
    wrong = ": " + " ".join(filter(None, (one.get("errorCode"), one.get("message")))) if one.get("errorCode") else ""
    told = f"mitigation action {one['actionName']} {one['status'].lower()} (task {one['taskId']}){wrong}"
    yield one.get("endTime") or one["startTime"], f"  {told}"


def _change(one: Json) -> str:
    group, _, thing = one["name"].rpartition("/")
    verb = "taken out of" if "after" not in one else "put into"
    reason = f": {one['reason']}" if one["reason"] else ""
    who = one["principal"].rsplit(":", 1)[-1]
    return f"  {thing} {verb} thing group {group} by {who}, {one['operation'] or 'by itself'}{reason}"


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"
