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
from fleetward.store.database import Transaction
from fleetward.store.tables.detect import violation_events, violations

CHUNK = 1_000

Row: TypeAlias = dict[str, Any]
Target: TypeAlias = Mapping[str, str]
"""An AlertTarget as the API has it."""
T = TypeVar("T")


class Publish(Protocol):
    """Hands an alert to its topic within the transaction, as the target's role.

    Raises a Refusal when the role may not publish there or the topic cannot take it.
    """

    def __call__(
        self,
        tx: Transaction,
        topic_arn: str,
        message: str,
        *,
        role_arn: str,
        message_id: str,
        email_subject: str,
        email_text: str,
    ) -> object: ...


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
        return otherwise if document is None else profile_store.alert_targets(document)

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
        alerts = [_tell(tx, event, rows[event.violation_id], books, publish) for event in news]
        tx.execute(
            violation_events.insert(), [_event_row(event, error) for event, error in zip(news, alerts, strict=True)]
        )
    return news


def _known(tx: Transaction, events: Sequence[AlarmEvent]) -> dict[str, Row]:
    ids = {event.violation_id for event in events}
    return {row["id"]: dict(row) for row in tx.all(sa.select(violations).where(violations.c.id.in_(ids)))}


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


def _tell(tx: Transaction, event: AlarmEvent, row: Row, books: ProfileBooks, publish: Publish) -> str | None:
    """Publishes the event's alert, unless the behaviour suppresses alerts; returns why a topic would not take it.

    A release is not told either: whoever did it knows, and a handler that isolates on every alert would undo it.
    """
    if event.behavior.suppress_alerts or event.reason == Ended.RELEASED:
        return None
    refusals = []
    for target in books.targets(event.behavior.profile, otherwise=row["alert_topics"]):
        topic = target["alertTargetArn"]
        try:
            publish(
                tx,
                topic,
                message.alert(event, row["behavior"], row["verification_state"]),
                role_arn=target["roleArn"],
                message_id=message.message_id(event),
                email_subject=words.email_subject(event),
                email_text=words.email_text(event),
            )
        except errors.Refusal as refusal:
            refusals.append(f"{topic}: {refusal.message}")
    return "; ".join(refusals) or None


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
