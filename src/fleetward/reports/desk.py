"""The desk that takes device reports: reads each, answers it, and hands what it says to detection.

AWS IoT Device Defender developer guide, "Sending metrics from devices": the topics, the two answers and their members.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import structlog

from fleetward.detect import custom_metrics
from fleetward.detect.inputs import Report
from fleetward.gateway.doors import Arrival, Clock, Publish
from fleetward.gateway.handover import HandOver
from fleetward.meter.report_encoding import Encoding, Malformed, encode
from fleetward.meter.report_order import ReportOrder
from fleetward.meter.reports import DELTAS, DeviceReport, read
from fleetward.registry.view import FleetView
from fleetward.reports.attribution import ReportAttribution
from fleetward.reports.waiting import Waiting
from fleetward.store.database import Database, Touch

log = structlog.get_logger()

REPORT_TOPIC = re.compile(r"\$aws/things/([^/]+)/defender/metrics/(json|cbor)")

MAX_NAME_BYTES = 128

MALFORMED = ("InvalidPayload", "Malformed metrics report")
NOT_NEWER = ("InvalidPayload", "report_id must be greater than that of the report before")
TOO_SOON = ("Throttled", "Metrics reports can be sent once every 5 minutes")

Send: TypeAlias = Callable[[Publish], Awaitable[object]]


class Rejected(Exception):
    """A report that is not taken: AWS's error code, why, and the report's id where it is known."""

    def __init__(self, reason: tuple[str, str], report_id: int | None) -> None:
        super().__init__(*reason)
        self.code, self.message = reason
        self.report_id = report_id


class ReportDesk:
    """`publish` delivers an answer to the MQTT clients that may receive it, `hand_over` takes what was accepted.

    `paced`: refuse a thing's reports that come faster than AWS allows.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        view: FleetView,
        publish: Send,
        hand_over: Callable[[Report], None],
        paced: bool = False,
    ) -> None:
        self._database = database
        self._clock = clock
        self._attribution = ReportAttribution(view)
        self._publish = publish
        self._hand_over = hand_over
        self._paced = paced
        self._order = ReportOrder()
        self._waiting = Waiting()
        self._types: Mapping[str, str] | None = None
        self._arrivals = HandOver(self._waiting.take, self._carry_out)
        database.on_commit(self._committed)

    async def start(self) -> None:
        """Takes reports from now on, on the running loop."""
        await self._arrivals.start()

    async def stop(self) -> None:
        """Takes what waits, within bounds; what comes now is dropped."""
        await self._arrivals.stop()

    def arrival(self, arrival: Arrival) -> bool:
        """Takes a report from any thread; False for a message that is for somebody else."""
        if REPORT_TOPIC.fullmatch(arrival.topic) is None:
            return False
        if self._arrivals.is_open and self._waiting.put(arrival):
            self._arrivals.wake()
        return True

    async def _carry_out(self, arrival: Arrival) -> None:
        try:
            await self._answer(arrival)
        except Exception:
            log.exception("report_failed", topic=arrival.topic, device=arrival.device)

    async def _answer(self, arrival: Arrival) -> None:
        match = REPORT_TOPIC.fullmatch(arrival.topic)
        assert match is not None, arrival.topic
        thing, encoding = match[1], Encoding(match[2])
        try:
            report_id = self._take(arrival, thing, encoding)
            kind, answer = "accepted", {"reportId": report_id, "status": "ACCEPTED"}
        except Rejected as rejected:
            log.info("report_rejected", thing=thing, device=arrival.device, reason=rejected.message)
            kind, answer = "rejected", _rejection(rejected)
        answer = {"thingName": thing, **answer, "timestamp": self._clock()}
        await self._publish(Publish(f"{arrival.topic}/{kind}", encode(answer, encoding), qos=1))

    def _take(self, arrival: Arrival, thing: str, encoding: Encoding) -> int:
        """Hands an acceptable report to detection and returns its id; raises Rejected."""
        now = self._clock()
        if not _is_name(thing):
            raise Rejected(MALFORMED, None)
        try:
            report = read(arrival.payload, encoding, self._custom_types())
        except Malformed as malformed:
            raise Rejected(MALFORMED, malformed.report_id) from None
        standing = self._order.standing(arrival.certificate_id, thing, report.report_id, now)
        if not standing.is_newer:
            raise Rejected(NOT_NEWER, report.report_id)
        if self._paced and standing.is_too_soon:
            raise Rejected(TOO_SOON, report.report_id)
        self._order.accept(arrival.certificate_id, thing, report.report_id, now)
        self._hand_over(self._input(arrival, thing, report, standing.has_deltas, now))
        return report.report_id

    def _input(self, arrival: Arrival, thing: str, report: DeviceReport, has_deltas: bool, now: int) -> Report:
        values = {metric: value for metric, value in report.values.items() if has_deltas or metric not in DELTAS}
        id, name = self._attribution.device(arrival, thing)
        return Report(now, id, name, report.report_id, values)

    # --- the custom metrics there are ---------------------------------------------------------------------------------

    def _custom_types(self) -> Mapping[str, str]:
        if self._types is None:
            with self._database.read() as look:
                self._types = custom_metrics.types(look)
        return self._types

    def _committed(self, touched: Sequence[Touch]) -> None:
        if any(kind == custom_metrics.TOUCH for kind, _ in touched):
            self._types = None


def _is_name(name: str) -> bool:
    """Whether a device can be called that (developer guide, "Unregistered things")."""
    return len(name.encode()) <= MAX_NAME_BYTES and name.isprintable()


def _rejection(rejected: Rejected) -> dict[str, Any]:
    known = {} if rejected.report_id is None else {"reportId": rejected.report_id}
    details = {"ErrorCode": rejected.code, "ErrorMessage": rejected.message}
    return {**known, "status": "REJECTED", "statusDetails": details}
