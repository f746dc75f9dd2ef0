"""The MQTT test client: a real device's messages, and why it falls silent."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from playwright.sync_api import Page, expect
from tabs import Tab

from devices import Device
from fleetward.client import clients
from fleetward.simulate.provision import Keys
from running_server import RunningServer

ALLOW = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}'
PASSWORD = "Correct-horse-1"


@pytest.fixture
def device(console_server: RunningServer, tmp_path: Path) -> Any:
    """A factory of connected devices that are things with a certificate of their own."""
    iot, made = console_server.client("iot"), []

    def make(name: str, document: str = ALLOW) -> Device:
        certificate = iot.create_keys_and_certificate(setAsActive=True)
        arn = certificate["certificateArn"]
        iot.create_policy(policyName=f"Policy-{name}", policyDocument=document)
        iot.attach_policy(policyName=f"Policy-{name}", target=arn)
        iot.create_thing(thingName=name)
        iot.attach_thing_principal(thingName=name, principal=arn)
        keys = Keys(arn, certificate["certificatePem"], certificate["keyPair"]["PrivateKey"])
        made.append(Device(name, keys, console_server.broker, tmp_path))
        assert made[-1].connect() == "Success"
        return made[-1]

    yield make
    for one in made:
        one.close()


def subscribe(tab: Tab, text: str) -> Page:
    page = tab.open("/mqtt")
    page.get_by_label("Topic filter").fill(text)
    page.get_by_role("button", name="Subscribe", exact=True).click()
    expect(page.get_by_role("button", name=f"Unsubscribe from {text}")).to_be_visible()
    return page


def test_messages_of_a_device_appear_and_its_isolation_explains_the_silence(
    tab: Tab, console_server: RunningServer, device: Callable[..., Device]
) -> None:
    """What a device publishes appears with topic, size and payload; isolated, the page says why it is quiet."""
    sensor = device("SensorDevice02")
    page = subscribe(tab, "temperature/+")
    sensor.publish("temperature/02", '{"celsius": 21.5}')
    message = page.locator(".message").first
    expect(message).to_contain_text("temperature/02")
    expect(message).to_contain_text("17 B")
    expect(message).to_contain_text("from SensorDevice02")
    page.get_by_role("button", name="JSON").click()
    expect(message.locator("pre")).to_have_text('{\n  "celsius": 21.5\n}')
    page.get_by_role("button", name="Hex").click()
    expect(message.locator("pre")).to_contain_text("7b 22 63")
    console_server.client("fleetward").quarantine_thing(thingName="SensorDevice02", reason="test")
    assert sensor.gone.wait(10)
    assert sensor.connect() != "Success"
    refused = page.get_by_label("Refused meanwhile")
    expect(refused).to_contain_text("2 refused meanwhile")
    expect(refused).to_contain_text(re.compile("SensorDevice02: connection ended or refused 2×, denied by policy "))


def test_a_refused_publish_is_counted_with_its_policy(tab: Tab, device: Callable[..., Device]) -> None:
    """Publishes that a policy denies are told by device, number and policy."""
    deny = ALLOW.replace("]}", ', {"Effect": "Deny", "Action": "iot:Publish", "Resource": "*"}]}')
    muted = device("Muted", deny)
    page = subscribe(tab, "muted/#")
    for _ in range(3):
        muted.client.publish("muted/a", "x", qos=0)
        assert muted.gone.wait(10)
        muted.client.loop_stop()
        assert muted.connect() == "Success"
    expect(page.get_by_label("Refused meanwhile")).to_contain_text("Muted: 3 refused, denied by policy Policy-Muted")


def test_what_devices_send_is_text(tab: Tab, device: Callable[..., Device]) -> None:
    """Markup in topics and payloads is shown, never run."""
    hostile = device("Hostile")
    page = subscribe(tab, "#")
    markup = "<img src=x onerror=alert(1)>{{7*7}}"
    hostile.publish(markup, markup)
    expect(page.locator(".message").first.locator("pre")).to_have_text(markup)
    expect(page.locator(".message-topic").first).to_have_text(markup)


def test_publishing_pausing_and_clearing(tab: Tab, device: Callable[..., Device]) -> None:
    """A message published from the page reaches a device and the page; Pause skips and counts, Clear empties."""
    receiver = device("Receiver")
    receiver.subscribe("to/devices")
    page = subscribe(tab, "to/#")
    page.get_by_label("Topic name").fill("to/devices")
    page.get_by_label("Message payload").fill("hello")
    page.get_by_role("button", name="Publish", exact=True).click()
    assert receiver.wait_for(1)[0].payload == b"hello"
    expect(page.locator(".message")).to_have_count(1)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    page.get_by_role("button", name="Publish", exact=True).click()
    expect(page.get_by_text("1 received, 1 skipped while paused")).to_be_visible()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".message")).to_have_count(0)


def test_watching_takes_the_permissions_of_a_subscriber(console_server: RunningServer) -> None:
    """Without iot:Subscribe nothing can be watched; without iot:Receive on its topic a message is withheld; another's
    watch cannot be read.
    """
    iam, root = console_server.client("iam"), console_server.client("fleetward")
    place = f"arn:aws:iot:{console_server.place}"
    iam.create_user(UserName="watcher")
    document = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["iot:Subscribe", "iot:Receive"],'
        f'"Resource": ["{place}:topicfilter/a/#", "{place}:topic/a/open"]}}]}}'
    )
    iam.put_user_policy(UserName="watcher", PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName="watcher")["AccessKey"]
    info = dataclasses.replace(
        console_server.info, access_key_id=key["AccessKeyId"], secret_access_key=key["SecretAccessKey"]
    )
    own = clients(info)("fleetward")
    with pytest.raises(ClientError, match="iot:Subscribe"):
        own.watch_topics(topicFilters=["a/#", "b"])
    watch = own.watch_topics(topicFilters=["a/#"])["watchId"]
    data = console_server.client("iot-data")
    data.publish(topic="a/open", payload=b"1")
    data.publish(topic="a/secret", payload=b"2")
    seen = own.get_watched_messages(watchId=watch)
    assert [message["topic"] for message in seen["messages"]] == ["a/open"]
    assert seen["withheld"] == 1
    with pytest.raises(ClientError, match="no such watch"):
        root.get_watched_messages(watchId=watch)
    iam.delete_user_policy(UserName="watcher", PolicyName="p")
    with pytest.raises(ClientError, match="iot:Subscribe"):
        own.get_watched_messages(watchId=watch)
