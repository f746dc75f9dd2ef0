"""What the HTTP port answers beside operations: /metrics, and the certificate that notifications are signed with."""

from __future__ import annotations

from collections.abc import Callable

from fleetward import telemetry
from fleetward.alarm import violations
from fleetward.api.call import Rooms
from fleetward.api.door import metrics
from fleetward.api.serialise import Response


def pages(rooms: Rooms) -> dict[str, Callable[[], Response]]:
    """What answers under each path."""

    def signing_certificate() -> Response:
        return Response(200, rooms.notifier.certificate_pem, "application/x-pem-file")

    def current_metrics() -> Response:
        telemetry.ISOLATED.set(len(rooms.isolation.isolated))
        for status, count in rooms.notifier.counts().items():
            telemetry.DELIVERIES.labels(status).set(count)
        with rooms.database.read() as look:
            telemetry.VIOLATIONS.set(violations.count_open(look))
        return metrics()

    return {rooms.notifier.certificate_path: signing_certificate, "/metrics": current_metrics}
