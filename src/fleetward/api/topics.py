"""sns: topics, subscriptions and publishing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from fleetward import errors
from fleetward.api.call import Call
from fleetward.api.paging import page
from fleetward.notify import subscriptions as rules
from fleetward.notify import topics
from fleetward.notify.channels.http import masked
from fleetward.notify.records import Standing, Subscription
from fleetward.registry import tags
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables import notify as tables

MAX_BATCH = 10
_BATCH_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_GROUP_ID = re.compile(r"[!-~]{1,128}")


# --- topics -----------------------------------------------------------------------------------------------------------


def create_topic(call: Call) -> dict[str, Any]:
    name = call.params["Name"]
    if call.params.get("DataProtectionPolicy"):
        raise errors.InvalidParameter("Invalid parameter: DataProtectionPolicy Reason: not supported by this server")
    arn = call.rooms.arns.topic(name)
    with call.transaction() as tx:
        topics.create(tx, name, call.params.get("Attributes", {}), _tags(call.params.get("Tags", ())), arn)
    return {"TopicArn": arn}


def delete_topic(call: Call) -> None:
    arn = call.params["TopicArn"]
    with call.transaction() as tx:
        topics.delete(tx, _topic(call), arn)


def list_topics(call: Call) -> dict[str, Any]:
    with call.read() as look:
        rows, token = page(call, look, sa.select(tables.topics.c.name), tables.topics.c.name)
    return {"Topics": [{"TopicArn": call.rooms.arns.topic(row["name"])} for row in rows], "NextToken": token}


def get_topic_attributes(call: Call) -> dict[str, Any]:
    with call.read() as look:
        return {"Attributes": topics.attributes(look, call.rooms.arns, _topic(call))}


def set_topic_attributes(call: Call) -> None:
    with call.transaction() as tx:
        topics.set_attribute(tx, _topic(call), call.params["AttributeName"], call.params.get("AttributeValue", ""))


def _topic(call: Call) -> str:
    return topics.name_of(call.rooms.arns, call.params["TopicArn"])


# --- subscriptions ----------------------------------------------------------------------------------------------------


def subscribe(call: Call) -> dict[str, Any]:
    params = call.params
    with call.transaction() as tx:
        subscription = call.rooms.notifier.subscribe(
            tx,
            params["TopicArn"],
            params["Protocol"],
            params.get("Endpoint", ""),
            params.get("Attributes", {}),
            call.caller.principal_arn,
        )
    if subscription.standing is Standing.PENDING and not params.get("ReturnSubscriptionArn"):
        return {"SubscriptionArn": "pending confirmation"}
    return {"SubscriptionArn": call.rooms.notifier.subscription_arn(subscription)}


def confirm_subscription(call: Call) -> dict[str, Any]:
    """By a signed call, or by following the link that was sent."""
    with call.transaction() as tx:
        arn = call.rooms.notifier.confirm(
            tx,
            call.params["TopicArn"],
            call.params["Token"],
            authenticated=not call.caller.anonymous,
            authenticate_on_unsubscribe=call.params.get("AuthenticateOnUnsubscribe") == "true",
        )
    return {"SubscriptionArn": arn}


def unsubscribe(call: Call) -> None:
    """By a signed call, or by following the link in a message."""
    with call.transaction() as tx:
        call.rooms.notifier.unsubscribe(tx, call.params["SubscriptionArn"], authenticated=not call.caller.anonymous)


def list_subscriptions(call: Call) -> dict[str, Any]:
    with call.read() as look:
        return _listed(call, look, rules.live())


def list_subscriptions_by_topic(call: Call) -> dict[str, Any]:
    name = _topic(call)
    with call.read() as look:
        topics.require(look, name)
        return _listed(call, look, rules.live(name))


def _listed(call: Call, look: Reader, statement: sa.Select[Any]) -> dict[str, Any]:
    rows, token = page(call, look, statement, tables.subscriptions.c.id)
    return {"Subscriptions": [_shown(call, rules.of_row(row)) for row in rows], "NextToken": token}


def _shown(call: Call, subscription: Subscription) -> dict[str, str]:
    pending = subscription.standing is Standing.PENDING
    return {
        "SubscriptionArn": "PendingConfirmation" if pending else call.rooms.notifier.subscription_arn(subscription),
        "Owner": call.rooms.arns.account,
        "Protocol": subscription.protocol,
        "Endpoint": masked(subscription.endpoint),
        "TopicArn": call.rooms.arns.topic(subscription.topic),
    }


def get_subscription_attributes(call: Call) -> dict[str, Any]:
    arns = call.rooms.arns
    with call.read() as look:
        subscription = _subscription(call, look)
        topic = topics.require(look, subscription.topic)
    return {"Attributes": rules.attributes(subscription, topic, arns)}


def set_subscription_attributes(call: Call) -> None:
    with call.transaction() as tx:
        subscription = _subscription(call, tx)
        rules.set_attribute(tx, subscription.id, call.params["AttributeName"], call.params.get("AttributeValue", ""))


def _subscription(call: Call, look: Reader) -> Subscription:
    topic, subscription_id = rules.id_of(call.rooms.arns, call.params["SubscriptionArn"])
    subscription = rules.require(look, subscription_id)
    if subscription.topic != topic:
        raise errors.NotFound("Subscription does not exist")
    return subscription


# --- publishing -------------------------------------------------------------------------------------------------------


def publish(call: Call) -> dict[str, Any]:
    if "PhoneNumber" in call.params:
        raise errors.InvalidParameter("Invalid parameter: PhoneNumber Reason: SMS is not supported by this server")
    arn = call.params.get("TopicArn", call.params.get("TargetArn"))
    if arn is None:
        raise errors.InvalidParameter(
            "Invalid parameter: TopicArn or TargetArn Reason: no value for required parameter"
        )
    with call.transaction() as tx:
        return {"MessageId": _publish(call, tx, arn, call.params)}


def publish_batch(call: Call) -> dict[str, Any]:
    entries = call.params["PublishBatchRequestEntries"]
    _check_batch(entries)
    arn = call.params["TopicArn"]
    successful, failed = [], []
    with call.transaction() as tx:
        topic = topics.require(tx, _topic(call))
        if sum(len(entry["Message"].encode(errors="replace")) for entry in entries) > topics.max_message_bytes(topic):
            raise errors.BatchRequestTooLong("The length of all the messages put together is more than the limit.")
        for entry in entries:
            try:
                successful.append({"Id": entry["Id"], "MessageId": _publish(call, tx, arn, entry)})
            except errors.Refusal as refusal:
                failed.append(_failed(entry["Id"], refusal))
    return {"Successful": successful, "Failed": failed}


def _publish(call: Call, tx: Transaction, arn: str, given: Mapping[str, Any]) -> str:
    _check_order(given)
    message_id: str = call.rooms.notifier.publish(
        tx,
        arn,
        given["Message"],
        subject=given.get("Subject"),
        attributes=given.get("MessageAttributes"),
        structure=given.get("MessageStructure"),
    )
    return message_id


def _check_order(given: Mapping[str, Any]) -> None:
    """What is for FIFO topics. A standard topic takes a group, for queues alone (SNS API reference, "Publish")."""
    if "MessageDeduplicationId" in given:
        raise errors.InvalidParameter(
            "Invalid parameter: MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter "
            "that is not valid for this topic type"
        )
    if "MessageGroupId" in given and not _GROUP_ID.fullmatch(given["MessageGroupId"]):
        raise errors.InvalidParameter(
            "Invalid parameter: MessageGroupId Reason: 1 to 128 alphanumeric characters and punctuation"
        )


def _check_batch(entries: Sequence[Mapping[str, Any]]) -> None:
    ids = [entry["Id"] for entry in entries]
    if not ids:
        raise errors.EmptyBatchRequest("The batch request doesn't contain any entries.")
    if len(ids) > MAX_BATCH:
        raise errors.TooManyEntriesInBatchRequest("The batch request contains more entries than permissible.")
    if len(set(ids)) < len(ids):
        raise errors.BatchEntryIdsNotDistinct("Two or more batch entries in the request have the same Id.")
    if not all(_BATCH_ID.fullmatch(one) for one in ids):
        raise errors.InvalidBatchEntryId(
            "The Id of a batch entry in a batch request doesn't abide by the specification."
        )


def _failed(entry_id: str, refusal: errors.Refusal) -> dict[str, Any]:
    code = refusal.code.removesuffix("Exception")
    return {"Id": entry_id, "Code": code, "Message": refusal.message, "SenderFault": True}


# --- tags -------------------------------------------------------------------------------------------------------------


def tag_resource(call: Call) -> dict[str, Any]:
    arn, wanted = call.params["ResourceArn"], _tags(call.params["Tags"])
    with call.transaction() as tx:
        _require_taggable(call, tx)
        topics.tag(tx, arn, wanted)
    return {}


def untag_resource(call: Call) -> dict[str, Any]:
    with call.transaction() as tx:
        _require_taggable(call, tx)
        tags.remove(tx, call.params["ResourceArn"], call.params["TagKeys"])
    return {}


def list_tags_for_resource(call: Call) -> dict[str, Any]:
    with call.read() as look:
        _require_taggable(call, look)
        found = tags.of(look, call.params["ResourceArn"])
    return {"Tags": [{"Key": key, "Value": value} for key, value in found.items()]}


def _require_taggable(call: Call, look: Reader) -> None:
    try:
        topics.require(look, topics.name_of(call.rooms.arns, call.params["ResourceArn"]))
    except errors.NotFound:
        raise errors.ResourceNotFound("Resource does not exist") from None


def _tags(given: Sequence[Mapping[str, str]]) -> dict[str, str]:
    found = {one["Key"]: one["Value"] for one in given}
    if len(found) < len(given):
        raise errors.InvalidParameter("Invalid parameter: Duplicated keys are not allowed.")
    return found
