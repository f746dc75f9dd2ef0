"""iot-data: messages from the house to devices, retained messages, and closing a client's connection."""

from __future__ import annotations

import base64
import json
from typing import Any

from fleetward import errors
from fleetward.api.call import Call
from fleetward.gateway.doors import Drop, GetRetained, Publish
from fleetward.gateway.topics import is_topic_name


async def publish(call: Call) -> dict[str, Any]:
    topic = call.params["topic"]
    if not is_topic_name(topic):
        raise errors.InvalidRequest(f"{topic!r} is not a topic that can be published to")
    command = Publish(
        topic=topic,
        payload=call.params.get("payload", b""),
        qos=call.params.get("qos", 0),
        retain=call.params.get("retain", False),
        properties=_properties(call.params),
    )
    await call.rooms.gateway.command(command)
    return {}


async def get_retained_message(call: Call) -> dict[str, Any]:
    topic = call.params["topic"]
    found = await call.rooms.gateway.command(GetRetained(topic))
    if not isinstance(found, Publish):
        raise errors.ResourceNotFound(f"No retained message on topic {topic}")
    return {"topic": found.topic, "payload": found.payload, "qos": found.qos}


async def delete_connection(call: Call) -> dict[str, Any]:
    client_id = call.params["clientId"]
    if not await call.rooms.gateway.command(Drop(client_id, forget=call.params.get("cleanSession", False))):
        raise errors.ResourceNotFound(f"No client is connected as {client_id}")
    return {}


def _properties(params: dict[str, Any]) -> dict[str, object] | None:
    """The MQTT 5 properties of a publish, by their names in the codec."""
    properties: dict[str, object] = {
        ours: params[theirs]
        for theirs, ours in {
            "contentType": "content_type",
            "responseTopic": "response_topic",
            "messageExpiry": "message_expiry_interval",
        }.items()
        if params.get(theirs)
    }
    if data := params.get("correlationData"):
        properties["correlation_data"] = base64.b64decode(data)
    if params.get("payloadFormatIndicator") == "UTF8_DATA":
        properties["payload_format_indicator"] = 1
    if pairs := params.get("userProperties"):
        properties["user_property"] = tuple((k, v) for item in json.loads(pairs) for k, v in item.items())
    return properties or None
