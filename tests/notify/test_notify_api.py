"""The sns operations through the real door: boto3 as it is, and links followed without a signature."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import uvicorn
from botocore.config import Config
from botocore.exceptions import ClientError
from notify_helpers import ARNS, FUNCTION, House, house

from fleetward.access import keys
from fleetward.access.authorizer import Authorizer
from fleetward.access.keyring import KeyRing
from fleetward.api import operations, topics
from fleetward.api.call import Rooms
from fleetward.api.door import make_door
from fleetward.api.serialise import Response
from fleetward.store.tables.base import metadata


@dataclass
class Served:
    home: House
    sns: Any
    url: str

    def token(self) -> str:
        """The token in the newest mail of the outbox, once it is there."""
        (mail, *_) = asyncio.run(self.home.until(self.home.mails))
        return str(mail["body"].partition("Token=")[2].split()[0])


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setitem(operations.REGISTRY, "sns", (topics,))
    operations.find.cache_clear()
    home = house(tmp_path, lambda: time.time_ns() // 1_000_000)
    metadata.create_all(home.database.engine)
    with home.database.transaction(home.clock()) as tx:
        keys.ensure_root_key(tx, ARNS, "AKIATEST", "secret")
    rooms = Rooms(
        *(home.settings, ARNS, home.clock, home.database, KeyRing(home.database)),
        authorizer=Authorizer(home.database, ARNS),
        notifier=home.notifier,
    )
    page = {
        home.notifier.certificate_path: lambda: Response(200, home.notifier.certificate_pem, "application/x-pem-file")
    }
    server = uvicorn.Server(uvicorn.Config(make_door(rooms, page), port=0, log_config=None, lifespan="off"))
    started = threading.Event()

    async def run() -> None:
        await home.notifier.start()
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        home.base_url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        started.set()
        await serving
        await home.notifier.stop()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert started.wait(10)
    sns = boto3.client(
        "sns",
        endpoint_url=home.base_url,
        region_name="us-east-1",
        aws_access_key_id="AKIATEST",
        aws_secret_access_key="secret",
        config=Config(retries={"max_attempts": 1}),
    )
    yield Served(home, sns, home.base_url)
    sns.close()
    server.should_exit = True
    thread.join()
    home.database.close()
    operations.find.cache_clear()


@contextlib.contextmanager
def refused(code: str, text: str) -> Iterator[None]:
    with pytest.raises(ClientError) as refusal:
        yield
    error = refusal.value.response["Error"]
    assert (error["Code"], error["Message"]) == (code, text)


def test_topics(served: Served) -> None:
    """Topics are created, listed, described, changed, tagged and deleted, with AWS's answers and errors."""
    sns = served.sns
    arn = sns.create_topic(Name="BadIoTDevices", Tags=[{"Key": "k", "Value": "v"}])["TopicArn"]
    assert arn == "arn:aws:sns:us-east-1:123456789012:BadIoTDevices"
    assert sns.create_topic(Name="BadIoTDevices", Tags=[{"Key": "k", "Value": "v"}])["TopicArn"] == arn
    with refused("InvalidParameter", "Invalid parameter: Tags Reason: Topic already exists with different tags"):
        sns.create_topic(Name="BadIoTDevices", Tags=[{"Key": "k", "Value": "w"}])
    with refused(
        "InvalidParameter", "Invalid parameter: Attributes Reason: Topic already exists with different attributes"
    ):
        sns.create_topic(Name="BadIoTDevices", Attributes={"DisplayName": "x"})
    with refused("InvalidParameter", "Invalid parameter: Topic Name"):
        sns.create_topic(Name="bad name")
    assert [topic["TopicArn"] for topic in sns.list_topics()["Topics"]] == [arn]
    sns.set_topic_attributes(TopicArn=arn, AttributeName="DisplayName", AttributeValue="Fleet")
    with refused("InvalidParameter", "Invalid parameter: AttributeName"):
        sns.set_topic_attributes(TopicArn=arn, AttributeName="Colour", AttributeValue="red")
    attributes = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert (attributes["DisplayName"], attributes["Owner"], attributes["SubscriptionsConfirmed"]) == (
        *("Fleet", "123456789012", "0"),
    )
    sns.tag_resource(ResourceArn=arn, Tags=[{"Key": "l", "Value": "w"}])
    sns.untag_resource(ResourceArn=arn, TagKeys=["k"])
    assert sns.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "l", "Value": "w"}]
    with refused("InvalidParameter", "Invalid parameter: Duplicated keys are not allowed."):
        sns.tag_resource(ResourceArn=arn, Tags=[{"Key": "l", "Value": "1"}, {"Key": "l", "Value": "2"}])
    sns.delete_topic(TopicArn=arn)
    sns.delete_topic(TopicArn=arn)
    with refused("NotFound", "Topic does not exist"):
        sns.get_topic_attributes(TopicArn=arn)
    with refused("ResourceNotFound", "Resource does not exist"):
        sns.list_tags_for_resource(ResourceArn=arn)


def test_topics_come_in_pages(served: Served) -> None:
    """ListTopics gives 100 topics a page and all of them over the pages."""
    for number in range(105):
        served.home.topic(f"topic-{number:03d}")
    pages = list(served.sns.get_paginator("list_topics").paginate())
    assert [len(page["Topics"]) for page in pages] == [100, 5]


def test_mail_subscription_by_link(served: Served) -> None:
    """E-mail: pending until the link is followed without a signature; ended by the link in the message."""
    sns = served.sns
    topic = sns.create_topic(Name="BadIoTDevices")["TopicArn"]
    answer = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="ops@example.com")
    assert answer["SubscriptionArn"] == "pending confirmation"
    arn = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="ops@example.com", ReturnSubscriptionArn=True)
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert [one["SubscriptionArn"] for one in listed] == ["PendingConfirmation"]
    attributes = sns.get_subscription_attributes(SubscriptionArn=arn["SubscriptionArn"])["Attributes"]
    assert (attributes["PendingConfirmation"], attributes["ConfirmationWasAuthenticated"]) == ("true", "false")
    link = f"{served.url}/?Action=ConfirmSubscription&TopicArn={topic}&Token={served.token()}"
    confirmed = httpx.get(link)
    assert confirmed.status_code == 200
    assert f"<SubscriptionArn>{arn['SubscriptionArn']}</SubscriptionArn>" in confirmed.text
    assert [one["SubscriptionArn"] for one in sns.list_subscriptions()["Subscriptions"]] == [arn["SubscriptionArn"]]
    left = httpx.get(f"{served.url}/?Action=Unsubscribe&SubscriptionArn={arn['SubscriptionArn']}")
    assert left.status_code == 200
    assert sns.list_subscriptions()["Subscriptions"] == []
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsDeleted"] == "1"


def test_a_person_who_follows_a_link_sees_a_page(served: Served) -> None:
    """A browser gets a readable page with AWS's status; names in the link are text there, never markup."""
    browser = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
    topic = served.sns.create_topic(Name="BadIoTDevices")["TopicArn"]
    served.sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="ops@example.com")
    link = f"{served.url}/?Action=ConfirmSubscription&TopicArn={topic}&Token="
    broken = httpx.get(f"{link}<script>", headers=browser)
    assert (broken.status_code, broken.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert "This link does not work" in broken.text
    assert "<script" not in broken.text
    assert "default-src 'none'" in broken.headers["content-security-policy"]
    confirmed = httpx.get(f"{link}{served.token()}", headers=browser)
    assert confirmed.status_code == 200
    assert "<h1>Subscription confirmed</h1>" in confirmed.text
    assert "messages of the topic BadIoTDevices." in confirmed.text
    (subscription,) = served.sns.list_subscriptions()["Subscriptions"]
    arn = subscription["SubscriptionArn"]
    left = httpx.get(f"{served.url}/?Action=Unsubscribe&SubscriptionArn={arn}", headers=browser)
    assert "Subscription removed" in left.text
    assert "topic BadIoTDevices." in left.text
    assert httpx.get(f"{served.url}/?Action=ListTopics", headers=browser).headers["content-type"] == "text/xml"


def test_ordering_is_for_other_topics(served: Served) -> None:
    """A standard topic takes a message group, which is for queues, and refuses a deduplication id, in batches too."""
    sns = served.sns
    topic = sns.create_topic(Name="BadIoTDevices")["TopicArn"]
    assert sns.publish(TopicArn=topic, Message="m", MessageGroupId="fleet-7")["MessageId"]
    text = (
        "Invalid parameter: MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter "
        "that is not valid for this topic type"
    )
    with refused("InvalidParameter", text):
        sns.publish(TopicArn=topic, Message="m", MessageDeduplicationId="1")
    with pytest.raises(ClientError, match="MessageGroupId"):
        sns.publish(TopicArn=topic, Message="m", MessageGroupId="two words")
    entries = [{"Id": "a", "Message": "m"}, {"Id": "b", "Message": "m", "MessageDeduplicationId": "1"}]
    answer = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    assert [one["Id"] for one in answer["Successful"]] == ["a"]
    assert [(one["Id"], one["Code"], one["Message"]) for one in answer["Failed"]] == [("b", "InvalidParameter", text)]


def test_confirmation_by_the_api(served: Served) -> None:
    """A signed ConfirmSubscription confirms as well, and can protect the subscription from unsigned ends."""
    sns = served.sns
    topic = sns.create_topic(Name="BadIoTDevices")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="ops@example.com")
    with refused("InvalidParameter", "Invalid token"):
        sns.confirm_subscription(TopicArn=topic, Token="nonsense")
    token = served.token()
    arn = sns.confirm_subscription(TopicArn=topic, Token=token, AuthenticateOnUnsubscribe="true")["SubscriptionArn"]
    attributes = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert (attributes["PendingConfirmation"], attributes["ConfirmationWasAuthenticated"]) == ("false", "true")
    link = f"{served.url}/?Action=Unsubscribe&SubscriptionArn={arn}"
    assert httpx.get(link).status_code == 403
    sns.unsubscribe(SubscriptionArn=arn)
    sns.unsubscribe(SubscriptionArn=arn)


def test_function_subscription_and_its_attributes(served: Served) -> None:
    """A function is confirmed at once; its filter policy is set, shown, checked and taken away."""
    sns = served.sns
    topic = sns.create_topic(Name="BadIoTDevices")["TopicArn"]
    arn = sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=FUNCTION)["SubscriptionArn"]
    assert arn.startswith(topic + ":")

    def put(name: str, value: str) -> None:
        sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName=name, AttributeValue=value)

    put("FilterPolicyScope", "MessageBody")
    put("FilterPolicy", '{"violationEventType":["in-alarm"]}')
    attributes = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert (attributes["FilterPolicy"], attributes["FilterPolicyScope"], attributes["RawMessageDelivery"]) == (
        *('{"violationEventType":["in-alarm"]}', "MessageBody", "false"),
    )
    wrong = "Invalid parameter: FilterPolicy: Only one key allowed in match expression"
    with refused("InvalidParameter", wrong):
        put("FilterPolicy", '{"k":[{"prefix":"a","suffix":"b"}]}')
    with refused("InvalidParameter", "Invalid parameter: AttributeName"):
        put("Colour", "red")
    with refused(
        "InvalidParameter",
        "Invalid parameter: FilterPolicyScope: Invalid value [x]. Please use either MessageBody or MessageAttributes",
    ):
        put("FilterPolicyScope", "x")
    with refused("InvalidParameter", "Invalid parameter: RedrivePolicy: deadLetterTargetArn is an invalid arn"):
        put("RedrivePolicy", '{"deadLetterTargetArn":"x"}')
    put("FilterPolicy", "")
    assert "FilterPolicy" not in sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    with refused(
        "InvalidParameter",
        "Invalid parameter: Attributes Reason: RawMessageDelivery: Invalid value [x]. Must be true or false.",
    ):
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@b.c", Attributes={"RawMessageDelivery": "x"})
    with refused("NotFound", "Subscription does not exist"):
        sns.get_subscription_attributes(SubscriptionArn=f"{topic}:00000000-0000-0000-0000-000000000000")
    with refused("InvalidParameter", "Invalid parameter: Amazon SNS does not support this protocol string: sqs"):
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:123456789012:q")


def test_publishing(served: Served) -> None:
    """Publish and PublishBatch reach the function with subject and attributes; a bad entry fails alone."""
    sns = served.sns
    topic = sns.create_topic(Name="BadIoTDevices")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=FUNCTION)
    attributes = {
        "size": {"DataType": "Number", "StringValue": "30210"},
        "raw": {"DataType": "Binary", "BinaryValue": b"x"},
    }
    message_id = sns.publish(TopicArn=topic, Message="one", Subject="s", MessageAttributes=attributes)["MessageId"]
    asyncio.run(served.home.settled(message_id))
    ((_, event, _),) = served.home.functions.queued
    record = event["Records"][0]["Sns"]
    assert (record["MessageId"], record["Subject"]) == (message_id, "s")
    assert record["MessageAttributes"] == {
        "size": {"Type": "Number", "Value": "30210"},
        "raw": {"Type": "Binary", "Value": "eA=="},
    }
    batch = sns.publish_batch(
        TopicArn=topic,
        PublishBatchRequestEntries=[{"Id": "1", "Message": "two"}, {"Id": "2", "Message": "x", "Subject": "a\nb"}],
    )
    assert [one["Id"] for one in batch["Successful"]] == ["1"]
    assert [(one["Id"], one["Code"]) for one in batch["Failed"]] == [("2", "InvalidParameter")]
    twice = [{"Id": "1", "Message": "a"}, {"Id": "1", "Message": "b"}]
    text = "Two or more batch entries in the request have the same Id."
    with refused("BatchEntryIdsNotDistinct", text):
        sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=twice)
    with refused("InvalidParameter", "Invalid parameter: Message too long"):
        sns.publish(TopicArn=topic, Message="x" * 262_145)
    with refused("NotFound", "Topic does not exist"):
        sns.publish(TopicArn=topic + "x", Message="x")


def test_certificate_is_served_to_anyone(served: Served) -> None:
    """The certificate is under its path without a signature."""
    answer = httpx.get(served.url + served.home.notifier.certificate_path)
    assert (answer.status_code, answer.content) == (200, served.home.notifier.certificate_pem)
