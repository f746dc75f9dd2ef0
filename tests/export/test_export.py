"""Metrics export: what is exported of whom, in which form, and how it is cut."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetward.arn import Arns
from fleetward.detect.inputs import Target
from fleetward.detect.outcome import Datum, MetricRows, Outcome, WindowRows
from fleetward.export.exporter import MAX_WAITING, Exporter
from fleetward.export.plan import MAX_BATCH, Exported, Plan, batches, exported, plan_of
from fleetward.gateway.doors import Publish
from fleetward.model import ValueKind
from fleetward.records import Change, GroupRecord, RecordKind, ThingRecord
from fleetward.registry.view import FleetView
from fleetward.store.database import Database, sqlite_url
from fleetward.store.tables.base import metadata
from fleetward.store.tables.detect import security_profile_targets, security_profiles

ROLE = "arn:aws:iam::123456789012:role/export"
SENT, SIZE, GAUGE = "aws:num-messages-sent", "aws:message-byte-size", "aws:num-listening-tcp-ports"
CONFIG = {"mqttTopic": "export/here", "roleArn": ROLE}
EVERYBODY = (Target("all"),)


def rows(*totals: int | None) -> MetricRows:
    """A value for each device that has one; extremes differ from the total."""
    has = np.array([total is not None for total in totals])
    numbers = np.array([total or 0 for total in totals])
    return MetricRows(has, np.ones_like(numbers), numbers, numbers // 2, numbers * 10)


def outcome() -> Outcome:
    names = ("registered", "grouped", "stranger")
    columns = {(SENT, "IN:d"): rows(1, 2, 3), (GAUGE, ""): rows(1, None, None)}
    window = WindowRows(300_000, 300, names, {SENT: rows(7, None, 9), SIZE: rows(1, 1, 1)}, columns)
    data = [
        Datum(500_000, 0, "registered", "cpu", "", 1.5),
        Datum(500_001, 0, "registered", "users", "", ("root",)),
        Datum(500_002, 0, "registered", "aws:listening-tcp-ports", "", (22, 80)),
    ]
    return Outcome(windows=[window], data=data)


def view() -> FleetView:
    made = FleetView(Arns("us-east-1", "123456789012"))
    made.apply(Change(1, RecordKind.GROUP, "top", GroupRecord("top")))
    made.apply(Change(2, RecordKind.GROUP, "below", GroupRecord("below", "top")))
    made.apply(Change(3, RecordKind.THING, "registered", ThingRecord("registered", 1)))
    made.apply(Change(4, RecordKind.THING, "grouped", ThingRecord("grouped", 2, groups=("below",))))
    return made


def plan(*columns: tuple[str, str], targets: tuple[Target, ...] = EVERYBODY) -> Plan:
    return Plan("P", "export/here", ROLE, frozenset(columns), targets)


def test_the_form_of_a_batch() -> None:
    """A batch has AWS's version, names, values by kind, times and dimensions."""
    customs = {"cpu": ValueKind.NUMBER, "users": ValueKind.STRINGS}
    columns = [(SENT, "IN:d"), ("cpu", ""), ("users", ""), ("aws:listening-tcp-ports", "")]
    (payload,) = batches(exported(plan(*columns), outcome(), view()), customs)
    whole = json.loads(payload)
    assert whole["version"] == "1.0"
    assert whole["metrics"][0] == {
        "name": SENT,
        "thing": "registered",
        "value": {"count": 1},
        "version": 1,
        "timestamp": 600_000,
        "dimension": {"name": "d", "operator": "IN"},
    }
    assert [(entry["timestamp"], entry["value"]) for entry in whole["metrics"][3:]] == [
        (500_000, {"number": 1.5}),
        (500_001, {"strings": ["root"]}),
        (500_002, {"ports": [22, 80]}),
    ]


def test_only_what_the_profile_exports() -> None:
    """Of all that was measured, only the plan's metrics leave, and only where a device has a value."""
    found = list(exported(plan((SENT, ""), (GAUGE, "")), outcome(), view()))
    assert found == [
        Exported(600_000, "registered", (GAUGE, ""), 10),
        Exported(600_000, "registered", (SENT, ""), 7),
        Exported(600_000, "stranger", (SENT, ""), 9),
    ]


@pytest.mark.parametrize(
    ("target", "things"),
    [
        (Target("all"), {"registered", "grouped", "stranger"}),
        (Target("registered"), {"registered", "grouped"}),
        (Target("unregistered"), {"stranger"}),
        (Target("group", "top"), {"grouped"}),
        (Target("group", "other"), set()),
    ],
)
def test_only_whom_the_profile_covers(target: Target, things: set[str]) -> None:
    """Devices outside the profile's targets are not exported."""
    found = exported(plan((SIZE, ""), targets=(target,)), outcome(), view())
    assert {value.thing for value in found} == things


def test_what_a_profile_exports() -> None:
    """Behaviours and retained metrics marked exportMetric, with their dimensions; nothing without a topic."""
    document = {
        "metricsExportConfig": CONFIG,
        "behaviors": [{"name": "a", "metric": SENT, "exportMetric": True}, {"name": "b", "metric": SIZE}],
        "additionalMetricsToRetainV2": [
            {"metric": SENT, "metricDimension": {"dimensionName": "d", "operator": "NOT_IN"}, "exportMetric": True},
            {"metric": GAUGE, "exportMetric": False},
        ],
    }
    made = plan_of("P", document, EVERYBODY)
    assert made == Plan("P", "export/here", ROLE, frozenset({(SENT, ""), (SENT, "NOT_IN:d")}), EVERYBODY)
    assert plan_of("P", {**document, "metricsExportConfig": None}, EVERYBODY) is None
    assert plan_of("P", {"metricsExportConfig": CONFIG}, EVERYBODY) is None
    assert plan_of("P", document, ()) is None


@settings(max_examples=25)
@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=5_000), max_size=60))
def test_batches_lose_nothing(names: list[str]) -> None:
    """However values are cut, every batch is JSON of at most 128 KB, and together they hold every value in order."""
    values = [Exported(1, name * 4, (SENT, ""), 1) for name in names]
    made = list(batches(values, {}))
    assert all(len(payload) <= MAX_BATCH for payload in made)
    assert [entry["thing"] for payload in made for entry in json.loads(payload)["metrics"]] == [
        name * 4 for name in names
    ]


# --- the exporter -----------------------------------------------------------------------------------------------------


def store(folder: Path, **document: Any) -> Database:
    database = Database(sqlite_url(folder / "export.db"))
    metadata.create_all(database.engine)
    row = {"name": "P", "document": document, "version": 1, "created_at": 0, "modified_at": 0}
    target = {"profile_name": "P", "kind": "all", "group_name": "", "attached_at": 0}
    with database.transaction(0) as tx:
        tx.execute(security_profiles.insert(), [row])
        tx.execute(security_profile_targets.insert(), [target])
    return database


DOCUMENT = {"metricsExportConfig": CONFIG, "behaviors": [{"name": "a", "metric": SENT, "exportMetric": True}]}


async def test_published_to_the_profiles_topic(tmp_path: Path) -> None:
    """What detection answered is published where the profile says, until the profile stops exporting."""
    database, published = store(tmp_path, **DOCUMENT), asyncio.Queue[Publish]()

    async def publish(message: Publish) -> int:
        published.put_nowait(message)
        return 1

    exporter = Exporter(database, view(), Arns("us-east-1", "123456789012"), publish, lambda *_: True)
    await exporter.start()
    exporter.take(outcome())
    message = await asyncio.wait_for(published.get(), 5)
    assert message.topic == "export/here"
    assert [entry["thing"] for entry in json.loads(message.payload)["metrics"]] == ["registered", "stranger"]
    with database.transaction(0) as tx:
        tx.execute(security_profiles.update().values(document={}))
        tx.touch("profile", "P")
    exporter.take(outcome())
    await exporter.stop()
    assert published.empty()
    database.close()


async def test_the_role_must_be_allowed(tmp_path: Path) -> None:
    """Nothing is published with a role that may not publish to the topic."""
    database, published, asked, was_asked = store(tmp_path, **DOCUMENT), [], [], threading.Event()

    async def publish(message: Publish) -> None:
        published.append(message)

    def permits(_look: object, *asking: str) -> bool:
        asked.append(asking)
        was_asked.set()
        return False

    exporter = Exporter(database, view(), Arns("us-east-1", "123456789012"), publish, permits)
    await exporter.start()
    exporter.take(outcome())
    assert await asyncio.to_thread(was_asked.wait, 5)
    await exporter.stop()
    assert asked == [(ROLE, "iot:Publish", "arn:aws:iot:us-east-1:123456789012:topic/export/here")]
    assert not published
    database.close()


async def test_a_gateway_that_takes_nothing(tmp_path: Path) -> None:
    """While the gateway hangs, detection is never kept waiting, and what waits is bounded."""
    database, hanging = store(tmp_path, **DOCUMENT), asyncio.Event()

    async def publish(message: Publish) -> None:
        await hanging.wait()

    exporter = Exporter(database, view(), Arns("us-east-1", "123456789012"), publish, lambda *_: True)
    await exporter.start()
    for _ in range(3 * MAX_WAITING):
        exporter.take(outcome())
    assert exporter._waiting.qsize() <= MAX_WAITING
    hanging.set()
    await exporter.stop()
    database.close()
