"""What this room speaks of, as frozen values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fleetward.model import Millis


class Kind(StrEnum):
    """What a message is, spelled as in the `Type` of AWS's envelopes."""

    NOTIFICATION = "Notification"
    SUBSCRIPTION_CONFIRMATION = "SubscriptionConfirmation"
    UNSUBSCRIBE_CONFIRMATION = "UnsubscribeConfirmation"


class Standing(StrEnum):
    """Where a subscription stands."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    DELETED = "deleted"


class Status(StrEnum):
    """Where a delivery stands. Only PENDING ones are ever attempted; every other status is final."""

    PENDING = "pending"
    DELIVERED = "delivered"
    HANDED_OVER = "handed over"
    FAILED = "failed"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    attributes: Mapping[str, str]
    created_at: Millis


@dataclass(frozen=True, slots=True)
class Subscription:
    """An endpoint's wish to hear of a topic. `attributes` are those that were set, as AWS's API shows them."""

    id: str
    topic: str
    protocol: str
    endpoint: str
    standing: Standing
    attributes: Mapping[str, str] = field(default_factory=dict)
    principal: str | None = None
    confirmation_authenticated: bool = False
    authenticate_on_unsubscribe: bool = False
    token_issue: int = 1
    created_at: Millis = 0

    @property
    def token_name(self) -> str:
        """What the confirmation token is derived from; a new issue makes the tokens before it worthless."""
        return f"{self.id}/{self.token_issue}"

    @property
    def raw(self) -> bool:
        return self.attributes.get("RawMessageDelivery") == "true"


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody wants published. `attributes` are MessageAttributes as the API takes them.

    With an `id` that was published before, nothing happens. E-mail readers see `email_subject`, and `email_text` above
    the text.
    """

    text: str
    subject: str | None = None
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    structure: str | None = None
    id: str | None = None
    email_subject: str | None = None
    email_text: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What was published. `attributes` are {name: {"Type": …, "Value": …}}, binary values in base64.

    `text` is the whole of what was published; with `structure` "json" it is an object of one text a protocol.
    `email_subject` and `email_text` are the sentences for human readers that go before the text in an e-mail.
    """

    id: str
    kind: Kind
    topic: str
    text: str
    created_at: Millis
    subject: str | None = None
    structure: str | None = None
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    email_subject: str | None = None
    email_text: str | None = None

    def text_for(self, protocol: str) -> str:
        if self.structure != "json":
            return self.text
        texts = json.loads(self.text)
        chosen = texts.get(protocol)
        return chosen if isinstance(chosen, str) else str(texts["default"])


@dataclass(frozen=True, slots=True)
class Heading:
    """What a line tells of a message."""

    created_at: Millis
    subject: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way to one subscription; `attempts` were made before now."""

    id: int
    message_id: str
    subscription_id: str
    protocol: str
    endpoint: str
    attempts: int
