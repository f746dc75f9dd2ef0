"""An alarm's words: its state, what people made of it, and what happened, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from fleetward.model import AlarmKind, Ended

VERIFICATIONS: Mapping[str, str] = {
    "TRUE_POSITIVE": "True positive",
    "BENIGN_POSITIVE": "Benign positive",
    "FALSE_POSITIVE": "False positive",
    "UNKNOWN": "Unknown",
}
VERIFICATION_TONES = {"TRUE_POSITIVE": "bad", "FALSE_POSITIVE": "good"}

ENDS = {AlarmKind.CLEARED: ("Cleared", "good"), AlarmKind.INVALIDATED: ("Ended", "")}
EVENTS = {
    AlarmKind.IN_ALARM: ("Alarm raised", "bad", "notifications_active"),
    AlarmKind.CLEARED: ("Alarm cleared", "good", "check_circle"),
    AlarmKind.INVALIDATED: ("Alarm ended without being cleared", "", "cancel"),
}
TONES = {
    "delivered": "good",
    "handed over": "good",
    "succeeded": "good",
    "successful": "good",
    "failed": "bad",
    "discarded": "bad",
    "pending": "warn",
    "running": "warn",
}


class Step(NamedTuple):
    """Something that happened; `links` are (text, path below /console) of what took part, read on from the title."""

    time: datetime
    icon: str
    title: str
    detail: str = ""
    status: str = ""
    tone: str = ""
    links: tuple[tuple[str, str], ...] = ()


def standing(violation: Mapping[str, Any]) -> tuple[str, str]:
    """Its state, and the state's tone."""
    if violation.get("endTime"):
        return ENDS[AlarmKind(violation["state"])]
    return ("In alarm, isolated" if violation["isolated"] else "In alarm"), "bad"


def verification(state: str) -> tuple[str, str]:
    return VERIFICATIONS.get(state, state), VERIFICATION_TONES.get(state, "")


def history(answer: Mapping[str, Any]) -> list[Step]:
    """What DescribeViolation tells, in the order of time."""
    steps = [step for event in answer["events"] for step in _event(event)]
    steps += [_mitigation(one) for one in answer["mitigations"]]
    steps += [_change(one) for one in answer["changes"]]
    return sorted(steps, key=lambda step: step.time)


def _event(event: Mapping[str, Any]) -> Iterator[Step]:
    title, tone, icon = EVENTS[AlarmKind(event["type"])]
    told = event.get("explanation") or event.get("reason") or ""
    yield Step(event["time"], icon, title, told, tone=tone)
    if event.get("alertError"):
        yield Step(event["time"], "error", "The alert could not be published", event["alertError"], "failed", "bad")
    elif event.get("reason") == Ended.RELEASED:
        yield Step(event["time"], "notifications_off", "No alert: a release is not told")
    for delivery in event["deliveries"]:
        yield from _delivery(delivery)


def _delivery(one: Mapping[str, Any]) -> Iterator[Step]:
    status, topic = one["status"], one["topicArn"].rsplit(":", 1)[-1]
    time = one.get("attemptedTime") or one["createdTime"]
    detail = _detail(one["attempts"], one.get("error"))
    title = f"Alert by {one['protocol']} to {one['endpoint'].rsplit(':', 1)[-1]}, topic"
    yield Step(time, "send", title, detail, status, TONES.get(status, ""), ((topic, f"/topics/{topic}"),))
    if run := one.get("run"):
        name, status = run["functionName"], run["status"]
        told = _detail(run["attempts"], run.get("error"), f"request {run['requestId']}")
        links = ((name, f"/functions/{name}"),)
        yield Step(run.get("endTime") or time, "bolt", "Function", told, status, TONES.get(status, ""), links)


def _mitigation(one: Mapping[str, Any]) -> Step:
    status = one["status"].lower().replace("_", " ")
    wrong = " ".join(filter(None, (one.get("errorCode"), one.get("message"))))
    title = f"Mitigation action {one['actionName']}"
    return Step(one.get("endTime") or one["startTime"], "build", title, wrong, status, TONES.get(status, ""))


def _change(one: Mapping[str, Any]) -> Step:
    group, _, thing = one["name"].rpartition("/")
    added = one.get("after") is not None
    who = one["principal"].rsplit(":", 1)[-1]
    detail = ", ".join(filter(None, (f"by {who}", one["operation"], one["reason"])))
    title, icon = (f"{thing} put into", "block") if added else (f"{thing} taken out of", "lock_open")
    return Step(one["time"], icon, title, detail, links=((group, f"/groups/{group}"),))


def _detail(attempts: int, error: str | None, more: str = "") -> str:
    tries = f"after {attempts} attempts" if attempts > 1 else ""
    return ", ".join(filter(None, (tries, more, error)))
