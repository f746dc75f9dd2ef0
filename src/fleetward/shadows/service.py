"""The shadow service: the same requests by MQTT and over the API, each in one transaction, answered on their topics.

AWS IoT Core developer guide, "Device Shadow MQTT topics" and "Device Shadow REST API".
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import ParamSpec, TypeAlias

import structlog

from fleetward import errors
from fleetward.gateway.doors import Arrival, Clock, Publish
from fleetward.gateway.handover import HandOver
from fleetward.shadows import answers, records
from fleetward.shadows.document import delta_of
from fleetward.shadows.records import Key
from fleetward.shadows.request import known_token, read_token, read_update
from fleetward.shadows.turns import Request, Turns
from fleetward.store.database import Database

log = structlog.get_logger()

P = ParamSpec("P")

REQUEST_TOPIC = re.compile(r"(\$aws/things/([^/]{1,128})/shadow/(?:name/([^/]{1,64})/)?)(get|update|delete)")

Send: TypeAlias = Callable[[Publish], Awaitable[object]]

Answer: TypeAlias = tuple[str, bytes]
"""What goes out on a topic below the shadow's: ("update/delta", the document)."""


class Shadows:
    """The shadows of all things.

    `publish` delivers a message to the MQTT clients whose policies let them receive it.
    """

    def __init__(self, database: Database, clock: Clock, publish: Send) -> None:
        self._database = database
        self._clock = clock
        self._publish = publish
        self._turns = Turns()
        self._busy = asyncio.Lock()
        self._requests = HandOver(self._turns.take, self._carry_out)

    # --- requests of devices ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Takes requests from now on, on the running loop."""
        await self._requests.start()

    async def stop(self) -> None:
        """Carries out what waits, within bounds; what comes now is dropped."""
        await self._requests.stop()

    def arrival(self, arrival: Arrival) -> bool:
        """Takes a message on a shadow's request topic, on any thread; False for one that is for somebody else."""
        if not is_request(arrival.topic):
            return False
        if self._requests.is_open and self._turns.put(arrival, arrival.time):
            self._requests.wake()
        return True

    async def _carry_out(self, request: Request) -> None:
        arrival = request.arrival
        try:
            if request.refused:
                await self._reject(arrival.topic, arrival.payload, errors.Throttling("Too many requests"))
            else:
                await self.answer(arrival.topic, arrival.payload, arrival.certificate_id)
        except Exception:
            log.exception("shadow_request_failed", topic=arrival.topic, device=arrival.device)
        finally:
            self._turns.done(request)

    # --- requests by topic --------------------------------------------------------------------------------------------

    async def answer(self, topic: str, payload: bytes, certificate_id: str | None = None) -> None:
        """Carries out the request in a message and answers below `topic`; without a certificate it came over the API.

        `topic` must be that of a request (`is_request`).
        """
        match = REQUEST_TOPIC.fullmatch(topic)
        assert match is not None, topic
        key, operation = Key(match[2], match[3] or ""), match[4]
        try:
            await self._do(match[1], self._answers, key, operation, payload, certificate_id)
        except errors.Refusal as refusal:
            await self._reject(topic, payload, refusal)

    def _answers(self, key: Key, operation: str, payload: bytes, certificate_id: str | None) -> list[Answer]:
        if not key.valid:
            raise errors.InvalidRequest(f"Invalid name of a thing or shadow: '{key.thing}', '{key.name}'")
        if operation == "update":
            return self._updated(key, payload, certificate_id)
        token = read_token(payload)
        return self._deleted(key, token) if operation == "delete" else self._current(key, token)

    async def _reject(self, topic: str, payload: bytes, refusal: errors.Refusal) -> None:
        rejected = answers.rejected(refusal, self._clock() // 1000, known_token(payload))
        await self._tell(f"{topic}/", [("rejected", rejected)])

    # --- requests over the API ----------------------------------------------------------------------------------------

    def get(self, key: Key) -> bytes:
        """The response state document, as the other two methods also return one; raises an errors.Refusal."""
        return self._current(key, None)[0][1]

    async def update(self, key: Key, payload: bytes) -> bytes:
        """Tells MQTT subscribers of the change, but of no refusal."""
        return await self._do(_prefix(key), self._updated, key, payload, None)

    async def delete(self, key: Key) -> bytes:
        """Tells MQTT subscribers of the change, but of no refusal."""
        return await self._do(_prefix(key), self._deleted, key, None)

    # --- what both have in common -------------------------------------------------------------------------------------

    async def _do(self, prefix: str, work: Callable[P, list[Answer]], *args: P.args, **kwargs: P.kwargs) -> bytes:
        """Does one request at a time, in a thread, and publishes its answers; the first is that of the request itself.

        The answers are handed over before the next request begins, so that versions go out in their order.
        """
        async with self._busy:
            made = await asyncio.to_thread(work, *args, **kwargs)
            await self._tell(prefix, made)
        return made[0][1]

    def _current(self, key: Key, token: str | None) -> list[Answer]:
        with self._database.read() as look:
            shadow = records.get(look, key)
        return [("get/accepted", answers.current(shadow, self._clock() // 1000, token))]

    def _updated(self, key: Key, payload: bytes, certificate_id: str | None) -> list[Answer]:
        update = read_update(payload)
        with self._database.transaction(self._clock()) as tx:
            before, after = records.update(tx, key, update, certificate_id)
        seconds, token = tx.now // 1000, update.client_token
        made = [("update/accepted", answers.accepted(after, update, seconds))]
        if difference := delta_of(after):
            made.append(("update/delta", answers.delta(after, difference, seconds, token)))
        made.append(("update/documents", answers.documents(before, after, seconds, token)))
        return made

    def _deleted(self, key: Key, token: str | None) -> list[Answer]:
        with self._database.transaction(self._clock()) as tx:
            shadow = records.delete(tx, key)
        return [("delete/accepted", answers.deleted(shadow, tx.now // 1000, token))]

    async def _tell(self, prefix: str, made: Sequence[Answer]) -> None:
        sent = [self._publish(Publish(f"{prefix}{topic}", document, qos=1)) for topic, document in made]
        for outcome in await asyncio.gather(*sent, return_exceptions=True):
            if isinstance(outcome, BaseException):  # the change is made; only its announcement was lost
                log.warning("shadow_answer_lost", topic=prefix, error=repr(outcome))


def is_request(topic: str) -> bool:
    """Whether a message on that topic is a request to the shadow service."""
    return REQUEST_TOPIC.fullmatch(topic) is not None


def _prefix(key: Key) -> str:
    return f"$aws/things/{key.thing}/shadow/{f'name/{key.name}/' if key.name else ''}"
