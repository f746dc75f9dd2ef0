"""Detection's events become truth: the violation, its event and its alert, in the caller's one transaction.

What is recorded already is skipped (lifecycle.py), so a replay after a crash writes nothing and tells nobody twice.
Work goes in chunks: one look-up and a few bulk statements for each, however many alarms fall at one close.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Protocol, TypeAlias, TypeVar

import sqlalchemy as sa

from fleetward import errors
from fleetward.alarm import lifecycle, message
from fleetward.alarm.lifecycle import State
from fleetward.alarm.message import Told
from fleetward.detect import profile_store, profiles
from fleetward.detect.outcome import Progress
from fleetward.model import AlarmEvent, Behavior, Ended
from fleetward.notify.records import Draft
from fleetward.store.bulk import execute_many
from fleetward.store.database import Transaction
from fleetward.store.tables.detect import violation_events, violations

CHUNK = 1_000

# Built once, for bulk statements.
_OPEN = sa.insert(violations)
_END = sa.update(violations).where(violations.c.id == sa.bindparam("key"))
_END = _END.values({name: sa.bindparam(name) for name in ("state", "ended_at", "reason")})
_HAPPEN = sa.insert(violation_events)

Row: TypeAlias = dict[str, Any]
Target: TypeAlias = Mapping[str, str]
"""An AlertTarget as the API has it."""
T = TypeVar("T")


class Publish(Protocol):
    """Hands alerts to their topic within the transaction, as the target's role.

    Answers each with its id, or with the Refusal for which the topic cannot take it; raises a Refusal that meets all.
    """

    def __call__(
        self, tx: Transaction, topic_arn: str, alerts: Sequence[Draft], *, role_arn: str
    ) -> Sequence[str | errors.Refusal]: ...


def record(tx: Transaction, told: Sequence[Told], progress: Sequence[Progress], publish: Publish) -> list[AlarmEvent]:
    """Writes events (in the order they happened) and then `progress`; returns the events that were news."""
    books = ProfileBooks(tx)
    news: list[Told] = []
    for chunk in _chunks(told):
        news += _record_chunk(tx, chunk, books, publish)
    for steps in _chunks(progress):
        _move_on(tx, steps)
    return [one.event for one in news]


class ProfileBooks:
    """What the recorder needs of each profile, read once for a whole recording."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._documents: dict[str, Mapping[str, Any] | None] = {}
        self._targets: dict[str, Sequence[Target]] = {}
        self._openings: dict[Behavior, Row] = {}

    def document(self, profile: str) -> Mapping[str, Any] | None:
        if profile not in self._documents:
            row = profile_store.find(self._tx, profile)
            self._documents[profile] = None if row is None else row["document"]
        return self._documents[profile]

    def opening(self, behavior: Behavior) -> Row:
        """What the rows of all violations of a behaviour share."""
        if behavior not in self._openings:
            self._openings[behavior] = self._opening(behavior)
        return self._openings[behavior]

    def _opening(self, behavior: Behavior) -> Row:
        """The form is the one in the profile, or rendered anew when the profile has changed meanwhile."""
        form = self._stored_form(behavior) or profiles.render(behavior)
        return {
            "profile": behavior.profile,
            "behavior": message.compact(form),
            "behavior_name": behavior.name,
            "criteria_type": profiles.criteria_type(form),
            "suppressed": behavior.suppress_alerts,
            "alert_topics": message.compact(list(self.targets(behavior.profile))),
        }

    def targets(self, profile: str, otherwise: str = "[]") -> Sequence[Target]:
        """Where the profile's alerts go now; `otherwise` (JSON) when there is no such profile any more."""
        document = self.document(profile)
        if document is None:
            return _targets(otherwise)
        if profile not in self._targets:
            self._targets[profile] = profile_store.alert_targets(document)
        return self._targets[profile]

    def _stored_form(self, behavior: Behavior) -> Mapping[str, Any] | None:
        margin, bare = getattr(behavior.criterion, "margin_percent", 0.0), replace(behavior, filters=())
        for form in (self.document(behavior.profile) or {}).get("behaviors", ()):
            if form["name"] == behavior.name and profiles.parse(behavior.profile, [form], margin) == (bare,):
                return dict(form)
        return None


@lru_cache(maxsize=1024)
def _targets(text: str) -> Sequence[Target]:
    return tuple(json.loads(text))


def _record_chunk(tx: Transaction, events: Sequence[Told], books: ProfileBooks, publish: Publish) -> list[Told]:
    rows = _known(tx, events)
    known = set(rows)
    news = [told for told in events if _take(rows, told, books)]
    changed = {told.event.violation_id: rows[told.event.violation_id] for told in news}
    execute_many(tx, _OPEN, [row for key, row in changed.items() if key not in known])
    execute_many(tx, _END, [_ended(row) for key, row in changed.items() if key in known])
    if news:
        refused = _tell(tx, news, rows, books, publish)
        execute_many(tx, _HAPPEN, [_event_row(told, refused.get(number)) for number, told in enumerate(news)])
    return news


def _known(tx: Transaction, events: Sequence[Told]) -> dict[str, Row]:
    """What the recorder must know of the violations that are recorded already, by id; JSON as text."""
    row = violations.c
    texts = (sa.type_coerce(column, sa.Text).label(column.name) for column in (row.behavior, row.alert_topics))
    known = sa.select(row.id, row.state, row.verification_state, *texts)
    ids = {told.event.violation_id for told in events}
    return {found["id"]: dict(found) for found in tx.all(known.where(row.id.in_(ids)))}


def _take(rows: dict[str, Row], told: Told, books: ProfileBooks) -> bool:
    """Moves the violation's row on; False when the event changes nothing."""
    event = told.event
    row = rows.get(event.violation_id)
    state = lifecycle.step(State.UNKNOWN if row is None else State(row["state"]), event.kind)
    if state is None:
        return False
    if row is None:
        rows[event.violation_id] = _opened(told, books)
    else:
        row.update(state=state.value, ended_at=event.time, reason=event.reason)
    return True


def _opened(told: Told, books: ProfileBooks) -> Row:
    event = told.event
    return {
        **books.opening(event.behavior),
        "id": event.violation_id,
        "thing": event.thing,
        "state": State.IN_ALARM.value,
        "started_at": event.time,
        "last_at": event.time,
        "last_value": told.value or "null",
        "ended_at": None,
        "reason": "",
        "explanation": told.explanation,
        "verification_state": "UNKNOWN",
        "verification_description": None,
    }


def _ended(row: Row) -> Row:
    return {"key": row["id"], "state": row["state"], "ended_at": row["ended_at"], "reason": row["reason"]}


def _tell(
    tx: Transaction, news: Sequence[Told], rows: Mapping[str, Row], books: ProfileBooks, publish: Publish
) -> dict[int, str]:
    """Publishes the alerts of `news`, a topic at a time; returns, by place, why topics would not take some."""
    waiting: dict[tuple[str, str], list[tuple[int, Draft]]] = {}
    for number, told in enumerate(news):
        if _is_told(told.event):
            row = rows[told.event.violation_id]
            alert = _alert(told, row)
            for target in books.targets(told.event.behavior.profile, otherwise=row["alert_topics"]):
                waiting.setdefault((target["alertTargetArn"], target["roleArn"]), []).append((number, alert))
    refused: dict[int, str] = {}
    for (topic, role), alerts in waiting.items():
        for number, reason in _hand_over(tx, publish, topic, role, alerts):
            refused[number] = "; ".join(filter(None, (refused.get(number), f"{topic}: {reason}")))
    return refused


def _is_told(event: AlarmEvent) -> bool:
    """A release is not told: whoever did it knows, and a handler that isolates on every alert would undo it."""
    return not event.behavior.suppress_alerts and event.reason != Ended.RELEASED


def _alert(told: Told, row: Row) -> Draft:
    return Draft(
        message.alert(told, row["behavior"], row["verification_state"]),
        id=message.message_id(told.event),
        email_subject=told.email_subject,
        email_text=told.email_text,
    )


def _hand_over(
    tx: Transaction, publish: Publish, topic: str, role: str, alerts: Sequence[tuple[int, Draft]]
) -> list[tuple[int, str]]:
    """Publishes to one target; returns why it would not take some, by their numbers."""
    try:
        answers = publish(tx, topic, [alert for _, alert in alerts], role_arn=role)
    except errors.Refusal as refusal:
        return [(number, refusal.message) for number, _ in alerts]
    return [
        (number, answer.message)
        for (number, _), answer in zip(alerts, answers, strict=True)
        if isinstance(answer, errors.Refusal)
    ]


def _event_row(told: Told, alert_error: str | None) -> Row:
    event = told.event
    return {
        "violation_id": event.violation_id,
        "kind": event.kind.value,
        "time": event.time,
        "value": told.value,
        "reason": event.reason,
        "explanation": told.explanation,
        "alert_error": alert_error,
    }


def _move_on(tx: Transaction, steps: Sequence[Progress]) -> None:
    """Sets the last violating datapoint of open violations; never back in time."""
    open_before = (violations.c.state == State.IN_ALARM) & (violations.c.last_at < sa.bindparam("time"))
    statement = violations.update().where(violations.c.id == sa.bindparam("key"), open_before)
    statement = statement.values(last_at=sa.bindparam("time"), last_value=sa.bindparam("last"))
    tx.execute(
        statement,
        [{"key": step.violation_id, "time": step.time, "last": message.progress_value(step)} for step in steps],
    )


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
