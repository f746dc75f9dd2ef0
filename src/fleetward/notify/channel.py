"""What a channel is: how one protocol checks an endpoint and sends a parcel. The table of them is in `channels/`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import httpx

from fleetward.arn import Arns
from fleetward.notify.message import Digest, Parcel
from fleetward.notify.records import Status
from fleetward.notify.retry import RetryPolicy
from fleetward.settings import Settings
from fleetward.store.database import Database, Reader, Transaction

Effect = Callable[[Transaction], None]
"""A change made in the same transaction that records the delivery: both happen, or neither."""


class Enqueue(Protocol):
    """Hands an asynchronous invocation to the functions room; returns the invocation's id."""

    def __call__(self, tx: Transaction, name: str, payload: bytes, source: str, source_id: str) -> str: ...


MayInvoke = Callable[[Reader, str, str], bool]
"""(look, function ARN, topic ARN): whether the function's policy lets sns.amazonaws.com invoke it for the topic."""

FunctionExists = Callable[[Reader, str], bool]
"""(look, function ARN)."""


@dataclass(slots=True)
class Doors:
    """Everything outside this room that channels use. `client` exists while deliveries are being made."""

    database: Database
    settings: Settings
    arns: Arns
    enqueue: Enqueue
    may_invoke: MayInvoke
    function_exists: FunctionExists
    client: httpx.AsyncClient | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: PENDING means it is worth another try, FAILED that it is not. `code`: HTTP, SMTP."""

    status: Status
    code: int | None = None
    error: str | None = None
    effect: Effect | None = None


def delivered(code: int | None = None, effect: Effect | None = None) -> Outcome:
    return Outcome(Status.DELIVERED, code, effect=effect)


def handed_over(effect: Effect) -> Outcome:
    return Outcome(Status.HANDED_OVER, effect=effect)


def try_again(error: str, code: int | None = None) -> Outcome:
    return Outcome(Status.PENDING, code, error)


def refused(error: str, code: int | None = None) -> Outcome:
    return Outcome(Status.FAILED, code, error)


Check = Callable[[Reader, Doors, str], None]
"""Raises errors.InvalidParameter for an endpoint that the channel cannot serve."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One protocol.

    `concurrency` bounds the attempts under way at once, over all endpoints: one protocol never waits for another. One
    that can `send_digest` does so with what waits for a subscription, when that is much.
    """

    check: Check
    send: Callable[[Parcel, Doors], Awaitable[Outcome]]
    retries: RetryPolicy
    needs_confirmation: bool
    supports_raw: bool = False
    concurrency: int = 64
    send_digest: Callable[[Digest, Doors], Awaitable[Outcome]] | None = None
