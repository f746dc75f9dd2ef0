"""Subscriptions: subscribing, confirming, leaving, and the attributes of each. Rules only; sending is elsewhere.

A confirmation is a message as any other, with one delivery in the outbox; its token proves that the endpoint's owner
has read it. Tokens live two days; of a token only the hash is stored. Error texts as AWS sends them.
"""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from fleetward.arn import Arns
from fleetward.errors import AuthorizationError, InvalidParameter, NotFound
from fleetward.notify import deliveries, delivery_policy, subscription_attributes
from fleetward.notify.channel import Channel
from fleetward.notify.channels import CHANNELS
from fleetward.notify.channels.http import masked
from fleetward.notify.records import Kind, Message, Standing, Subscription, Topic
from fleetward.notify.signature import Signer, is_token, token_hash
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.notify import subscriptions

TOKEN_LIFE = 2 * 24 * 3600 * 1000
"""Milliseconds for which a confirmation token is valid, and a deleted subscription can be restored."""


def channel_of(protocol: str) -> Channel:
    channel = CHANNELS.get(protocol)
    if channel is None:
        raise InvalidParameter(f"Invalid parameter: Amazon SNS does not support this protocol string: {protocol}")
    return channel


# --- subscribing ------------------------------------------------------------------------------------------------------


def subscribe(
    tx: Transaction,
    signer: Signer,
    topic: Topic,
    protocol: str,
    endpoint: str,
    attributes: Mapping[str, str],
    principal: str | None,
) -> Subscription:
    """The subscription of that endpoint, new or not; one that awaits confirmation is sent a new token.

    The endpoint has been checked by its channel.
    """
    attributes = subscription_attributes.without_empty(attributes)
    _check(protocol, attributes, "Invalid parameter: Attributes Reason: ")
    existing = _of_endpoint(tx, topic.name, protocol, endpoint)
    if existing is None:
        existing = _insert(tx, topic, protocol, endpoint, attributes, principal)
    elif any(subscription_attributes.shown(existing).get(key) != value for key, value in attributes.items()):
        raise InvalidParameter(
            "Invalid parameter: Attributes Reason: Subscription already exists with different attributes"
        )
    if existing.standing is Standing.PENDING:
        _send_confirmation(tx, signer, existing, Kind.SUBSCRIPTION_CONFIRMATION)
    return existing


def _insert(
    tx: Transaction,
    topic: Topic,
    protocol: str,
    endpoint: str,
    attributes: Mapping[str, str],
    principal: str | None,
) -> Subscription:
    pending = CHANNELS[protocol].needs_confirmation
    subscription = Subscription(
        id=str(uuid.uuid4()),
        topic=topic.name,
        protocol=protocol,
        endpoint=endpoint,
        standing=Standing.PENDING if pending else Standing.CONFIRMED,
        attributes=attributes,
        principal=principal,
        confirmation_authenticated=not pending,
        created_at=tx.now,
    )
    tx.execute(
        sa.insert(subscriptions).values(
            id=subscription.id,
            topic_name=topic.name,
            protocol=protocol,
            endpoint=endpoint,
            attributes=dict(subscription.attributes),
            status=subscription.standing.value,
            principal=principal,
            confirmation_authenticated=subscription.confirmation_authenticated,
            authenticate_on_unsubscribe=False,
            token_issue=subscription.token_issue,
            created_at=tx.now,
        )
    )
    return subscription


def _send_confirmation(tx: Transaction, signer: Signer, subscription: Subscription, kind: Kind) -> None:
    """Every confirmation of one standing carries the same token, so that each of several mails works."""
    _update(
        tx,
        subscription.id,
        token_hash=token_hash(signer.token(subscription.token_name)),
        token_expires_at=tx.now + TOKEN_LIFE,
    )
    message = Message(id=str(uuid.uuid4()), kind=kind, topic=subscription.topic, text="", created_at=tx.now)
    deliveries.store(tx, [message])
    deliveries.add(tx, [(message, subscription)])


# --- confirming -------------------------------------------------------------------------------------------------------


def confirm(
    tx: Transaction, topic: str, token: str, authenticated: bool, authenticate_on_unsubscribe: bool
) -> Subscription:
    """Confirms, or after an unsubscription restores, the subscription whose token it is. Repeating it is harmless."""
    if not is_token(token):
        raise InvalidParameter("Invalid token")
    wanted = token_hash(token)
    row = tx.one(sa.select(subscriptions).where(subscriptions.c.token_hash == wanted))
    if row is None or not hmac.compare_digest(row["token_hash"], wanted) or tx.now >= row["token_expires_at"]:
        raise InvalidParameter("Invalid parameter: Token")
    if row["topic_name"] != topic:
        raise InvalidParameter("Invalid parameter: Topic")
    if row["status"] == Standing.CONFIRMED:
        return of_row(row)
    other = _of_endpoint(tx, topic, row["protocol"], row["endpoint"])
    if other is not None and other.id != row["id"]:
        raise InvalidParameter("Invalid parameter: Token")
    _update(
        tx,
        row["id"],
        status=Standing.CONFIRMED.value,
        confirmation_authenticated=authenticated,
        authenticate_on_unsubscribe=authenticated and authenticate_on_unsubscribe,
        deleted_at=None,
    )
    return require(tx, row["id"])


# --- leaving ----------------------------------------------------------------------------------------------------------


def unsubscribe(tx: Transaction, signer: Signer, subscription_id: str, authenticated: bool) -> None:
    """Ends a subscription and tells its endpoint how to restore it; one that does not exist has ended already.

    Whoever holds the ARN may do so without a signature, unless the confirmation asked for one.
    """
    subscription = find(tx, subscription_id)
    if subscription is None:
        return
    if subscription.authenticate_on_unsubscribe and not authenticated:
        raise AuthorizationError("This subscription can only be ended with a signed request")
    was_confirmed = subscription.standing is Standing.CONFIRMED
    gone = replace(subscription, standing=Standing.DELETED, token_issue=subscription.token_issue + 1)
    _update(tx, gone.id, status=gone.standing.value, token_issue=gone.token_issue, token_hash=None, deleted_at=tx.now)
    if was_confirmed and CHANNELS[gone.protocol].needs_confirmation:
        _send_confirmation(tx, signer, gone, Kind.UNSUBSCRIBE_CONFIRMATION)


def _update(tx: Transaction, subscription_id: str, **values: Any) -> None:
    tx.execute(sa.update(subscriptions).where(subscriptions.c.id == subscription_id).values(**values))


# --- reading ----------------------------------------------------------------------------------------------------------


def id_of(arns: Arns, subscription_arn: str) -> tuple[str, str]:
    """(topic, id) from a subscription's ARN."""
    parts = subscription_arn.split(":")
    if len(parts) < 6:
        raise InvalidParameter(
            f"Invalid parameter: SubscriptionArn Reason: An ARN must have at least 6 elements, not {len(parts)}"
        )
    if len(parts) != 7:
        raise InvalidParameter("Invalid parameter: SubscriptionId")
    if subscription_arn != arn(arns, parts[5], parts[6]):
        raise NotFound("Subscription does not exist")
    return parts[5], parts[6]


def arn(arns: Arns, topic: str, subscription_id: str) -> str:
    return f"{arns.topic(topic)}:{subscription_id}"


def find(look: Reader, subscription_id: str, deleted: bool = False) -> Subscription | None:
    row = look.one(sa.select(subscriptions).where(subscriptions.c.id == subscription_id))
    if row is None or (row["status"] == Standing.DELETED and not deleted):
        return None
    return of_row(row)


def require(look: Reader, subscription_id: str) -> Subscription:
    subscription = find(look, subscription_id)
    if subscription is None:
        raise NotFound("Subscription does not exist")
    return subscription


def live(topic: str | None = None) -> sa.Select[Any]:
    """The query for the subscriptions that have not ended, of one topic or of all."""
    query = sa.select(subscriptions).where(subscriptions.c.status != Standing.DELETED.value)
    return query if topic is None else query.where(subscriptions.c.topic_name == topic)


_CONFIRMED = sa.select(subscriptions).where(
    subscriptions.c.topic_name == sa.bindparam("topic"), subscriptions.c.status == Standing.CONFIRMED.value
)


def of_function(function_arn: str) -> sa.Select[Any]:
    """The subscriptions of that function, by topic."""
    mine = (subscriptions.c.endpoint == function_arn, subscriptions.c.protocol == "lambda")
    return live().where(*mine).order_by(subscriptions.c.topic_name)


def confirmed(look: Reader, topic: str) -> Sequence[Subscription]:
    """Those that receive what is published on the topic."""
    return [of_row(row) for row in look.execute(_CONFIRMED, {"topic": topic}).mappings()]


def _of_endpoint(look: Reader, topic: str, protocol: str, endpoint: str) -> Subscription | None:
    row = look.one(live(topic).where(subscriptions.c.protocol == protocol, subscriptions.c.endpoint == endpoint))
    return None if row is None else of_row(row)


def of_row(row: RowMapping) -> Subscription:
    """A row of the table as a value."""
    return Subscription(
        id=row["id"],
        topic=row["topic_name"],
        protocol=row["protocol"],
        endpoint=row["endpoint"],
        standing=Standing(row["status"]),
        attributes=row["attributes"],
        principal=row["principal"],
        confirmation_authenticated=row["confirmation_authenticated"],
        authenticate_on_unsubscribe=row["authenticate_on_unsubscribe"],
        token_issue=row["token_issue"],
        created_at=row["created_at"],
    )


# --- attributes -------------------------------------------------------------------------------------------------------


def attributes(subscription: Subscription, topic: Topic, arns: Arns) -> dict[str, str]:
    """What GetSubscriptionAttributes shows."""
    shown_attributes = {
        **subscription_attributes.shown(subscription),
        "SubscriptionArn": arn(arns, subscription.topic, subscription.id),
        "TopicArn": arns.topic(subscription.topic),
        "Owner": arns.account,
        "Protocol": subscription.protocol,
        "Endpoint": masked(subscription.endpoint),
        "PendingConfirmation": _flag(subscription.standing is Standing.PENDING),
        "ConfirmationWasAuthenticated": _flag(subscription.confirmation_authenticated),
        "SubscriptionPrincipal": subscription.principal or arns.root,
    }
    if subscription.protocol in ("http", "https"):
        shown_attributes["EffectiveDeliveryPolicy"] = delivery_policy.effective_subscription_policy(
            topic.attributes.get("DeliveryPolicy"), subscription.attributes.get("DeliveryPolicy")
        )
    return shown_attributes


def _flag(value: bool) -> str:
    return "true" if value else "false"


def set_attribute(tx: Transaction, subscription_id: str, key: str, value: str) -> None:
    """Sets an attribute of a subscription; an empty FilterPolicy, DeliveryPolicy or RedrivePolicy takes it away."""
    subscription = require(tx, subscription_id)
    if key not in subscription_attributes.ATTRIBUTES:
        raise InvalidParameter("Invalid parameter: AttributeName")
    changed = subscription_attributes.without_empty({**subscription.attributes, key: value})
    _check(subscription.protocol, changed, "Invalid parameter: ")
    _update(tx, subscription_id, attributes=changed)


def _check(protocol: str, values: Mapping[str, str], prefix: str) -> None:
    try:
        subscription_attributes.check(protocol, values)
    except ValueError as error:
        raise InvalidParameter(f"{prefix}{error}") from error
