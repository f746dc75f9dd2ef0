"""Unmodified clients of AWS's shadow service against a running server: boto3, paho, the device SDK's builders."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from awscrt import mqtt
from awscrt.mqtt_request_response import ClientOptions
from awsiot import iotshadow, mqtt5_client_builder, mqtt_connection_builder
from botocore.exceptions import ClientError

from devices import Device
from fleetward.simulate.provision import Keys, allow, certificate, document
from running_server import RunningServer

SECONDS = 10


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    server = RunningServer(tmp_path_factory.mktemp("shadows"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def keys(shared: RunningServer) -> Keys:
    """A certificate that may do everything."""
    shared.client("iot").create_policy(policyName="all", policyDocument=document(allow("iot:*", "*")))
    return certificate(shared.client, "all")


def call(function: Callable[..., Any], **params: Any) -> dict[str, Any]:
    """The document that a boto3 operation on a shadow returns."""
    answer: dict[str, Any] = json.loads(function(**params)["payload"].read())
    return answer


def refused(function: Callable[..., Any], **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as found:
        function(**params)
    response = found.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


def test_boto3(shared: RunningServer) -> None:
    """Update, get, list and delete through boto3, with the answers and the errors of AWS."""
    data = shared.client("iot-data")
    light = {"thingName": "light", "shadowName": "colour"}
    payload = json.dumps({"state": {"desired": {"rgb": [1, 2]}}, "clientToken": "t"})
    updated = call(data.update_thing_shadow, **light, payload=payload)
    seconds = updated["timestamp"]
    stamps = {"desired": {"rgb": [{"timestamp": seconds}] * 2}}
    expected = {"state": {"desired": {"rgb": [1, 2]}}, "metadata": stamps, "version": 1, "timestamp": seconds}
    assert updated == {**expected, "clientToken": "t"}
    got = call(data.get_thing_shadow, **light)
    assert {**got, "timestamp": seconds} == {
        **expected,
        "state": {"desired": {"rgb": [1, 2]}, "delta": {"rgb": [1, 2]}},
    }
    not_found = ("ResourceNotFoundException", 404, "No shadow exists with name: 'light'")
    assert refused(data.get_thing_shadow, thingName="light") == not_found
    stale = json.dumps({"state": {}, "version": 7})
    assert refused(data.update_thing_shadow, **light, payload=stale) == ("ConflictException", 409, "Version conflict")
    assert refused(data.update_thing_shadow, **light, payload=b"{")[0] == "InvalidRequestException"
    large = json.dumps({"state": {"desired": {"a": "x" * 9_000}}})
    assert refused(data.update_thing_shadow, **light, payload=large)[:2] == ("RequestEntityTooLargeException", 413)
    assert refused(data.update_thing_shadow, **light, payload=b"\xff")[:2] == (
        "UnsupportedDocumentEncodingException",
        415,
    )
    assert call(data.delete_thing_shadow, **light)["version"] == 1
    assert refused(data.delete_thing_shadow, **light)[1] == 404


def test_named_shadows_come_in_pages(shared: RunningServer) -> None:
    """ListNamedShadowsForThing goes through all names in order, a page at a time, and is empty for an unknown thing."""
    data = shared.client("iot-data")
    names = [f"s{i}" for i in range(5)]
    for name in names:
        data.update_thing_shadow(thingName="many", shadowName=name, payload=b'{"state":{}}')
    found: list[str] = []
    token: dict[str, Any] = {}
    for _ in range(3):
        page = data.list_named_shadows_for_thing(thingName="many", pageSize=2, **token)
        found += page["results"]
        token = {"nextToken": page.get("nextToken")}
    assert (found, token["nextToken"]) == (names, None)
    assert data.list_named_shadows_for_thing(thingName="unknown")["results"] == []


def test_paho_hears_of_the_api_and_answers(shared: RunningServer, keys: Keys, tmp_path: Path) -> None:
    """The whole loop: an app desires, the device gets the delta, reports, and the app sees them agree."""
    data = shared.client("iot-data")
    device = Device("lamp", keys, shared.broker, tmp_path)
    assert device.connect() == "Success"
    device.subscribe("$aws/things/lamp/shadow/update/#")
    data.update_thing_shadow(thingName="lamp", payload=b'{"state":{"desired":{"on":true}}}')
    told = {message.topic.rsplit("/", 1)[1]: json.loads(message.payload) for message in device.wait_for(3)}
    assert told["delta"]["state"] == {"on": True}
    assert told["documents"]["previous"]["version"] == 0
    device.publish("$aws/things/lamp/shadow/update", '{"state":{"reported":{"on":true}},"version":1}')
    assert {message.topic.rsplit("/", 1)[1] for message in device.wait_for(5)[3:]} == {"accepted", "documents"}
    got = call(data.get_thing_shadow, thingName="lamp")
    assert (got["version"], got["state"]) == (2, {"desired": {"on": True}, "reported": {"on": True}})
    device.publish("$aws/things/lamp/shadow/update", '{"state":{"reported":{"on":false}},"version":1}', qos=0)
    last = device.wait_for(6)[5]
    assert (last.topic, json.loads(last.payload)["code"]) == ("$aws/things/lamp/shadow/update/rejected", 409)
    device.close()


def test_policies_say_who_may_ask_and_hear(shared: RunningServer, keys: Keys, tmp_path: Path) -> None:
    """A device whose policy names only its own shadow can neither change nor hear another's, nor forge answers."""
    place = f"arn:aws:iot:{shared.place}"
    own = "$aws/things/${iot:ClientId}/shadow/*"
    shared.client("iot").create_policy(
        policyName="own",
        policyDocument=document(
            allow("iot:Connect", f"{place}:client/*"),
            allow(["iot:Publish", "iot:Receive"], f"{place}:topic/{own}"),
            allow("iot:Subscribe", f"{place}:topicfilter/*"),
        ),
    )
    device = Device("modest", certificate(shared.client, "own"), shared.broker, tmp_path)
    assert device.connect() == "Success"
    device.subscribe("$aws/things/+/shadow/update/accepted")
    shared.client("iot-data").update_thing_shadow(thingName="foreign", payload=b'{"state":{}}')
    device.publish("$aws/things/modest/shadow/update", '{"state":{}}')
    assert [message.topic for message in device.wait_for(1)] == ["$aws/things/modest/shadow/update/accepted"]
    device.client.publish("$aws/things/modest/shadow/update/accepted", "forged", 1)
    assert device.gone.wait(SECONDS)
    assert device.connect() == "Success"
    device.client.publish("$aws/things/foreign/shadow/update", '{"state":{}}', 1)
    assert device.gone.wait(SECONDS)
    assert call(shared.client("iot-data").get_thing_shadow, thingName="foreign")["version"] == 1
    assert len(device.received) == 1


def test_the_device_sdk_for_3_1_1(shared: RunningServer, keys: Keys, tmp_path: Path) -> None:
    """AWS's IotShadowClient over its 3.1.1 builder: update, its accepted and delta events, and a rejected get."""
    paths = files(keys, tmp_path)
    connection = mqtt_connection_builder.mtls_from_path(
        endpoint="localhost", port=shared.info.mqtt_port, ca_filepath=shared.info.ca_file, client_id="sdk3", **paths
    )
    connection.connect().result(SECONDS)
    client = iotshadow.IotShadowClient(connection)
    events: queue.Queue[Any] = queue.Queue()
    qos = mqtt.QoS.AT_LEAST_ONCE
    for subscribe, request in (
        (client.subscribe_to_update_shadow_accepted, iotshadow.UpdateShadowSubscriptionRequest(thing_name="sdk3")),
        (
            client.subscribe_to_shadow_delta_updated_events,
            iotshadow.ShadowDeltaUpdatedSubscriptionRequest(thing_name="sdk3"),
        ),
        (client.subscribe_to_get_shadow_rejected, iotshadow.GetShadowSubscriptionRequest(thing_name="sdk3")),
    ):
        subscribe(request, qos, events.put)[0].result(SECONDS)
    client.publish_get_shadow(iotshadow.GetShadowRequest(thing_name="sdk3", client_token="t"), qos).result(SECONDS)
    rejected = events.get(timeout=SECONDS)
    assert (rejected.code, rejected.client_token) == (404, "t")
    state = iotshadow.ShadowState(desired={"speed": 3})
    client.publish_update_shadow(iotshadow.UpdateShadowRequest(thing_name="sdk3", state=state), qos).result(SECONDS)
    accepted, delta = events.get(timeout=SECONDS), events.get(timeout=SECONDS)
    assert (accepted.state.desired, accepted.version) == ({"speed": 3}, 1)
    assert (delta.state, delta.version) == ({"speed": 3}, 1)
    connection.disconnect().result(SECONDS)


def test_the_device_sdk_for_5(shared: RunningServer, keys: Keys, tmp_path: Path) -> None:
    """AWS's IotShadowClientV2 over its MQTT 5 builder: requests answered as futures, refusals as modelled errors."""
    connected: Future[Any] = Future()
    stopped: Future[Any] = Future()
    client = mqtt5_client_builder.mtls_from_path(
        endpoint="localhost",
        port=shared.info.mqtt_port,
        ca_filepath=shared.info.ca_file,
        client_id="sdk5",
        on_lifecycle_connection_success=connected.set_result,
        on_lifecycle_stopped=stopped.set_result,
        **files(keys, tmp_path),
    )
    client.start()
    connected.result(SECONDS)
    options = ClientOptions(max_request_response_subscriptions=4, max_streaming_subscriptions=2)
    shadow_client = iotshadow.IotShadowClientV2(client, options)
    get = iotshadow.GetNamedShadowRequest(thing_name="sdk5", shadow_name="config")
    with pytest.raises(Exception) as found:
        shadow_client.get_named_shadow(get).result(SECONDS)
    error: Any = found.value
    assert (error.modeled_error.code, error.modeled_error.message) == (404, "No shadow exists with name: 'config'")
    update = iotshadow.UpdateNamedShadowRequest(
        thing_name="sdk5", shadow_name="config", state=iotshadow.ShadowState(reported={"rate": 5})
    )
    assert shadow_client.update_named_shadow(update).result(SECONDS).state.reported == {"rate": 5}
    assert shadow_client.get_named_shadow(get).result(SECONDS).state.reported == {"rate": 5}
    delete = iotshadow.DeleteNamedShadowRequest(thing_name="sdk5", shadow_name="config")
    assert shadow_client.delete_named_shadow(delete).result(SECONDS).version == 1
    del shadow_client
    client.stop()
    stopped.result(SECONDS)


def test_shadows_survive_kill_9(make_server: Callable[..., RunningServer]) -> None:
    """An update that was answered is there after a crash."""
    server = make_server()
    server.client("iot-data").update_thing_shadow(thingName="t", payload=b'{"state":{"desired":{"a":1}}}')
    server.kill()
    server.start()
    assert call(server.client("iot-data").get_thing_shadow, thingName="t")["state"]["desired"] == {"a": 1}


def files(keys: Keys, folder: Path) -> dict[str, str]:
    """The paths of a device's certificate and key, as the SDK's builders take them."""
    made = {"cert_filepath": folder / "device.pem", "pri_key_filepath": folder / "device.key"}
    made["cert_filepath"].write_text(keys.certificate_pem)
    made["pri_key_filepath"].write_text(keys.private_key_pem)
    return {name: str(path) for name, path in made.items()}
