"""iot-data: messages from the house to devices, retained messages, and closing a client's connection."""

from __future__ import annotations

import base64
import json
from typing import Any

from fleetward import errors
from fleetward.api.call import Call
from fleetward.api.paging import page_awaited
from fleetward.gateway.doors import Drop, GetRetained, ListRetained, Publish, Retained
from fleetward.gateway.limits import LIMITS
from fleetward.gateway.topics import is_topic_name
from fleetward.shadows.service import is_request

MAX_EXPIRY_SECONDS = 2**32 - 1

MAX_PROPERTY_BYTES = 8 * 1024
"""All user properties of a message together (AWS general reference, "AWS IoT Core message broker quotas")."""


async def publish(call: Call) -> dict[str, Any]:
    """A request to a shadow may also come this way ("Choosing an application protocol"); no other `$` topic does, so
    that nobody forges what the house says there."""
    topic, payload = call.params["topic"], call.params.get("payload", b"")
    limits = LIMITS[call.rooms.settings.mqtt_limits]
    if not _is_topic(call, topic):
        raise errors.InvalidRequest(f"{topic[:256]!r} is not a topic that can be published to")
    if len(payload) > limits.payload:
        raise errors.RequestEntityTooLarge(f"A payload may have {limits.payload} bytes, not {len(payload)}")
    if topic.startswith("$"):
        await _publish_reserved(call, topic, payload)
        return {}
    qos, retain = call.params.get("qos", 0), call.params.get("retain", False)
    try:
        await call.rooms.gateway.command(Publish(topic, payload, qos, retain, _properties(call)))
    except ValueError as error:  # what MQTT cannot say
        raise errors.InvalidRequest(f"This message cannot be published: {error}") from None
    return {}


async def get_retained_message(call: Call) -> dict[str, Any]:
    topic = call.params["topic"]
    found = await call.rooms.gateway.command(GetRetained(topic))
    if not isinstance(found, Publish):
        raise errors.ResourceNotFound(f"No retained message on topic {topic}")
    pairs: Any = (found.properties or {}).get("user_property")
    properties = json.dumps([{name: value} for name, value in pairs]).encode() if pairs else None
    return {"topic": found.topic, "payload": found.payload, "qos": found.qos, "userProperties": properties}


async def list_retained_messages(call: Call) -> dict[str, Any]:
    """By topic, without payloads."""

    async def fetch(limit: int, after: Any) -> tuple[Retained, ...]:
        found = await call.rooms.gateway.command(ListRetained(after or "", limit))
        assert isinstance(found, tuple)
        return found

    messages, token = await page_awaited(call, fetch, lambda message: message.topic)
    topics = [{"topic": item.topic, "payloadSize": item.payload_size, "qos": item.qos} for item in messages]
    return {"retainedTopics": topics, "nextToken": token}


async def delete_connection(call: Call) -> dict[str, Any]:
    client_id = call.params["clientId"]
    drop = Drop(
        client_id,
        forget=call.params.get("cleanSession", False),
        with_will=not call.params.get("preventWillMessage", False),
    )
    if not await call.rooms.gateway.command(drop):
        raise errors.ResourceNotFound(f"No client is connected as {client_id}")
    return {}


def _is_topic(call: Call, topic: str) -> bool:
    limits = LIMITS[call.rooms.settings.mqtt_limits]
    return is_topic_name(topic) and len(topic.encode()) <= limits.topic_bytes and topic.count("/") < limits.topic_levels


async def _publish_reserved(call: Call, topic: str, payload: bytes) -> None:
    if not is_request(topic):
        raise errors.InvalidRequest(f"Topics that begin with $ are reserved, and {topic[:256]!r} takes no messages")
    await call.rooms.shadows.answer(topic, payload)


def _properties(call: Call) -> dict[str, object] | None:
    """The MQTT 5 properties of a publish (§3.3.2.3), by their names in the codec."""
    params = call.params
    properties: dict[str, object] = {}
    if (content_type := params.get("contentType")) is not None:
        properties["content_type"] = content_type
    if (topic := params.get("responseTopic")) is not None:
        if not _is_topic(call, topic):  # [MQTT-3.3.2-14]
            raise errors.InvalidRequest("responseTopic must be a topic without wildcards")
        properties["response_topic"] = topic
    if (seconds := params.get("messageExpiry")) is not None:
        if not 0 <= seconds <= MAX_EXPIRY_SECONDS:
            raise errors.InvalidRequest(f"messageExpiry must be from 0 to {MAX_EXPIRY_SECONDS} seconds")
        properties["message_expiry_interval"] = seconds
    if (data := params.get("correlationData")) is not None:
        properties["correlation_data"] = _decoded(data)
    if indicator := params.get("payloadFormatIndicator"):
        properties["payload_format_indicator"] = int(indicator == "UTF8_DATA")
    if pairs := params.get("userProperties"):
        properties["user_property"] = _pairs(pairs)
    return properties or None


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except ValueError:
        raise errors.InvalidRequest("correlationData must be base64") from None


def _pairs(given: Any) -> tuple[tuple[str, str], ...]:
    """[{"a": "1"}, {"b": "2"}], or the JSON text of it, as pairs."""
    refusal = errors.InvalidRequest('userProperties must be a JSON array of objects, such as [{"name": "value"}]')
    try:
        items = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        raise refusal from None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise refusal
    pairs = tuple(pair for item in items for pair in item.items())
    if not all(isinstance(value, str) for _, value in pairs):
        raise refusal
    if sum(len(text.encode("utf-8", "replace")) for pair in pairs for text in pair) > MAX_PROPERTY_BYTES:
        raise errors.InvalidRequest(f"userProperties may have {MAX_PROPERTY_BYTES} bytes together")
    return pairs
