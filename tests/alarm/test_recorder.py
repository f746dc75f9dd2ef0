"""Detection's events become violations, events and alerts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetward import errors
from fleetward.access import entities, roles
from fleetward.access.authorizer import Authorizer
from fleetward.access.entities import ROLE
from fleetward.access.service_roles import AlertPublisher
from fleetward.alarm import message, violations
from fleetward.alarm.recorder import record
from fleetward.alarm.violations import Filter
from fleetward.arn import Arns
from fleetward.detect import profile_store, profiles
from fleetward.detect.outcome import Progress
from fleetward.model import AlarmEvent, AlarmKind, Explanation
from fleetward.notify import deliveries
from fleetward.notify import topics as topic_rules
from fleetward.notify.records import Draft
from fleetward.notify.service import Notifier
from fleetward.notify.signature import Signer
from fleetward.settings import Settings
from fleetward.store.database import Database, Transaction, sqlite_url
from fleetward.store.tables import metadata
from fleetward.store.tables.detect import violation_events
from fleetward.store.tables.detect import violations as violations_table

ARNS = Arns("us-east-1", "123456789012")
TOPIC = ARNS.topic("BadIoTDevices")
SIZE = "aws:message-byte-size"
FORM: dict[str, Any] = {
    "name": "Large",
    "metric": SIZE,
    "criteria": {"comparisonOperator": "less-than-equals", "value": {"count": 1000}},
}
[BEHAVIOR] = profiles.parse("P", [FORM])
WHY = Explanation(SIZE, 3021, "less-than-equals", 1000, "bytes", 0, 300_000, early=True)
IN_ALARM = AlarmEvent(AlarmKind.IN_ALARM, "a" * 32, "SensorDevice02", BEHAVIOR, 1_000, 3021, WHY)
CLEARED = dataclasses.replace(IN_ALARM, kind=AlarmKind.CLEARED, time=2_000, value=26)
INVALIDATED = dataclasses.replace(
    IN_ALARM, kind=AlarmKind.INVALIDATED, time=3_000, value=None, explanation=None, reason="released"
)


TRUST, MAY_PUBLISH = (
    json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", **what}})
    for what in (
        {"Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"},
        {"Action": "sns:Publish", "Resource": TOPIC},
    )
)


class Topics:
    """Stands where notify's publish stands: takes every alert, or refuses like a topic that is not there."""

    def __init__(self, missing: bool = False) -> None:
        self.missing = missing
        self.alerts: list[dict[str, Any]] = []

    def __call__(self, tx: Transaction, topic_arn: str, alerts: Sequence[Draft], *, role_arn: str) -> list[str]:
        if self.missing:
            raise errors.NotFound("Topic does not exist")
        self.alerts += [
            {**dataclasses.asdict(alert), "topic": topic_arn, "message": json.loads(alert.text)} for alert in alerts
        ]
        return [str(alert.id) for alert in alerts]


@pytest.fixture
def database(tmp_path: Any) -> Iterator[Database]:
    database = Database(sqlite_url(tmp_path / "store.db"))
    metadata.create_all(database.engine)
    with database.transaction(0) as tx:
        targets = {"SNS": {"alertTargetArn": TOPIC, "roleArn": ARNS.role("alerts")}}
        profile_store.create(tx, ARNS, "P", {"behaviors": [FORM], "alertTargets": targets}, {})
    yield database
    database.close()


def tell(database: Database, topics: Topics, *events: AlarmEvent, progress: tuple[Progress, ...] = ()) -> list[str]:
    with database.transaction(5_000) as tx:
        return [event.kind.value for event in record(tx, list(map(message.told, events)), progress, topics)]


def everything(database: Database) -> list[Any]:
    """What the tables hold, but for the numbers that only count."""
    with database.read() as look:
        return [
            [{key: value for key, value in row.items() if key != "number"} for row in look.all(table.select())]
            for table in (violations_table, violation_events)
        ]


def test_an_alarm(database: Database) -> None:
    """An alarm becomes an open violation with the behaviour as its profile shows it, an event and one alert."""
    topics = Topics()
    assert tell(database, topics, IN_ALARM) == ["in-alarm"]
    with database.read() as look:
        row = violations.find_violation(look, IN_ALARM.violation_id)
        [event] = look.all(violations.events_between(0, 9_999, Filter()))
    assert row is not None
    assert (row["behavior"], row["criteria_type"], row["suppressed"]) == (FORM, "STATIC", False)
    assert (row["started_at"], row["last_at"], row["last_value"], row["ended_at"]) == (
        1_000,
        1_000,
        {"count": 3021},
        None,
    )
    assert (row["verification_state"], row["explanation"]["summary"]) == (
        "UNKNOWN",
        "3,021 B in a single message against the bound of 1,000 B",
    )
    assert (event["kind"], event["time"], event["value"], event["thing"]) == (
        "in-alarm",
        1_000,
        {"count": 3021},
        "SensorDevice02",
    )
    [alert] = topics.alerts
    assert (alert["topic"], alert["message"]["thingName"], alert["message"]["behavior"]) == (
        TOPIC,
        "SensorDevice02",
        FORM,
    )
    assert alert["email_subject"] == "ALARM: SensorDevice02 violates Large"


@pytest.mark.parametrize("end", [CLEARED, INVALIDATED])
def test_an_end(database: Database, end: AlarmEvent) -> None:
    """Clearing or invalidating ends the violation under the same id, keeps its reason and is told too."""
    topics = Topics()
    tell(database, topics, IN_ALARM)
    assert tell(database, topics, end) == [end.kind.value]
    with database.read() as look:
        row = violations.find_violation(look, end.violation_id)
        assert violations.open_violations(look) == []
    assert row is not None
    assert (row["state"], row["ended_at"], row["reason"]) == (end.kind.value, end.time, end.reason)
    assert [alert["message"]["violationEventType"] for alert in topics.alerts] == ["in-alarm", end.kind.value]


@st.composite
def stories(draw: st.DrawFn) -> list[AlarmEvent]:
    """The interleaved lives of three violations, each an alarm and perhaps its end, as detection tells them."""
    told: dict[str, list[AlarmEvent]] = {}
    story = []
    for letter in draw(st.lists(st.sampled_from("abc"), max_size=8)):
        life = told.setdefault(letter, [])
        event = draw(st.sampled_from([CLEARED, INVALIDATED])) if life else IN_ALARM
        if len(life) < 2:
            life.append(dataclasses.replace(event, violation_id=letter * 32))
            story.append(life[-1])
    return story


@given(stories(), st.integers(0, 6))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_replay_changes_nothing(database: Database, events: list[AlarmEvent], cut: int) -> None:
    """Whatever was recorded before a crash, telling the whole story again adds only what was missing."""
    with database.transaction(0) as tx:
        tx.execute(violations_table.delete())
    once, topics = Topics(), Topics()
    tell(database, once, *events)
    whole = everything(database)
    with database.transaction(0) as tx:
        tx.execute(violations_table.delete())
    tell(database, topics, *events[:cut])
    tell(database, topics, *events)
    assert tell(database, topics, *events) == []
    assert everything(database) == whole
    assert topics.alerts == once.alerts


def test_nothing_is_told_of_an_alarm_that_failed(database: Database) -> None:
    """Violation, event and alert are one transaction: when it fails, none of them happened."""

    def no_disk(*_: Any, **__: Any) -> None:
        raise OSError

    with pytest.raises(OSError), database.transaction(0) as tx:
        record(tx, [message.told(IN_ALARM)], [], no_disk)
    assert everything(database) == [[], []]


def test_into_the_outbox(database: Database, tmp_path: Any) -> None:
    """The alert and its delivery to each subscriber lie in the outbox once, however often the event is replayed."""
    notifier = Notifier(
        database,
        Settings(data_dir=tmp_path),
        lambda: 5_000,
        ARNS,
        lambda: "http://localhost",
        enqueue=lambda *_, **__: pytest.fail("nothing is sent before the commit"),
        may_invoke=lambda *_: True,
        function_exists=lambda *_: True,
        signer=Signer.load_or_create(tmp_path, 5_000),
    )
    with database.transaction(5_000) as tx:
        topic_rules.create(tx, "BadIoTDevices", {}, {}, TOPIC)
        notifier.subscribe(tx, TOPIC, "lambda", ARNS.function("IsolateDevice"))
        roles.create(tx, ARNS, "alerts", "/", "", TRUST, 3600)
        entities.put_inline(tx, ROLE, "alerts", "p", MAY_PUBLISH)
    publish = AlertPublisher(Authorizer(database, ARNS), notifier.publish_all)
    for _ in range(2):
        with database.transaction(5_000) as tx:
            record(tx, [message.told(IN_ALARM), message.told(INVALIDATED)], [], publish)
        with database.read() as look:
            assert [row["alert_error"] for row in look.all(violations.events_between(0, 9_999, Filter()))] == [None] * 2
            queued = sum(deliveries.count(look).values())
            kept = deliveries.message(look, message.message_id(IN_ALARM))
        assert (queued, kept.email_subject) == (2, "ALARM: SensorDevice02 violates Large")
        assert json.loads(kept.text)["violationId"] == IN_ALARM.violation_id


def test_suppressed_alerts(database: Database) -> None:
    """A behaviour with suppressAlerts records violation and events, and tells nobody."""
    topics = Topics()
    quiet = dataclasses.replace(BEHAVIOR, suppress_alerts=True)
    tell(database, topics, *(dataclasses.replace(event, behavior=quiet) for event in (IN_ALARM, CLEARED)))
    with database.read() as look:
        assert len(look.all(violations.events_between(0, 9_999, Filter(suppressed=True)))) == 2
        assert look.all(violations.events_between(0, 9_999, Filter(suppressed=False))) == []
    assert topics.alerts == []


def test_a_missing_topic(database: Database) -> None:
    """An alert whose topic is not there is recorded as an error on its event; the violation stands."""
    tell(database, Topics(missing=True), IN_ALARM)
    with database.read() as look:
        [event] = look.all(violations.events_between(0, 9_999, Filter()))
        assert len(violations.open_violations(look)) == 1
    assert event["alert_error"] == f"{TOPIC}: Topic does not exist"


def test_an_alert_that_is_refused_harms_no_other(database: Database) -> None:
    """When a topic refuses some alerts of a chunk, each event keeps why its own was refused; the rest are told."""
    events = [dataclasses.replace(IN_ALARM, violation_id=f"{number:032x}") for number in range(5)]

    def refuse_every_other(tx: Transaction, topic_arn: str, alerts: Sequence[Draft], *, role_arn: str) -> list[Any]:
        return [errors.InvalidParameter(f"no {n}") if n % 2 else str(alert.id) for n, alert in enumerate(alerts)]

    with database.transaction(5_000) as tx:
        assert record(tx, list(map(message.told, events)), [], refuse_every_other) == events
    with database.read() as look:
        rows = look.all(violations.events_between(0, 9_999, Filter()))
    why = [None, f"{TOPIC}: no 1", None, f"{TOPIC}: no 3", None]
    assert {row["violation_id"]: row["alert_error"] for row in rows} == {
        event.violation_id: reason for event, reason in zip(events, why, strict=True)
    }


def test_the_end_of_a_deleted_profile_is_told(database: Database) -> None:
    """When the profile is gone, the end of an alarm goes where the alarm went, with the behaviour as it was."""
    topics = Topics()
    tell(database, topics, IN_ALARM)
    with database.transaction(0) as tx:
        profile_store.delete(tx, ARNS, "P")
    tell(database, topics, INVALIDATED)
    assert [(alert["topic"], alert["message"]["behavior"]) for alert in topics.alerts] == [(TOPIC, FORM)] * 2


def test_a_behaviour_changed_meanwhile(database: Database) -> None:
    """An alarm of a behaviour that its profile no longer shows keeps the behaviour that was judged."""
    changed = dataclasses.replace(BEHAVIOR, duration_seconds=600)
    tell(database, Topics(), dataclasses.replace(IN_ALARM, behavior=changed))
    with database.read() as look:
        [row] = violations.open_violations(look)
    assert row["behavior"]["criteria"]["durationSeconds"] == 600
    assert profiles.parse("P", [row["behavior"]]) == (changed,)


def test_progress(database: Database) -> None:
    """A further violating datapoint moves an open violation's last time and value, never back, and is no event."""
    other = dataclasses.replace(IN_ALARM, violation_id="b" * 32)
    topics = Topics()
    tell(database, topics, IN_ALARM, other, dataclasses.replace(CLEARED, violation_id="b" * 32))
    steps = (Progress("a" * 32, 4000, 1_300), Progress("a" * 32, 5000, 900), Progress("b" * 32, 9, 9_000))
    tell(database, topics, progress=steps)
    with database.read() as look:
        moved = violations.find_violation(look, "a" * 32)
        ended = violations.find_violation(look, "b" * 32)
    assert moved is not None
    assert ended is not None
    assert (moved["started_at"], moved["last_at"], moved["last_value"]) == (1_000, 1_300, {"count": 4000})
    assert (ended["last_at"], ended["last_value"]) == (1_000, {"count": 3021})
    assert len(topics.alerts) == 3


def test_verification(database: Database) -> None:
    """A person's verdict stays with the violation and goes out with its end; an unknown id is an invalid request."""
    topics = Topics()
    tell(database, topics, IN_ALARM)
    with database.transaction(0) as tx:
        violations.verify(tx, IN_ALARM.violation_id, "TRUE_POSITIVE", "seen it")
        with pytest.raises(errors.InvalidRequest):
            violations.verify(tx, "f" * 32, "TRUE_POSITIVE", None)
    tell(database, topics, CLEARED)
    assert [alert["message"]["verificationState"] for alert in topics.alerts] == ["UNKNOWN", "TRUE_POSITIVE"]
    with database.read() as look:
        rows = look.all(violations.events_between(0, 9_999, Filter(verification_state="TRUE_POSITIVE")))
    assert [(row["kind"], row["verification_description"]) for row in rows] == [
        ("in-alarm", "seen it"),
        ("alarm-cleared", "seen it"),
    ]


def test_prune(database: Database) -> None:
    """Ended violations go with their events once their time is over; open ones stay however old."""
    ended = [dataclasses.replace(event, violation_id="b" * 32) for event in (IN_ALARM, CLEARED)]
    tell(database, Topics(), IN_ALARM, *ended)
    with database.transaction(0) as tx:
        assert violations.prune(tx, CLEARED.time) == 0
        assert violations.prune(tx, CLEARED.time + 1) == 1
        assert [row["violation_id"] for row in tx.all(violations.events_between(0, 9_999, Filter()))] == ["a" * 32]


def test_prune_in_chunks(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction deletes so many violations and no more."""
    monkeypatch.setattr(violations, "PRUNED_AT_ONCE", 2)
    lives = [dataclasses.replace(event, violation_id=letter * 32) for letter in "abc" for event in (IN_ALARM, CLEARED)]
    tell(database, Topics(), *lives)
    with database.transaction(0) as tx:
        assert [violations.prune(tx, CLEARED.time + 1) for _ in range(3)] == [2, 1, 0]


def test_filters(database: Database) -> None:
    """Listings keep what a filter asks for, numbered in the order of recording."""
    events = [
        dataclasses.replace(IN_ALARM, violation_id=f"{number:032x}", thing=f"T{number % 2}", time=1_000 + number // 3)
        for number in range(20)
    ]
    tell(database, Topics(), *events)
    with database.read() as look:
        rows = look.all(violations.active(Filter(thing="T1")).order_by(violations_table.c.number))
        assert [row["id"] for row in rows] == [event.violation_id for event in events if event.thing == "T1"]
        assert look.all(violations.active(Filter(profile="Q"))) == []
        assert len(look.all(violations.events_between(1_001, 1_002, Filter(criteria_type="STATIC", profile="P")))) == 6


def test_many_at_once(database: Database) -> None:
    """A close at which thousands of devices alarm is recorded whole, in chunks."""
    events = [dataclasses.replace(IN_ALARM, violation_id=f"{number:032x}") for number in range(2_500)]
    topics = Topics()
    assert len(tell(database, topics, *events)) == 2_500
    assert (
        len(tell(database, topics, *events, *(dataclasses.replace(e, kind=AlarmKind.CLEARED) for e in events))) == 2_500
    )
    assert len(topics.alerts) == 5_000
    assert len({alert["id"] for alert in topics.alerts}) == 5_000
