"""The notify room as the rest of the house sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from fleetward.arn import Arns
from fleetward.errors import InvalidParameter, Refusal
from fleetward.gateway.doors import Clock
from fleetward.notify import deliveries, outbox, publish, retention, subscriptions, topics
from fleetward.notify.channel import Doors, Enqueue, FunctionExists, MayInvoke
from fleetward.notify.channels import http
from fleetward.notify.courier import Courier
from fleetward.notify.deliverer import Deliverer
from fleetward.notify.log import delivery_log
from fleetward.notify.records import Draft, Message, Subscription
from fleetward.notify.signature import Signer
from fleetward.settings import Settings
from fleetward.store.database import Database, Reader, Transaction

log = structlog.get_logger()

FORGET_EVERY = 3600.0
BREATH = 0.01
"""Seconds between two of many transactions in which messages are forgotten."""


class Notifier:
    """Publishes into the outbox and delivers out of it.

    Everything but `start` and `stop` is short and synchronous, takes the caller's transaction or reader, and may be
    called from any thread. `base_url()` is where this server's HTTP port is reached by those who receive its links.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        clock: Clock,
        arns: Arns,
        base_url: Callable[[], str],
        enqueue: Enqueue,
        may_invoke: MayInvoke,
        function_exists: FunctionExists,
        signer: Signer,
    ) -> None:
        self._database = database
        self._clock = clock
        self._arns = arns
        self._signer = signer
        self._doors = Doors(database, settings, arns, enqueue, may_invoke, function_exists)
        courier = Courier(self._doors, signer, base_url, clock)
        self._deliverer = Deliverer(database, clock, courier.gather, courier.attempt)
        self._forgetter: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to deliver on this event loop: first whatever the last run left behind."""
        self._doors.client = http.client()
        self._deliverer.start()
        self._forgetter = asyncio.create_task(self._forget())

    async def stop(self) -> None:
        """Ends within 5 s; what was not delivered stays in the outbox."""
        if self._forgetter is not None:
            self._forgetter.cancel()
            await asyncio.gather(self._forgetter, return_exceptions=True)
            self._forgetter = None
        await self._deliverer.stop()
        if self._doors.client is not None:
            await self._doors.client.aclose()
            self._doors.client = None

    def wake(self) -> None:
        """Looks for due deliveries now, for whoever has moved the clock."""
        self._deliverer.wake()

    async def _forget(self) -> None:
        while True:
            forgotten = 0
            try:
                with self._database.transaction(self._clock()) as tx:
                    forgotten = retention.forget(tx)
            except Exception:
                log.exception("forgetting_failed")
            await asyncio.sleep(FORGET_EVERY if forgotten < retention.AT_ONCE else BREATH)

    # --- publishing ---------------------------------------------------------------------------------------------------

    def publish(
        self,
        tx: Transaction,
        topic_arn: str,
        message: str,
        subject: str | None = None,
        attributes: Mapping[str, Mapping[str, Any]] | None = None,
        structure: str | None = None,
        message_id: str | None = None,
        email_text: str | None = None,
        email_subject: str | None = None,
    ) -> str:
        """Publishes within the caller's transaction; returns the message's id. Raises a Refusal as SNS would.

        What the arguments mean: see notify/records.py, Draft.
        """
        draft = Draft(message, subject, attributes or {}, structure, message_id, email_subject, email_text)
        [answer] = self.publish_all(tx, topic_arn, [draft])
        if isinstance(answer, Refusal):
            raise answer
        return answer

    def publish_all(self, tx: Transaction, topic_arn: str, drafts: Sequence[Draft]) -> list[str | Refusal]:
        """Publishes within the caller's transaction; answers each draft with the message's id, or as SNS refuses it.

        Raises a Refusal when there is no such topic.
        """
        topic = topics.require(tx, topics.name_of(self._arns, topic_arn))
        answers: list[str | Refusal] = []
        messages: list[Message] = []
        for draft in drafts:
            try:
                messages.append(publish.checked(draft, topic, tx.now))
                answers.append(messages[-1].id)
            except Refusal as refusal:
                answers.append(refusal)
        publish.publish(tx, topic, messages)
        return answers

    # --- subscribing --------------------------------------------------------------------------------------------------

    def subscribe(
        self,
        tx: Transaction,
        topic_arn: str,
        protocol: str,
        endpoint: str,
        attributes: Mapping[str, str] | None = None,
        principal: str | None = None,
    ) -> Subscription:
        """The subscription, confirmed or with its confirmation on the way. `principal` is who asked for it."""
        channel = subscriptions.channel_of(protocol)
        topic = topics.require(tx, topics.name_of(self._arns, topic_arn))
        if not endpoint:
            raise InvalidParameter("Invalid parameter: Endpoint")
        channel.check(tx, self._doors, endpoint)
        return subscriptions.subscribe(tx, self._signer, topic, protocol, endpoint, attributes or {}, principal)

    def confirm(
        self,
        tx: Transaction,
        topic_arn: str,
        token: str,
        authenticated: bool = False,
        authenticate_on_unsubscribe: bool = False,
    ) -> str:
        """Confirms the subscription that the token was sent to; returns its ARN. `authenticated`: signed."""
        topic = topics.name_of(self._arns, topic_arn)
        confirmed = subscriptions.confirm(tx, topic, token, authenticated, authenticate_on_unsubscribe)
        return self.subscription_arn(confirmed)

    def unsubscribe(self, tx: Transaction, subscription_arn: str, authenticated: bool = False) -> None:
        _, subscription_id = subscriptions.id_of(self._arns, subscription_arn)
        subscriptions.unsubscribe(tx, self._signer, subscription_id, authenticated)

    def subscription_arn(self, subscription: Subscription) -> str:
        return subscriptions.arn(self._arns, subscription.topic, subscription.id)

    # --- looking ------------------------------------------------------------------------------------------------------

    @property
    def certificate_path(self) -> str:
        """The path under which the HTTP port serves `certificate_pem` to anyone who asks."""
        return self._signer.certificate_path

    @property
    def certificate_pem(self) -> bytes:
        return self._signer.certificate_pem

    def delivery_log(
        self, look: Reader, topic_arn: str | None = None, message_id: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """See notify/log.py."""
        topic = None if topic_arn is None else topics.name_of(self._arns, topic_arn)
        return delivery_log(look, self._arns, topic, message_id, limit)

    def mails(self, look: Reader, limit: int = 100) -> list[dict[str, Any]]:
        """The local outbox; see notify/outbox.py."""
        return outbox.mails(look, limit)

    def counts(self) -> dict[str, int]:
        """Deliveries by status, and how many are under way."""
        with self._database.read() as look:
            return {**deliveries.count(look), "under way": self._deliverer.under_way}
