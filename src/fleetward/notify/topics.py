"""Topics: the rules that keep them consistent. Every function takes the caller's transaction or reader first.

Error texts as AWS sends them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from fleetward.arn import Arns
from fleetward.errors import InvalidParameter, NotFound, TagLimitExceeded
from fleetward.notify import delivery_policy
from fleetward.notify.records import Standing, Topic
from fleetward.registry import tags
from fleetward.store.database import Reader, Transaction
from fleetward.store.tables.notify import subscriptions, topics

MAX_MESSAGE_BYTES = 262_144

_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def name_of(arns: Arns, arn: str) -> str:
    """The topic's name, from the ARN of a topic of this account and region."""
    parts = arn.split(":")
    if len(parts) < 6:
        raise InvalidParameter(
            f"Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not {len(parts)}"
        )
    name = parts[5]
    if len(parts) != 6 or arn != arns.topic(name):
        raise NotFound("Topic does not exist")
    return name


def create(tx: Transaction, name: str, attributes: Mapping[str, str], wanted_tags: Mapping[str, str], arn: str) -> None:
    """Creates the topic; a topic that exists already with the same attributes and tags stays as it is."""
    if name.endswith(".fifo") or attributes.get("FifoTopic") == "true":
        raise InvalidParameter("Invalid parameter: Topic Name Reason: FIFO topics are not supported by this server")
    if not _NAME.fullmatch(name):
        raise InvalidParameter("Invalid parameter: Topic Name")
    given = {key: value for key, value in attributes.items() if key != "FifoTopic"}
    for key, value in given.items():
        _check_attribute(key, value, "Invalid parameter: Attributes Reason: ")
    existing = find(tx, name)
    if existing is not None:
        _require_same(existing, given, wanted_tags, tags.of(tx, arn))
        return
    tx.execute(sa.insert(topics).values(name=name, attributes=given, created_at=tx.now))
    tag(tx, arn, wanted_tags)


def _require_same(
    topic: Topic, given: Mapping[str, str], wanted_tags: Mapping[str, str], present_tags: Mapping[str, str]
) -> None:
    if any(topic.attributes.get(key) != value for key, value in given.items()):
        raise InvalidParameter("Invalid parameter: Attributes Reason: Topic already exists with different attributes")
    if wanted_tags and dict(wanted_tags) != dict(present_tags):
        raise InvalidParameter("Invalid parameter: Tags Reason: Topic already exists with different tags")


def delete(tx: Transaction, name: str, arn: str) -> None:
    """Deletes the topic and its subscriptions; a topic that does not exist is deleted already."""
    tx.execute(sa.delete(topics).where(topics.c.name == name))
    tags.forget(tx, arn)


# Built once: mass alarms publish thousands of messages in one transaction.
_FIND = sa.select(topics).where(topics.c.name == sa.bindparam("name"))


def find(look: Reader, name: str) -> Topic | None:
    row = look.execute(_FIND, {"name": name}).mappings().first()
    return None if row is None else Topic(row["name"], row["attributes"], row["created_at"])


def require(look: Reader, name: str) -> Topic:
    topic = find(look, name)
    if topic is None:
        raise NotFound("Topic does not exist")
    return topic


def max_message_bytes(topic: Topic) -> int:
    return int(topic.attributes.get("MaximumMessageSize", MAX_MESSAGE_BYTES))


# --- attributes -------------------------------------------------------------------------------------------------------


def attributes(look: Reader, arns: Arns, name: str) -> dict[str, str]:
    """What GetTopicAttributes shows: those that were set, and those that follow."""
    topic = require(look, name)
    arn = arns.topic(name)
    counts = _count_subscriptions(look, name)
    return {
        "DisplayName": "",
        "Policy": _default_policy(arn, arns.account),
        **topic.attributes,
        "EffectiveDeliveryPolicy": delivery_policy.effective_topic_policy(topic.attributes.get("DeliveryPolicy")),
        "Owner": arns.account,
        "TopicArn": arn,
        "SubscriptionsConfirmed": str(counts.get(Standing.CONFIRMED, 0)),
        "SubscriptionsPending": str(counts.get(Standing.PENDING, 0)),
        "SubscriptionsDeleted": str(counts.get(Standing.DELETED, 0)),
    }


def set_attribute(tx: Transaction, name: str, key: str, value: str) -> None:
    """Sets an attribute of a topic; an empty value puts it back to its default."""
    topic = require(tx, name)
    if key not in ATTRIBUTES:
        raise InvalidParameter("Invalid parameter: AttributeName")
    changed = {each: kept for each, kept in topic.attributes.items() if each != key}
    if value:
        _check_attribute(key, value, "Invalid parameter: ")
        changed[key] = value
    tx.execute(sa.update(topics).where(topics.c.name == name).values(attributes=changed))


def _check_attribute(key: str, value: str, prefix: str) -> None:
    if key not in ATTRIBUTES:
        raise InvalidParameter(f"{prefix}Unknown attribute {key}")
    try:
        ATTRIBUTES[key](value)
    except ValueError as error:
        raise InvalidParameter(f"{prefix}{key}: {error}") from error


def _check_display_name(value: str) -> None:
    if len(value) > 100 or _CONTROL.search(value):
        raise ValueError("must be at most 100 characters, without control characters")


def _check_policy(value: str) -> None:
    try:
        if not isinstance(json.loads(value), dict):
            raise ValueError
    except (ValueError, RecursionError) as error:
        raise ValueError("must be a JSON object") from error


def _one_of(*values: str) -> Callable[[str], None]:
    def check(value: str) -> None:
        if value not in values:
            raise ValueError(f"Invalid value [{value}]. Must be one of {', '.join(values)}.")

    return check


def _check_message_size(value: str) -> None:
    if not re.fullmatch(r"\d{1,7}", value) or not 1024 <= int(value) <= MAX_MESSAGE_BYTES:
        raise ValueError(f"Invalid value [{value}]. Must be a whole number from 1024 to {MAX_MESSAGE_BYTES}.")


def _kept(value: str) -> None:
    """Kept and shown, without an effect here."""


ATTRIBUTES: Mapping[str, Callable[[str], None]] = {
    "DisplayName": _check_display_name,
    "DeliveryPolicy": delivery_policy.check_topic_policy,
    "Policy": _check_policy,
    "SignatureVersion": _one_of("1", "2"),
    "MaximumMessageSize": _check_message_size,
    "TracingConfig": _one_of("PassThrough", "Active"),
    "KmsMasterKeyId": _kept,
    **{
        f"{protocol}{result}": _kept
        for protocol in ("HTTP", "Lambda", "Firehose", "SQS", "Application")
        for result in ("SuccessFeedbackRoleArn", "SuccessFeedbackSampleRate", "FailureFeedbackRoleArn")
    },
}
"""The attributes that can be set, each with the check that raises ValueError."""


def _count_subscriptions(look: Reader, name: str) -> dict[str, int]:
    query = (
        sa.select(subscriptions.c.status, sa.func.count().label("number"))
        .where(subscriptions.c.topic_name == name)
        .group_by(subscriptions.c.status)
    )
    return {row["status"]: row["number"] for row in look.all(query)}


def _default_policy(arn: str, account: str) -> str:
    actions = (
        "GetTopicAttributes SetTopicAttributes AddPermission RemovePermission DeleteTopic Subscribe "
        "ListSubscriptionsByTopic Publish"
    )
    statement: dict[str, Any] = {
        "Sid": "__default_statement_ID",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": [f"SNS:{action}" for action in actions.split()],
        "Resource": arn,
        "Condition": {"StringEquals": {"AWS:SourceOwner": account}},
    }
    document = {"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]}
    return json.dumps(document, separators=(",", ":"))


# --- tags -------------------------------------------------------------------------------------------------------------


def tag(tx: Transaction, arn: str, wanted: Mapping[str, str]) -> None:
    if len(tags.of(tx, arn).keys() | wanted.keys()) > tags.MAX_TAGS:
        raise TagLimitExceeded(f"A topic can have at most {tags.MAX_TAGS} tags")
    tags.put(tx, arn, wanted)
