"""One attempt at one delivery, or at several as a digest: address, let the channel send, write down how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import structlog

from fleetward.errors import Refusal
from fleetward.gateway.doors import Clock
from fleetward.notify import deliveries, delivery_policy, subscriptions, topics
from fleetward.notify.channel import Doors, Outcome, refused, try_again
from fleetward.notify.channels import CHANNELS
from fleetward.notify.message import Digest, Parcel
from fleetward.notify.records import Delivery, Kind, Standing, Status
from fleetward.notify.retry import RetryPolicy, next_attempt
from fleetward.notify.signature import Signer
from fleetward.store.database import Reader, Transaction

log = structlog.get_logger()

TOGETHER = 500
"""Notifications in one digest."""

WHOLE = 20
"""Of these, in full."""

_STANDING: Mapping[Kind, Standing] = {
    Kind.NOTIFICATION: Standing.CONFIRMED,
    Kind.SUBSCRIPTION_CONFIRMATION: Standing.PENDING,
    Kind.UNSUBSCRIBE_CONFIRMATION: Standing.DELETED,
}
"""How a subscription must stand for a message of that kind to be of use."""


class Courier:
    def __init__(self, doors: Doors, signer: Signer, base_url: Callable[[], str], clock: Clock) -> None:
        self._doors = doors
        self._signer = signer
        self._base_url = base_url
        self._clock = clock
        self._endings: list[Ending] = []

    def gather(self, delivery: Delivery, under_way: Collection[int]) -> Sequence[Delivery]:
        """What to attempt together with a delivery that is due: as a rule nothing else."""
        enough = self._doors.settings.email_digest_above
        if not enough or CHANNELS[delivery.protocol].send_digest is None:
            return [delivery]
        with self._doors.database.read() as look:
            most = max(TOGETHER, enough + 1)
            due = deliveries.notifications_due(look, delivery.subscription_id, self._clock(), most, under_way)
        return due if len(due) > enough and delivery in due else [delivery]

    async def attempt(self, together: Sequence[Delivery]) -> None:
        """Makes one attempt at what was gathered. Cancelled on the way, it leaves the deliveries as they were: due."""
        with self._doors.database.read() as look:
            parcels = [parcel for one in together[:WHOLE] if (parcel := self._address(look, one)) is not None]
            headings = deliveries.headings(look, [one.message_id for one in together]) if len(together) > 1 else []
        if not parcels:
            outcome = Outcome(
                Status.DISCARDED, error="the subscription ended or changed before this could be delivered"
            )
            return await self._record(together, outcome, CHANNELS[together[0].protocol].retries)
        digest = Digest(parcels, headings, together[-1].id)
        return await self._record(together, await self._send(digest), self._retries(parcels[0]))

    def _address(self, look: Reader, delivery: Delivery) -> Parcel | None:
        """The parcel, or None when there is nobody left to receive it."""
        message = deliveries.message(look, delivery.message_id)
        subscription = subscriptions.find(look, delivery.subscription_id, deleted=True)
        if subscription is None or subscription.standing is not _STANDING[message.kind]:
            return None
        topic = topics.require(look, subscription.topic)
        arns = self._doors.arns
        return Parcel(
            delivery=delivery.id,
            message=message,
            subscription=subscription,
            topic_arn=arns.topic(topic.name),
            subscription_arn=subscriptions.arn(arns, topic.name, subscription.id),
            base_url=self._base_url().rstrip("/"),
            certificate_path=self._signer.certificate_path,
            sign=self._signer.sign,
            signature_version=topic.attributes.get("SignatureVersion", "1"),
            display_name=topic.attributes.get("DisplayName", ""),
            token=self._signer.token(subscription.token_name),
            http=delivery_policy.in_force(
                topic.attributes.get("DeliveryPolicy"), subscription.attributes.get("DeliveryPolicy")
            ),
        )

    async def _send(self, digest: Digest) -> Outcome:
        parcel = digest.parcels[0]
        channel = CHANNELS[parcel.subscription.protocol]
        try:
            if channel.send_digest is not None and digest.headings:
                return await channel.send_digest(digest, self._doors)
            return await channel.send(parcel, self._doors)
        except Exception as error:
            # A parcel that a channel cannot digest must neither end the deliverer nor be lost without a trace.
            log.exception("delivery_attempt_failed", delivery=parcel.delivery)
            return try_again(f"internal error: {type(error).__name__}: {error}")

    def _retries(self, parcel: Parcel) -> RetryPolicy:
        if parcel.subscription.protocol in ("http", "https"):
            return parcel.http.retries
        return CHANNELS[parcel.subscription.protocol].retries

    # --- writing down -------------------------------------------------------------------------------------------------

    async def _record(self, together: Sequence[Delivery], outcome: Outcome, retries: RetryPolicy) -> None:
        """Returns once it is written down, together with whatever else ended in this turn of the loop."""
        loop = asyncio.get_running_loop()
        ending = Ending(together, outcome, retries, loop.create_future())
        self._endings.append(ending)
        if len(self._endings) == 1:
            loop.call_soon(self._write_endings)
        await ending.written

    def _write_endings(self) -> None:
        endings, self._endings = self._endings, []
        try:
            self._write(endings)
        except Refusal:
            # What one delivery should have set off was refused, so none of it happened: now each by itself.
            for ending in endings:
                self._write_alone(ending)
        except Exception as error:
            for ending in endings:
                ending.failed(error)

    def _write_alone(self, ending: Ending) -> None:
        try:
            try:
                self._write([ending])
            except Refusal as refusal:
                self._write([replace(ending, outcome=refused(refusal.message, refusal.status))])
        except Exception as error:
            ending.failed(error)

    def _write(self, endings: Sequence[Ending]) -> None:
        with self._doors.database.transaction(self._clock()) as tx:
            told = [(ending, _write_one(tx, ending)) for ending in endings]
        for ending, status in told:
            _tell(ending, status)
            if not ending.written.done():
                ending.written.set_result(None)


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt at deliveries ended; `written` is done when that is in the store."""

    deliveries: Sequence[Delivery]
    outcome: Outcome
    retries: RetryPolicy
    written: asyncio.Future[None]

    def failed(self, error: Exception) -> None:
        if not self.written.done():
            self.written.set_exception(error)


def _write_one(tx: Transaction, ending: Ending) -> Status:
    """Returns how the first of its deliveries stands now."""
    outcome, news = ending.outcome, False
    stands: list[Status] = []
    for attempts, alike in groupby(sorted(ending.deliveries, key=_attempts), _attempts):
        status, next_at = outcome.status, None
        if status is Status.PENDING:
            next_at = next_attempt(ending.retries, attempts + 1, tx.now)
            status = Status.FAILED if next_at is None else status
        news |= deliveries.record(tx, [one.id for one in alike], status, next_at, outcome.code, outcome.error)
        stands.append(status)
    if news and outcome.effect is not None:
        outcome.effect(tx)
    return stands[0]


def _attempts(delivery: Delivery) -> int:
    return delivery.attempts


def _tell(ending: Ending, status: Status) -> None:
    delivery, outcome = ending.deliveries[0], ending.outcome
    write = log.info if status in (Status.DELIVERED, Status.HANDED_OVER, Status.DISCARDED) else log.warning
    write(
        "delivery",
        delivery=delivery.id,
        together=len(ending.deliveries),
        message=delivery.message_id,
        protocol=delivery.protocol,
        endpoint=delivery.endpoint,
        attempt=delivery.attempts + 1,
        status=status.value,
        code=outcome.code,
        error=outcome.error,
    )
