"""Publishing: a message is checked, kept and put into the outbox for every subscription that wants it."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fleetward.errors import InvalidParameter, InvalidParameterValue
from fleetward.model import Millis
from fleetward.notify import deliveries, filter_policy, subscriptions, topics
from fleetward.notify.records import Draft, Kind, Message, Subscription, Topic
from fleetward.store.database import Transaction

MAX_SUBJECT = 100

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MESSAGE_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_ATTRIBUTE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_ATTRIBUTE_TYPE = re.compile(r"(?:String|Number|Binary)(?:\.[\x21-\x7e]{1,240})?")


def publish(tx: Transaction, topic: Topic, messages: Sequence[Message]) -> None:
    """Keeps checked messages of one topic, and a delivery of each to every confirmed subscription that wants it.

    Nothing happens to a message whose id is kept already: replaying a crash sends nothing a second time.
    """
    news = deliveries.store(tx, messages)
    readers = [(one, _wish(one)) for one in subscriptions.confirmed(tx, topic.name)] if news else []
    deliveries.add(tx, [(message, one) for message in news for one, wants in readers if wants(message)])


def _wish(subscription: Subscription) -> Callable[[Message], bool]:
    """Whether the subscription wants a message."""
    policy = subscription.attributes.get("FilterPolicy")
    if policy is None:
        return lambda message: True
    scope, protocol = subscription.attributes.get("FilterPolicyScope", filter_policy.ATTRIBUTES), subscription.protocol
    compiled = filter_policy.parse(policy, scope)
    return lambda message: compiled.wants(message.text_for(protocol), message.attributes)


# --- checks -----------------------------------------------------------------------------------------------------------


def checked(draft: Draft, topic: Topic, now: Millis) -> Message:
    """The draft as a message of the topic; raises a Refusal as SNS would."""
    made = Message(
        id=str(uuid.uuid4()) if draft.id is None else draft.id,
        kind=Kind.NOTIFICATION,
        topic=topic.name,
        text=draft.text,
        created_at=now,
        subject=draft.subject,
        structure=draft.structure,
        attributes=attributes(draft.attributes),
        email_subject=draft.email_subject,
        email_text=draft.email_text,
    )
    check(made, topics.max_message_bytes(topic))
    return made


def check(message: Message, max_bytes: int) -> None:
    """Refuses a message that SNS would refuse."""
    if not _MESSAGE_ID.fullmatch(message.id):
        raise InvalidParameter("Invalid parameter: MessageId")
    if not message.text:
        raise InvalidParameter("Invalid parameter: Empty message")
    if size_of(message) > max_bytes:
        raise InvalidParameter("Invalid parameter: Message too long")
    if message.subject is not None and not _is_subject(message.subject):
        raise InvalidParameter("Invalid parameter: Subject")
    if message.structure not in (None, "json"):
        raise InvalidParameter("Invalid parameter: MessageStructure")
    if message.structure == "json":
        _check_structure(message.text)


def size_of(message: Message) -> int:
    """Bytes of the text and of every attribute's name, type and value."""
    try:
        size = len(message.text.encode())
    except UnicodeEncodeError as error:
        raise InvalidParameter("Invalid parameter: Message Reason: must be valid UTF-8") from error
    return size + sum(
        len(name) + len(attribute["Type"]) + len(attribute["Value"].encode())
        for name, attribute in message.attributes.items()
    )


def _is_subject(subject: str) -> bool:
    return bool(subject.strip()) and len(subject) <= MAX_SUBJECT and not _CONTROL.search(subject) and _is_utf8(subject)


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _check_structure(text: str) -> None:
    try:
        texts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidParameter("Invalid parameter: Message Structure - JSON message body failed to parse") from error
    if not isinstance(texts, dict) or not isinstance(texts.get("default"), str):
        raise InvalidParameter("Invalid parameter: Message Structure - No default entry in JSON message body")
    if not all(_is_utf8(one) for one in texts.values() if isinstance(one, str)):
        raise InvalidParameter("Invalid parameter: Message Structure - JSON message body failed to parse")


# --- attributes -------------------------------------------------------------------------------------------------------


def attributes(given: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """MessageAttributes as the API takes them → as envelopes show them; binary values become base64."""
    return {name: _attribute(name, value) for name, value in given.items()}


def _attribute(name: str, given: Mapping[str, Any]) -> dict[str, str]:
    _check_attribute_name(name)
    kind = given.get("DataType") or ""
    if not _ATTRIBUTE_TYPE.fullmatch(kind):
        raise InvalidParameterValue(
            f"The message attribute '{name}' has an invalid message attribute type, "
            "the set of supported type prefixes is Binary, Number, and String."
        )
    field = "BinaryValue" if kind.startswith("Binary") else "StringValue"
    if any(given.get(other) for other in ("StringValue", "BinaryValue") if other != field):
        raise InvalidParameterValue(f"The message attribute '{name}' with type '{kind}' must use field '{field[:6]}'.")
    value = given.get(field)
    if not value:
        raise InvalidParameterValue(
            f"The message attribute '{name}' must contain non-empty message attribute value "
            f"for message attribute type '{kind}'."
        )
    text = base64.b64encode(value).decode() if isinstance(value, bytes) else value
    _check_attribute_value(name, kind, text)
    return {"Type": kind, "Value": text}


def _check_attribute_name(name: str) -> None:
    wrong_dots = name.startswith(".") or name.endswith(".") or ".." in name
    if not _ATTRIBUTE_NAME.fullmatch(name) or wrong_dots:
        raise InvalidParameterValue(
            f"Invalid message attribute name '{name[:256]}': use at most 256 letters, digits, hyphens, underscores "
            "and dots, with no dot at the start or the end and no two in a row."
        )


def _check_attribute_value(name: str, kind: str, text: str) -> None:
    if not _is_utf8(text):
        raise InvalidParameterValue(f"The message attribute '{name}' is no valid UTF-8.")
    if kind.split(".")[0] == "Number":
        try:
            float(text)
        except ValueError as error:
            raise InvalidParameterValue(f"Could not cast message attribute '{name}' value to number.") from error
