"""The report desk: what it answers, what it hands to detection, and whom it lets speak for whom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import cbor2
import pytest

from fleetward.arn import Arns
from fleetward.detect import custom_metrics
from fleetward.detect.inputs import Report
from fleetward.gateway.doors import Arrival, Publish
from fleetward.meter.batch import unregistered_id
from fleetward.meter.report_order import INTERVAL
from fleetward.records import CertificateRecord, Change, RecordKind, ThingRecord
from fleetward.registry.view import FleetView
from fleetward.reports.attribution import UNREGISTERED_NAMES
from fleetward.reports.desk import ReportDesk
from fleetward.reports.waiting import PER_CERTIFICATE, PER_DEVICE, Waiting
from fleetward.store.database import Database, sqlite_url
from fleetward.store.tables.base import metadata

T0 = 1_790_000_000_000


class DeskHouse:
    """A desk over a real store and view; what it publishes and hands over is kept."""

    def __init__(self, folder: Path, paced: bool = False) -> None:
        self.now = T0
        self.database = Database(sqlite_url(folder / "desk.db"))
        metadata.create_all(self.database.engine)
        self.view = FleetView(Arns("us-east-1", "123456789012"))
        for number, name in enumerate(("One", "Two"), 1):
            self.view.apply(Change(number, RecordKind.THING, name, ThingRecord(name, number)))
            record = CertificateRecord(f"c{number}", True, (), frozenset({name}))
            self.view.apply(Change(10 + number, RecordKind.CERTIFICATE, record.id, record))
        self.view.apply(Change(20, RecordKind.CERTIFICATE, "c3", CertificateRecord("c3", True)))
        self.published: asyncio.Queue[Publish] = asyncio.Queue()
        self.reports: list[Report] = []
        self.desk = ReportDesk(
            self.database, lambda: self.now, self.view, self._publish, self.reports.append, paced=paced
        )

    async def _publish(self, message: Publish) -> int:
        self.published.put_nowait(message)
        return 1

    async def report(self, document: Any, thing: str = "One", device: str = "One", certificate: str = "c1") -> Any:
        """Sends a report and returns the kind of answer and the answer."""
        topic = f"$aws/things/{thing}/defender/metrics/json"
        payload = document if isinstance(document, bytes) else json.dumps(document).encode()
        assert self.desk.arrival(Arrival(device, certificate, device, topic, payload, self.now))
        message = await self.published.get()
        assert message.topic.startswith(topic + "/")
        return message.topic.rsplit("/", 1)[1], json.loads(message.payload)


def document(report_id: int, **customs: Any) -> Any:
    stats = {"bytes_in": 1, "bytes_out": 2, "packets_in": 3, "packets_out": 4}
    metrics = {"network_stats": stats, "listening_tcp_ports": {"ports": [{"port": 22}], "total": 1}}
    return {"header": {"report_id": report_id, "version": "1.0"}, "metrics": metrics, "custom_metrics": customs}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[DeskHouse]:
    made = DeskHouse(tmp_path)
    await made.desk.start()
    yield made
    await made.desk.stop()
    made.database.close()


async def test_accepted(house: DeskHouse) -> None:
    """An acceptable report is answered as AWS answers it, and handed to detection."""
    assert await house.report(document(7)) == (
        "accepted",
        {"thingName": "One", "reportId": 7, "status": "ACCEPTED", "timestamp": T0},
    )
    values = {"aws:listening-tcp-ports": (22,), "aws:num-listening-tcp-ports": 1}
    assert house.reports == [Report(T0, 1, "One", 7, values)]


async def test_rejected(house: DeskHouse) -> None:
    """A malformed report is answered with AWS's error, and with its id where that can be read."""
    details = {"ErrorCode": "InvalidPayload", "ErrorMessage": "Malformed metrics report"}
    kind, answer = await house.report({"header": {"report_id": 7, "version": "1.0"}})
    assert (kind, answer) == (
        "rejected",
        {"thingName": "One", "reportId": 7, "status": "REJECTED", "statusDetails": details, "timestamp": T0},
    )
    said_twice = json.dumps(document(7)).encode().replace(b'"report_id"', b'"report_id": 6, "report_id"')
    for unreadable in (b"{", said_twice):
        kind, answer = await house.report(unreadable)
        assert (kind, answer["statusDetails"], "reportId" in answer) == ("rejected", details, False)
    assert not house.reports


async def test_too_long(house: DeskHouse) -> None:
    """A report of more than 128 KB is rejected."""
    assert (await house.report(json.dumps(document(7)).encode() + b" " * 131_072))[0] == "rejected"


async def test_cbor_is_answered_in_cbor(house: DeskHouse) -> None:
    """The answer comes in the encoding, and below the topic, of the report."""
    topic = "$aws/things/One/defender/metrics/cbor"
    house.desk.arrival(Arrival("One", "c1", "One", topic, cbor2.dumps(document(9)), T0))
    message = await house.published.get()
    assert message.topic == f"{topic}/accepted"
    assert cbor2.loads(message.payload)["reportId"] == 9


async def test_replayed_reports(house: DeskHouse) -> None:
    """A report id that is not greater than the last one accepted is rejected; a rejected one spoils nothing."""
    kinds = []
    for report_id in (7, 7, 6, 8):
        kinds.append((await house.report(document(report_id)))[0])
    assert kinds == ["accepted", "rejected", "rejected", "accepted"]
    assert [report.report_id for report in house.reports] == [7, 8]


async def test_deltas_need_a_report_before(house: DeskHouse) -> None:
    """What a report counts since the one before is used only when that came within two intervals."""
    given = []
    for report_id, seconds in enumerate((0, 300, 600, 1201, 1500)):
        house.now = T0 + seconds * 1000
        await house.report(document(report_id))
        given.append("aws:all-bytes-in" in house.reports[-1].values)
    assert given == [False, True, True, False, True]


async def test_custom_metrics_that_there_are(house: DeskHouse) -> None:
    """A custom metric counts from the moment it is created; a name that is none is dropped."""
    customs = {"cpu": [{"number": 3}], "other": [{"number": 4}]}
    await house.report(document(1, **customs))
    with house.database.transaction(T0) as tx:
        custom_metrics.create(tx, "cpu", "number")
    await house.report(document(2, **customs))
    assert ["cpu" in report.values for report in house.reports] == [False, True]
    assert "other" not in house.reports[-1].values


async def test_a_thing_may_report_for_another(house: DeskHouse) -> None:
    """A registered thing whose policies let it use another's topic reports for that one."""
    await house.report(document(1), thing="Two")
    assert (house.reports[0].id, house.reports[0].name) == (2, "Two")
    await house.report(document(1), thing="behind-One")
    assert (house.reports[1].id, house.reports[1].name) == (unregistered_id("behind-One"), "behind-One")


async def test_nobody_frames_a_thing(house: DeskHouse) -> None:
    """A certificate that has no thing reports under its own name, whatever topic it uses."""
    await house.report(document(1), thing="One", device="c3", certificate="c3")
    await house.report(document(2), thing="One", device="stray", certificate="c3")
    await house.report(document(1), thing="a" * 64, device="One", certificate="c1")
    assert [report.name for report in house.reports] == ["c3", "stray", "One"]


async def test_names_are_bounded(house: DeskHouse) -> None:
    """A certificate cannot make us remember ever more names."""
    for number in range(UNREGISTERED_NAMES + 5):
        await house.report(document(number), thing=f"thing{number}")
    assert len({report.name for report in house.reports}) == UNREGISTERED_NAMES + 1


@pytest.mark.parametrize("name", ["x" * 129, "ü" * 65, "bell\x07"])
async def test_names_that_no_device_can_have(house: DeskHouse, name: str) -> None:
    """A name of more than 128 bytes, or with control characters, gets its report rejected."""
    assert (await house.report(document(1), thing=name))[0] == "rejected"


async def test_pace(tmp_path: Path) -> None:
    """Under AWS's limits a thing that reports again within five minutes is throttled; malformed goes first."""
    house = DeskHouse(tmp_path, paced=True)
    await house.desk.start()
    await house.report(document(1))
    house.now += INTERVAL // 2
    assert (await house.report(b"{"))[1]["statusDetails"]["ErrorCode"] == "InvalidPayload"
    assert (await house.report(document(2)))[1]["statusDetails"]["ErrorCode"] == "Throttled"
    house.now += INTERVAL // 2
    assert (await house.report(document(3)))[0] == "accepted"
    await house.desk.stop()
    house.database.close()


async def test_other_topics_are_not_the_desks(house: DeskHouse) -> None:
    """Only reports are taken."""
    assert not house.desk.arrival(Arrival("One", "c1", "One", "$aws/things/One/shadow/get", b"", T0))


def test_waiting_is_bounded_and_fair() -> None:
    """A flood of one device fills its own share only, and the next certificate's report is next in turn."""
    waiting = Waiting()

    def arrival(certificate: str, client: str = "x") -> Arrival:
        return Arrival(client, certificate, client, "$aws/things/x/defender/metrics/json", b"x", T0)

    assert sum(waiting.put(arrival("hostile")) for _ in range(3 * PER_DEVICE)) == PER_DEVICE
    assert sum(waiting.put(arrival("many", f"c{n}")) for n in range(2 * PER_CERTIFICATE)) == PER_CERTIFICATE
    assert waiting.put(arrival("honest"))
    taken = [waiting.take() for _ in range(3)]
    assert [arrival.certificate_id for arrival in taken if arrival] == ["hostile", "many", "honest"]
    while waiting.take() is not None:
        pass
    assert not waiting._of_device
    assert waiting._bytes == 0
