"""What comes out of the gateway: whose activity it becomes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetward.app.gateway_outlets import GatewayOutlets
from fleetward.arn import Arns
from fleetward.gateway.doors import Refused
from fleetward.records import CertificateRecord, ThingRecord
from fleetward.registry import activity
from fleetward.registry.activity_log import ActivityLog
from fleetward.registry.connectivity import Connectivity
from fleetward.registry.view import FleetView
from fleetward.store.database import Database, sqlite_url
from fleetward.store.migrate import migrate
from fleetward.store.tables.activity import activity as table

ONE, SHARED, LOOSE, PINNED, UNKNOWN = (letter * 64 for letter in "abcde")
THINGS = {ONE: {"lamp"}, SHARED: {"lamp", "door"}, LOOSE: set(), PINNED: {"gate"}}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(sqlite_url(tmp_path / "store.db"))
    migrate(made)
    yield made
    made.close()


def view() -> FleetView:
    made = FleetView(Arns("us-east-1", "123456789012"))
    made.load(ThingRecord(name, number) for number, name in enumerate(("lamp", "door", "gate"), 1))
    for certificate, things in THINGS.items():
        exclusive = "gate" if certificate == PINNED else None
        made.load([CertificateRecord(certificate, True, (), frozenset(things), exclusive)])
    return made


def noted(database: Database, certificate_id: str, client_id: str) -> str:
    """Under which thing a refused CONNECT of that certificate with that client id is noted."""
    log = ActivityLog(database, lambda: 0)
    outlets = GatewayOutlets(view(), Connectivity(), log)
    outlets.refused(Refused(client_id, certificate_id, "127.0.0.1", "not allowed", 0))
    asyncio.run(log.stop())
    with database.read() as look:
        row = look.all(table.select().order_by(table.c.id.desc()).limit(1))[0]
    assert (row["client_id"], row["certificate_id"], row["event"]) == (client_id[:128], certificate_id, "refused")
    return str(row["thing"])


@pytest.mark.parametrize(
    ("certificate_id", "client_id", "thing"),
    [
        (ONE, "lamp", "lamp"),
        (ONE, "lmap", "lamp"),
        (ONE, "door", "lamp"),
        (SHARED, "door", "door"),
        (SHARED, "else", activity.NOBODY),
        (SHARED, "gate", activity.NOBODY),
        (PINNED, "lamp", "gate"),
        (LOOSE, "lamp", activity.NOBODY),
        (UNKNOWN, "lamp", activity.NOBODY),
    ],
)
def test_whose_a_refusal_is(database: Database, certificate_id: str, client_id: str, thing: str) -> None:
    """A refusal is of the thing that the certificate tells: the one it stands for, or its only one."""
    assert noted(database, certificate_id, client_id) == thing


@given(
    certificate_id=st.sampled_from([*THINGS, UNKNOWN]), client_id=st.sampled_from(["lamp", "door", "gate"]) | st.text()
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nobody_writes_into_a_foreign_things_activity(database: Database, certificate_id: str, client_id: str) -> None:
    """Whatever client id a certificate claims, its refusals appear under a thing of its own or under none."""
    assert noted(database, certificate_id, client_id) in {*THINGS.get(certificate_id, ()), activity.NOBODY}


def test_what_is_nobodys_is_bounded(database: Database) -> None:
    """A flood of refusals of strangers keeps its latest, and takes nothing from what things did."""
    with database.transaction(0) as tx:
        activity.write(tx, [activity.Event("lamp", 0, activity.CONNECTED, "lamp", ONE, "", "")])
        for number in range(activity.OF_A_THING + 10):
            stranger = activity.Event(activity.NOBODY, 0, activity.REFUSED, f"made-up-{number}", UNKNOWN, "", "")
            activity.write(tx, [stranger])
    with database.read() as look:
        strangers = look.all(activity.of_thing(activity.NOBODY).order_by(table.c.id))
        assert strangers[0]["client_id"] == "made-up-10"
        assert len(strangers) == activity.OF_A_THING
        assert len(look.all(activity.of_thing("lamp"))) == 1
