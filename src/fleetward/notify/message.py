"""The envelopes a message travels in: pure functions from a parcel to exactly what AWS sends.

SNS developer guide, "Parsing message formats"; key order and spelling as recorded from AWS. Lambda events spell
`SigningCertUrl`, everything else `SigningCertURL`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fleetward.model import Millis
from fleetward.notify.delivery_policy import DEFAULT, HttpDelivery
from fleetward.notify.records import Heading, Kind, Message, Subscription

Sign = Callable[[bytes, str], str]
"""(text, signature version "1" or "2") → base64 signature."""

USER_AGENT = "Amazon Simple Notification Service Agent"

_SIGNED_KEYS: Mapping[Kind, tuple[str, ...]] = {
    Kind.NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    Kind.SUBSCRIPTION_CONFIRMATION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    Kind.UNSUBSCRIBE_CONFIRMATION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message addressed to one subscription, with every name and link its envelope shows.

    `delivery` is the outbox row it comes from; `token` confirms the subscription, for confirmations only.
    """

    delivery: int
    message: Message
    subscription: Subscription
    topic_arn: str
    subscription_arn: str
    base_url: str
    certificate_path: str
    sign: Sign
    signature_version: str = "1"
    display_name: str = ""
    token: str = ""
    http: HttpDelivery = DEFAULT

    @property
    def text(self) -> str:
        return self.message.text_for(self.subscription.protocol)

    @property
    def subscribe_url(self) -> str:
        return f"{self.base_url}/?Action=ConfirmSubscription&TopicArn={self.topic_arn}&Token={self.token}"

    @property
    def unsubscribe_url(self) -> str:
        return f"{self.base_url}/?Action=Unsubscribe&SubscriptionArn={self.subscription_arn}"

    @property
    def certificate_url(self) -> str:
        return self.base_url + self.certificate_path


@dataclass(frozen=True, slots=True)
class Digest:
    """Notifications that wait for one subscription, on their way together: the first of them, and a line of each.

    `last` is the outbox row that the last one comes from.
    """

    parcels: Sequence[Parcel]
    headings: Sequence[Heading]
    last: int


def timestamp(time: Millis) -> str:
    """`2019-11-15T03:00:36.527Z`."""
    return datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{time % 1000:03d}Z"


def string_to_sign(envelope: Mapping[str, Any]) -> bytes:
    """Key and value, each on its own line, in byte order of the keys; an absent Subject is left out."""
    keys = _SIGNED_KEYS[Kind(envelope["Type"])]
    return "".join(f"{key}\n{envelope[key]}\n" for key in keys if envelope.get(key) is not None).encode()


def envelope(parcel: Parcel) -> dict[str, Any]:
    """The JSON document that http, https and email-json subscribers receive."""
    build = _notification if parcel.message.kind is Kind.NOTIFICATION else _confirmation
    return build(parcel)


def _notification(parcel: Parcel) -> dict[str, Any]:
    message = parcel.message
    document: dict[str, Any] = {"Type": message.kind.value, "MessageId": message.id, "TopicArn": parcel.topic_arn}
    if message.subject is not None:
        document["Subject"] = message.subject
    document |= {"Message": parcel.text, "Timestamp": timestamp(message.created_at)}
    document |= _signature(parcel, document)
    document["UnsubscribeURL"] = parcel.unsubscribe_url
    if message.attributes:
        document["MessageAttributes"] = message.attributes
    return document


def _confirmation(parcel: Parcel) -> dict[str, Any]:
    message = parcel.message
    document: dict[str, Any] = {
        "Type": message.kind.value,
        "MessageId": message.id,
        "Token": parcel.token,
        "TopicArn": parcel.topic_arn,
        "Message": confirmation_text(parcel),
        "SubscribeURL": parcel.subscribe_url,
        "Timestamp": timestamp(message.created_at),
    }
    return document | _signature(parcel, document)


def _signature(parcel: Parcel, document: Mapping[str, Any]) -> dict[str, str]:
    return {
        "SignatureVersion": parcel.signature_version,
        "Signature": parcel.sign(string_to_sign(document), parcel.signature_version),
        "SigningCertURL": parcel.certificate_url,
    }


def confirmation_text(parcel: Parcel) -> str:
    if parcel.message.kind is Kind.SUBSCRIPTION_CONFIRMATION:
        return (
            f"You have chosen to subscribe to the topic {parcel.topic_arn}.\n"
            "To confirm the subscription, visit the SubscribeURL included in this message."
        )
    return (
        f"You have chosen to deactivate subscription {parcel.subscription_arn}.\n"
        "To cancel this operation and restore the subscription, visit the SubscribeURL included in this message."
    )


def http_body(parcel: Parcel) -> str:
    """The request body: the envelope, or the bare text of a notification for raw delivery."""
    if parcel.subscription.raw and parcel.message.kind is Kind.NOTIFICATION:
        return parcel.text
    return json.dumps(envelope(parcel), indent=2, ensure_ascii=False)


def http_headers(parcel: Parcel) -> dict[str, str]:
    headers = {
        "Content-Type": parcel.http.content_type,
        "User-Agent": USER_AGENT,
        "Accept-Encoding": "gzip,deflate",
        "x-amz-sns-message-type": parcel.message.kind.value,
        "x-amz-sns-message-id": parcel.message.id,
        "x-amz-sns-topic-arn": parcel.topic_arn,
    }
    if parcel.message.kind is not Kind.SUBSCRIPTION_CONFIRMATION:
        headers["x-amz-sns-subscription-arn"] = parcel.subscription_arn
    if parcel.subscription.raw and parcel.message.kind is Kind.NOTIFICATION:
        headers["x-amz-sns-rawdelivery"] = "true"
    return headers


def lambda_event(parcel: Parcel) -> dict[str, Any]:
    """The event a function receives: exactly one record; Subject is null when there is none."""
    signed = _notification(parcel)
    record = {
        "Type": signed["Type"],
        "MessageId": signed["MessageId"],
        "TopicArn": signed["TopicArn"],
        "Subject": parcel.message.subject,
        "Message": signed["Message"],
        "Timestamp": signed["Timestamp"],
        "SignatureVersion": signed["SignatureVersion"],
        "Signature": signed["Signature"],
        "SigningCertUrl": signed["SigningCertURL"],
        "UnsubscribeUrl": signed["UnsubscribeURL"],
        "MessageAttributes": dict(parcel.message.attributes),
    }
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": parcel.subscription_arn,
                "Sns": record,
            }
        ]
    }
