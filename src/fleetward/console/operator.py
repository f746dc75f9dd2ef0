"""What a signed-in person does: operations, as them, while their session lasts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fleetward import errors
from fleetward.api import inside
from fleetward.api.call import Rooms
from fleetward.api.inside import Guest
from fleetward.console.sessions import Session, Sessions

TOKENS = {
    "nextToken": "nextToken",
    "NextToken": "NextToken",
    "nextMarker": "marker",
    "NextMarker": "Marker",
    "Marker": "Marker",
}
"""How a page names the next one → how the next one is asked for."""


class SignedOut(errors.Refusal):
    code, status = "SessionExpired", 403


@dataclass(frozen=True, slots=True)
class Operator:
    """The hands of one session; every page has its own."""

    rooms: Callable[[], Rooms]
    sessions: Sessions
    session: Session
    address: str
    secure: bool

    async def do(self, service: str, operation: str, **params: Any) -> Mapping[str, Any]:
        """Carries out an operation as this person: `await operator.do("iot", "CreateThing", thingName="T1")`.

        Parameters that are None are left out. Raises a Refusal: SignedOut when the session has ended, else what the
        API would answer.
        """
        rooms = self.rooms()
        if self.sessions.find(self.session.token, rooms.clock()) is None:
            raise SignedOut("Your session has ended; sign in again.")
        return await inside.carry_out(rooms, self._guest(), service, operation, params)

    def may(self, service: str, operation: str, **params: Any) -> bool:
        """Whether to offer it; whether it is allowed is decided when it is done."""
        return inside.may(self.rooms(), self._guest(), service, operation, params)

    async def page(
        self, service: str, operation: str, items: str, **params: Any
    ) -> tuple[list[Any], dict[str, Any] | None]:
        """One page of a list, and the parameters that ask for the next one (None after the last)."""
        answer = await self.do(service, operation, **params)
        more = next(({asked: answer[told]} for told, asked in TOKENS.items() if answer.get(told)), None)
        return list(answer.get(items) or ()), None if more is None else {**params, **more}

    async def all(self, service: str, operation: str, items: str, most: int = 1_000, **params: Any) -> list[Any]:
        """The items of a list, page after page, until there are `most` of them."""
        found: list[Any] = []
        wanted: dict[str, Any] | None = params
        while wanted is not None and len(found) < most:
            some, wanted = await self.page(service, operation, items, **wanted)
            found += some
        return found[:most]

    def arn(self, service: str, resource: str) -> str:
        """What a resource of this account and region is called: `operator.arn("iot", "all/things")`."""
        return self.rooms().arns.make(service, resource)

    def _guest(self) -> Guest:
        return Guest(self.session.key, self.address, self.secure)
