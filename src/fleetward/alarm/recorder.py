"""Detection's events become truth: the violation, its event and its alert, in the caller's one transaction.

What is recorded already is skipped (lifecycle.py), so a replay after a crash writes nothing and tells nobody twice.
Work goes in chunks: one look-up and a few bulk statements for each, however many alarms fall at one close.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeAlias, TypeVar

import sqlalchemy as sa

from fleetward import errors
from fleetward.alarm import lifecycle, message, words
from fleetward.alarm.lifecycle import State
from fleetward.detect import profile_store, profiles
from fleetward.detect.outcome import Progress
from fleetward.model import AlarmEvent, Behavior, Ended
from fleetward.notify.records import Draft
from fleetward.store.database import Transaction
from fleetward.store.tables.detect import violation_events, violations

CHUNK = 1_000

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


def record(
    tx: Transaction, events: Sequence[AlarmEvent], progress: Sequence[Progress], publish: Publish
) -> list[AlarmEvent]:
    """Writes `events` (in the order they happened) and then `progress`; returns the events that were news."""
    books = ProfileBooks(tx)
    news: list[AlarmEvent] = []
    for chunk in _chunks(events):
        news += _record_chunk(tx, chunk, books, publish)
    for steps in _chunks(progress):
        _move_on(tx, steps)
    return news


class ProfileBooks:
    """What the recorder needs of each profile, read once for a whole recording."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._documents: dict[str, Mapping[str, Any] | None] = {}
        self._targets: dict[str, Sequence[Target]] = {}
        self._forms: dict[Behavior, Mapping[str, Any]] = {}

    def document(self, profile: str) -> Mapping[str, Any] | None:
        if profile not in self._documents:
            row = profile_store.find(self._tx, profile)
            self._documents[profile] = None if row is None else row["document"]
        return self._documents[profile]

    def form(self, behavior: Behavior) -> Mapping[str, Any]:
        """The behaviour as its profile shows it; rendered anew when the profile has changed meanwhile."""
        if behavior not in self._forms:
            self._forms[behavior] = self._stored_form(behavior) or profiles.render(behavior)
        return self._forms[behavior]

    def targets(self, profile: str, otherwise: Sequence[Target] = ()) -> Sequence[Target]:
        """Where the profile's alerts go now; `otherwise` when there is no such profile any more."""
        document = self.document(profile)
        if document is None:
            return otherwise
        if profile not in self._targets:
            self._targets[profile] = profile_store.alert_targets(document)
        return self._targets[profile]

    def _stored_form(self, behavior: Behavior) -> Mapping[str, Any] | None:
        margin, bare = getattr(behavior.criterion, "margin_percent", 0.0), replace(behavior, filters=())
        for form in (self.document(behavior.profile) or {}).get("behaviors", ()):
            if form["name"] == behavior.name and profiles.parse(behavior.profile, [form], margin) == (bare,):
                return dict(form)
        return None


def _record_chunk(
    tx: Transaction, events: Sequence[AlarmEvent], books: ProfileBooks, publish: Publish
) -> list[AlarmEvent]:
    rows = _known(tx, events)
    known = set(rows)
    news = [event for event in events if _take(rows, event, books)]
    told = {event.violation_id: rows[event.violation_id] for event in news}
    _insert(tx, [row for key, row in told.items() if key not in known])
    _end(tx, [row for key, row in told.items() if key in known])
    if news:
        refused = _tell(tx, news, rows, books, publish)
        tx.execute(
            violation_events.insert(), [_event_row(event, refused.get(number)) for number, event in enumerate(news)]
        )
    return news


def _known(tx: Transaction, events: Sequence[AlarmEvent]) -> dict[str, Row]:
    """What the recorder must know of the violations that are recorded already, by id."""
    row = violations.c
    known = sa.select(row.id, row.state, row.behavior, row.alert_topics, row.verification_state)
    ids = {event.violation_id for event in events}
    return {found["id"]: dict(found) for found in tx.all(known.where(row.id.in_(ids)))}


def _take(rows: dict[str, Row], event: AlarmEvent, books: ProfileBooks) -> bool:
    """Moves the violation's row on; False when the event changes nothing."""
    row = rows.get(event.violation_id)
    state = lifecycle.step(State.UNKNOWN if row is None else State(row["state"]), event.kind)
    if state is None:
        return False
    if row is None:
        rows[event.violation_id] = _opened(event, books)
    else:
        row.update(state=state, ended_at=event.time, reason=event.reason)
    return True


def _opened(event: AlarmEvent, books: ProfileBooks) -> Row:
    behavior = event.behavior
    form = books.form(behavior)
    return {
        "id": event.violation_id,
        "thing": event.thing,
        "profile": behavior.profile,
        "behavior": form,
        "behavior_name": behavior.name,
        "criteria_type": profiles.criteria_type(form),
        "suppressed": behavior.suppress_alerts,
        "alert_topics": list(books.targets(behavior.profile)),
        "state": State.IN_ALARM,
        "started_at": event.time,
        "last_at": event.time,
        "last_value": message.metric_value(event),
        "ended_at": None,
        "reason": "",
        "explanation": message.explanation(event.explanation),
        "verification_state": "UNKNOWN",
        "verification_description": None,
    }


def _insert(tx: Transaction, opened: list[Row]) -> None:
    if opened:
        tx.execute(violations.insert(), opened)


def _end(tx: Transaction, ended: list[Row]) -> None:
    if ended:
        statement = violations.update().where(violations.c.id == sa.bindparam("key"))
        columns = ("state", "ended_at", "reason")
        tx.execute(statement, [{"key": row["id"], **{column: row[column] for column in columns}} for row in ended])


def _tell(
    tx: Transaction, news: Sequence[AlarmEvent], rows: Mapping[str, Row], books: ProfileBooks, publish: Publish
) -> dict[int, str]:
    """Publishes the alerts of `news`, a topic at a time; returns, by place, why topics would not take some."""
    waiting: dict[tuple[str, str], list[tuple[int, Draft]]] = {}
    for number, event in enumerate(news):
        if _is_told(event):
            row = rows[event.violation_id]
            alert = _alert(event, row)
            for target in books.targets(event.behavior.profile, otherwise=row["alert_topics"]):
                waiting.setdefault((target["alertTargetArn"], target["roleArn"]), []).append((number, alert))
    refused: dict[int, str] = {}
    for (topic, role), alerts in waiting.items():
        for number, reason in _hand_over(tx, publish, topic, role, alerts):
            refused[number] = "; ".join(filter(None, (refused.get(number), f"{topic}: {reason}")))
    return refused


def _is_told(event: AlarmEvent) -> bool:
    """A release is not told: whoever did it knows, and a handler that isolates on every alert would undo it."""
    return not event.behavior.suppress_alerts and event.reason != Ended.RELEASED


def _alert(event: AlarmEvent, row: Row) -> Draft:
    return Draft(
        message.alert(event, row["behavior"], row["verification_state"]),
        id=message.message_id(event),
        email_subject=words.email_subject(event),
        email_text=words.email_text(event),
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


def _event_row(event: AlarmEvent, alert_error: str | None) -> Row:
    return {
        "violation_id": event.violation_id,
        "kind": event.kind,
        "time": event.time,
        "value": message.metric_value(event),
        "reason": event.reason,
        "explanation": message.explanation(event.explanation),
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
