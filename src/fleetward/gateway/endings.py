"""ENDINGS: why a connection ends, what MQTT 5 tells the client, what AWS's presence event says, and the will's fate."""

from __future__ import annotations

from dataclasses import dataclass

from fleetward.gateway.packets import Reason


@dataclass(frozen=True, slots=True)
class Ending:
    """`presence` is one of AWS's disconnect reasons; `code` goes into a DISCONNECT, None sends none."""

    presence: str
    code: int | None = None
    with_will: bool = True


GOODBYE = Ending("CLIENT_INITIATED_DISCONNECT", with_will=False)
GOODBYE_WITH_WILL = Ending("CLIENT_INITIATED_DISCONNECT")
LOST = Ending("CONNECTION_LOST")
DENIED = Ending("AUTH_ERROR", Reason.NOT_AUTHORIZED)
"""A request was denied, and no answer can say so."""

CUT_OFF = Ending("FORBIDDEN_ACCESS", Reason.NOT_AUTHORIZED)
"""A live session that may not connect any more."""

TAKEN_OVER = Ending("DUPLICATE_CLIENTID", Reason.SESSION_TAKEN_OVER)
SILENT = Ending("MQTT_KEEP_ALIVE_TIMEOUT", Reason.KEEP_ALIVE_TIMEOUT)
STALLED = Ending("CONNECTION_LOST")
"""The client reads nothing any more."""

TOO_FAST = Ending("THROTTLED", Reason.MESSAGE_RATE_TOO_HIGH)
FAILED = Ending("SERVER_ERROR", Reason.UNSPECIFIED_ERROR)
SHUT_DOWN = Ending("SERVER_INITIATED_DISCONNECT", Reason.SERVER_SHUTTING_DOWN, with_will=False)
"""Sessions stay as they are and their clients come back to them, so wills would only alarm: none is published."""


def violation(code: int) -> Ending:
    """The client broke the protocol."""
    return Ending("CLIENT_ERROR", code)


def dropped(presence: str) -> Ending:
    """The house asked for it."""
    return Ending(presence, Reason.ADMINISTRATIVE_ACTION)
