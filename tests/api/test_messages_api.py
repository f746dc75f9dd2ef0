"""iot-data beside shadows, through boto3 against a running server, with paho at the other end."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from botocore.exceptions import ClientError

from devices import Device
from fleetward.gateway.limits import LIMITS
from fleetward.simulate.provision import Keys, allow, certificate, document
from running_server import RunningServer


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    server = RunningServer(tmp_path_factory.mktemp("messages"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def data(shared: RunningServer) -> Any:
    return shared.client("iot-data")


@pytest.fixture(scope="module")
def keys(shared: RunningServer) -> Keys:
    """A certificate that may do everything."""
    shared.client("iot").create_policy(policyName="all", policyDocument=document(allow("iot:*", "*")))
    return certificate(shared.client, "all")


@pytest.fixture
def device(shared: RunningServer, keys: Keys, tmp_path: Path) -> Iterator[Device]:
    """An MQTT 5 client that is connected and hears everything below `to/`."""
    made = Device("device", keys, shared.broker, tmp_path, protocol=mqtt.MQTTv5)
    assert made.connect() == "Success"
    made.subscribe("to/#")
    yield made
    made.close()


def refused(function: Any, **params: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as found:
        function(**params)
    response = found.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


PAIRS = [{"deviceName": "alpha"}, {"deviceCnt": "45", "unit": "°"}]


@pytest.mark.parametrize("pairs", [PAIRS, json.dumps(PAIRS)], ids=["list", "text"])
def test_publish_carries_every_property(data: Any, device: Device, pairs: Any) -> None:
    """All MQTT 5 properties of Publish reach the subscriber, user properties given as a list or as its JSON text."""
    data.publish(
        topic="to/device one",
        payload=b"\x00\xff",
        qos=1,
        contentType="text/plain",
        responseTopic="from/device",
        correlationData=base64.b64encode(b"\x01\x02").decode(),
        messageExpiry=60,
        payloadFormatIndicator="UTF8_DATA",
        userProperties=pairs,
    )
    (message,) = device.wait_for(1)
    properties = message.properties
    assert properties is not None
    assert (message.topic, message.payload, message.qos) == ("to/device one", b"\x00\xff", 1)
    assert (properties.ContentType, properties.ResponseTopic) == ("text/plain", "from/device")
    assert (properties.CorrelationData, properties.PayloadFormatIndicator) == (b"\x01\x02", 1)
    assert properties.UserProperty == [("deviceName", "alpha"), ("deviceCnt", "45"), ("unit", "°")]
    assert 0 < properties.MessageExpiryInterval <= 60


WRONG: dict[str, dict[str, Any]] = {
    "a wildcard": {"topic": "a/+"},
    "a reserved topic": {"topic": "$aws/things/t/shadow/update/accepted"},
    "presence": {"topic": "$aws/events/presence/connected/t"},
    "a topic that is too deep": {"topic": "/".join("a" * 300)},
    "a response topic with a wildcard": {"topic": "a", "responseTopic": "b/#"},
    "correlation data that are no base64": {"topic": "a", "correlationData": "*"},
    "user properties that are no list": {"topic": "a", "userProperties": {"a": "b"}},
    "user properties that are no JSON": {"topic": "a", "userProperties": "[{"},
    "a user property that is no text": {"topic": "a", "userProperties": [{"a": 1}]},
    "a negative expiry": {"topic": "a", "messageExpiry": -1},
    "an expiry beyond MQTT's": {"topic": "a", "messageExpiry": 2**32},
    "QoS 2": {"topic": "a", "qos": 2},
}


@pytest.mark.parametrize("params", WRONG.values(), ids=WRONG)
def test_what_cannot_be_published(data: Any, params: dict[str, Any]) -> None:
    """What MQTT cannot say, or must not be said by a caller, is an InvalidRequestException."""
    assert refused(data.publish, **params) == ("InvalidRequestException", 400)


def test_a_payload_has_a_limit(data: Any) -> None:
    """A payload larger than devices may send is refused, too."""
    payload = bytes(LIMITS["standard"].payload + 1)
    assert refused(data.publish, topic="a", payload=payload) == ("RequestEntityTooLargeException", 413)


def test_a_shadow_request_may_be_published(data: Any, device: Device) -> None:
    """Publish to a shadow's request topic is that request: the answer comes on its topics."""
    device.subscribe("$aws/things/published/shadow/#")
    data.publish(topic="$aws/things/published/shadow/update", payload=b'{"state":{"reported":{"a":1}}}')
    assert {message.topic.rsplit("/", 1)[1] for message in device.wait_for(2)} == {"accepted", "documents"}
    assert json.loads(data.get_thing_shadow(thingName="published")["payload"].read())["version"] == 1
    data.publish(topic="$aws/things/published/shadow/update", payload=b"{")
    assert device.wait_for(3)[2].topic == "$aws/things/published/shadow/update/rejected"


def test_retained_messages(data: Any, shared: RunningServer) -> None:
    """They are got with payload, QoS and user properties, listed by topic in pages, and removed by an empty one."""
    assert refused(data.get_retained_message, topic="none") == ("ResourceNotFoundException", 404)
    topics = [f"kept/{number}" for number in range(5)]
    for topic in reversed(topics):
        data.publish(topic=topic, payload=b"\x00" + topic.encode(), qos=1, retain=True, userProperties=[{"a": "b"}])
    got = data.get_retained_message(topic="kept/0")
    assert (got["topic"], got["payload"], got["qos"]) == ("kept/0", b"\x00kept/0", 1)
    assert json.loads(got["userProperties"]) == [{"a": "b"}]
    pages = list(data.get_paginator("list_retained_messages").paginate(PaginationConfig={"PageSize": 2}))
    summaries = [summary for page in pages for summary in page["retainedTopics"]]
    assert [len(page["retainedTopics"]) for page in pages] == [2, 2, 1]
    assert summaries == [{"topic": topic, "payloadSize": 7, "qos": 1} for topic in topics]
    for topic in topics:
        data.publish(topic=topic, payload=b"", retain=True)
    assert data.list_retained_messages()["retainedTopics"] == []
    assert refused(data.get_retained_message, topic="kept/0") == ("ResourceNotFoundException", 404)
    assert refused(data.list_retained_messages, nextToken="x") == ("InvalidRequestException", 400)


@pytest.mark.parametrize("prevented", [False, True])
def test_a_connection_is_deleted(
    data: Any, device: Device, shared: RunningServer, keys: Keys, tmp_path: Path, prevented: bool
) -> None:
    """The client is dropped; its will is published unless that is prevented; a client that is gone is not found."""
    victim = Device("victim", keys, shared.broker, tmp_path)
    victim.client.will_set("to/all", "victim is gone", 1)
    assert victim.connect() == "Success"
    data.delete_connection(clientId="victim", preventWillMessage=prevented)
    assert victim.gone.wait(10)
    victim.close()
    data.publish(topic="to/all", payload=b"afterwards", qos=1)
    expected = [b"afterwards"] if prevented else [b"victim is gone", b"afterwards"]
    assert [message.payload for message in device.wait_for(len(expected))] == expected
    assert refused(data.delete_connection, clientId="victim") == ("ResourceNotFoundException", 404)


@pytest.mark.parametrize("clean", [False, True])
def test_a_deleted_connection_may_take_its_session_along(
    data: Any, shared: RunningServer, keys: Keys, tmp_path: Path, clean: bool
) -> None:
    """The persistent session is kept, with its subscriptions, unless it is cleaned."""
    client = Device("sleeper", keys, shared.broker, tmp_path, clean_session=False)
    assert client.connect() == "Success"
    client.subscribe("to/sleeper")
    data.delete_connection(clientId="sleeper", cleanSession=clean)
    assert client.gone.wait(10)
    client.client.loop_stop()
    data.publish(topic="to/sleeper", payload=b"while away", qos=1)
    assert client.connect() == "Success"
    client.subscribe("to/sleeper/mark")
    data.publish(topic="to/sleeper/mark", payload=b"mark", qos=1)
    expected = [b"mark"] if clean else [b"while away", b"mark"]
    assert [message.payload for message in client.wait_for(len(expected))] == expected
    data.delete_connection(clientId="sleeper", cleanSession=True)
    client.close()
