"""Deliveries over real sockets: HTTP, SMTP, the local outbox and the functions queue."""

from __future__ import annotations

import asyncio
import email
import json
from email.policy import default
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from notify_helpers import FUNCTION, House, ManualClock, Receiver, SmtpSink, house, verify

from fleetward import errors
from fleetward.notify.channels import http
from fleetward.notify.message import timestamp
from fleetward.store.tables.functions import invocations
from fleetward.store.tables.notify import deliveries

ALERT = '{"violationEventType":"in-alarm","thingName":"SensorDevice02"}'


async def confirmed(house: House, endpoint: Receiver, topic: str, path: str = "/hook", **attributes: str) -> str:
    arn = house.subscribe(topic, "http", endpoint.url + path, **attributes)
    await house.until(lambda: endpoint.requests)
    request = endpoint.requests.pop()
    assert house.confirm(topic, request.json["Token"]) == arn
    return arn


async def test_confirmation_request(running: House, endpoint: Receiver) -> None:
    """An http endpoint is sent a signed SubscriptionConfirmation whose link carries topic and token."""
    topic = running.topic()
    running.subscribe(topic, "http", endpoint.url + "/hook")
    await running.until(lambda: endpoint.requests)
    request = endpoint.requests[0]
    document = request.json
    assert list(document) == [
        *("Type", "MessageId", "Token", "TopicArn", "Message", "SubscribeURL", "Timestamp"),
        *("SignatureVersion", "Signature", "SigningCertURL"),
    ]
    assert document["Message"] == (
        f"You have chosen to subscribe to the topic {topic}.\n"
        "To confirm the subscription, visit the SubscribeURL included in this message."
    )
    link = parse_qs(urlsplit(document["SubscribeURL"]).query)
    assert link == {"Action": ["ConfirmSubscription"], "TopicArn": [topic], "Token": [document["Token"]]}
    assert request.headers["x-amz-sns-message-type"] == "SubscriptionConfirmation"
    assert "x-amz-sns-subscription-arn" not in request.headers
    verify(document, running.notifier.certificate_pem)


@pytest.mark.parametrize("version", ["1", "2"])
async def test_notification_verifies_from_its_certificate_url(running: House, endpoint: Receiver, version: str) -> None:
    """A subscriber can verify a notification with the certificate fetched from SigningCertURL, in both versions."""
    running.base_url = endpoint.url
    endpoint.pages[running.notifier.certificate_path] = running.notifier.certificate_pem
    topic = running.topic(SignatureVersion=version)
    arn = await confirmed(running, endpoint, topic)
    message_id = running.publish(topic, 'häßlich\n"text"', subject="Grüße")
    await running.settled(message_id)
    request = endpoint.requests[0]
    document = request.json
    assert document["SignatureVersion"] == version
    async with httpx.AsyncClient() as client:
        certificate = (await client.get(document["SigningCertURL"])).content
    verify(document, certificate)
    with pytest.raises(InvalidSignature):
        verify({**document, "Message": "forged"}, certificate)
    assert document["MessageId"] == message_id == request.headers["x-amz-sns-message-id"]
    assert document["UnsubscribeURL"] == f"{endpoint.url}/?Action=Unsubscribe&SubscriptionArn={arn}"
    assert document["Timestamp"] == timestamp(running.clock())
    assert "MessageAttributes" not in document
    assert {name: request.headers[name] for name in ("content-type", "user-agent", "accept-encoding")} == {
        "content-type": "text/plain; charset=UTF-8",
        "user-agent": "Amazon Simple Notification Service Agent",
        "accept-encoding": "gzip,deflate",
    }
    assert request.headers["x-amz-sns-topic-arn"] == topic
    assert request.headers["x-amz-sns-subscription-arn"] == arn


async def test_raw_delivery(running: House, endpoint: Receiver) -> None:
    """Raw delivery posts the bare message with the raw header, under the content type of the delivery policy."""
    topic = running.topic()
    policy = '{"requestPolicy":{"headerContentType":"application/json"}}'
    await confirmed(running, endpoint, topic, RawMessageDelivery="true", DeliveryPolicy=policy)
    await running.settled(running.publish(topic, ALERT))
    request = endpoint.requests[0]
    assert request.body.decode() == ALERT
    assert request.headers["x-amz-sns-rawdelivery"] == "true"
    assert request.headers["content-type"] == "application/json"


async def test_failed_http_delivery_is_retried_with_the_same_message_id(running: House, endpoint: Receiver) -> None:
    """After a 503, 429 or 500 the delivery is tried again 20 s later, three times, always under the same MessageId."""
    topic = running.topic()
    await confirmed(running, endpoint, topic)
    endpoint.script = [503, 429, 500, 200]
    message_id = running.publish(topic, ALERT)
    clock = running.clock
    assert isinstance(clock, ManualClock)
    for attempt in range(1, 4):
        await running.until(lambda n=attempt: running.log(message_id=message_id)[0]["attempts"] == n)
        row = running.log(message_id=message_id)[0]
        assert (row["status"], row["next_at"]) == ("pending", clock.now + 20_000)
        clock.now += 20_000
        running.notifier.wake()
    (row,) = await running.settled(message_id)
    assert (row["status"], row["attempts"], row["code"], row["error"]) == ("delivered", 4, 200, None)
    assert {request.json["MessageId"] for request in endpoint.requests} == {message_id}


async def test_give_up_after_the_last_retry(running: House, endpoint: Receiver) -> None:
    """When every retry of the policy has failed the delivery has failed, and the log says why."""
    topic = running.topic()
    policy = {"healthyRetryPolicy": {"numRetries": 2, "numNoDelayRetries": 2, "minDelayTarget": 1}}
    await confirmed(running, endpoint, topic, DeliveryPolicy=json.dumps(policy))
    endpoint.script = [500]
    (row,) = await running.settled(running.publish(topic, ALERT))
    assert (row["status"], row["attempts"], row["code"]) == ("failed", 3, 500)
    assert row["error"] == "the endpoint answered 500"


@pytest.mark.parametrize("status", [400, 404, 410, 302])
async def test_client_error_is_final(running: House, endpoint: Receiver, status: int) -> None:
    """A 4xx other than 429 and a redirect are final: no retry, and the redirect is not followed."""
    topic = running.topic()
    await confirmed(running, endpoint, topic)
    endpoint.script, endpoint.extra = [status], b"Location: /elsewhere\r\n"
    (row,) = await running.settled(running.publish(topic, ALERT))
    assert (row["status"], row["attempts"], row["code"]) == ("failed", 1, status)
    assert len(endpoint.requests) == 1


async def test_slow_endpoint_delays_nobody(running: House, endpoint: Receiver) -> None:
    """While one endpoint holds every attempt and has a backlog, another endpoint and a function are served at once."""
    topic, other = running.topic("Slow"), running.topic("Fast")
    await confirmed(running, endpoint, topic)
    endpoint.script = [0]
    for _ in range(300):
        running.publish(topic, ALERT)
    await running.until(lambda: len(endpoint.requests) == 4)
    running.subscribe(other, "lambda", FUNCTION)
    await running.settled(running.publish(other, ALERT))
    assert len(running.functions.queued) == 1
    assert len(endpoint.requests) == 4
    assert running.notifier.counts()["pending"] == 300


async def test_stop_leaves_undelivered_rows_due(home: House, endpoint: Receiver) -> None:
    """Stopping ends within five seconds even when an endpoint hangs; the delivery is made after the next start."""
    await home.notifier.start()
    topic = home.topic()
    await confirmed(home, endpoint, topic)
    endpoint.script = [0]
    message_id = home.publish(topic, ALERT)
    await home.until(lambda: endpoint.requests)
    async with asyncio.timeout(5):
        await home.notifier.stop()
    assert home.log(message_id=message_id)[0]["status"] == "pending"
    endpoint.script = [200]
    await home.notifier.start()
    (row,) = await home.settled(message_id)
    await home.notifier.stop()
    assert (row["status"], row["attempts"]) == ("delivered", 1)


async def test_hung_up_endpoint_is_worth_a_retry(running: House, endpoint: Receiver) -> None:
    """An endpoint that cannot be reached leaves the delivery pending with the reason."""
    topic = running.topic()
    arn = await confirmed(running, endpoint, topic)
    free = endpoint.url.rpartition(":")[0] + ":1"
    with running.database.transaction(running.clock()) as tx:
        tx.execute(sa.text("UPDATE subscriptions SET endpoint = :e WHERE id = :id"), {"e": free, "id": arn[-36:]})
    message_id = running.publish(topic, ALERT)
    await running.until(lambda: running.log(message_id=message_id)[0]["attempts"] == 1)
    row = running.log(message_id=message_id)[0]
    assert row["status"] == "pending"
    assert row["error"].startswith("ConnectError")


async def test_silent_endpoint_times_out(running: House, endpoint: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that does not answer in time is tried again later."""
    topic = running.topic()
    await confirmed(running, endpoint, topic)
    monkeypatch.setattr(http, "TIMEOUT_SECONDS", 0.1)
    endpoint.script = [0]
    message_id = running.publish(topic, ALERT)
    await running.until(lambda: running.log(message_id=message_id)[0]["attempts"] == 1)
    row = running.log(message_id=message_id)[0]
    assert (row["status"], row["error"]) == ("pending", "no answer within 0.1 seconds")


@pytest.mark.parametrize("content", [b"x" * 5_000_000, b"short"])
async def test_answers_are_read_within_bounds(running: House, endpoint: Receiver, content: bytes) -> None:
    """However long the body of an answer is, its status counts and the body is not taken in."""
    topic = running.topic()
    await confirmed(running, endpoint, topic)
    endpoint.content = content
    (row,) = await running.settled(running.publish(topic, ALERT))
    assert (row["status"], row["code"]) == ("delivered", 200)


async def test_loopback_needs_no_proxy(home: House, endpoint: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy of the environment is not asked for endpoints on loopback."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    await home.notifier.start()
    home.subscribe(home.topic(), "http", endpoint.url)
    await home.until(lambda: endpoint.requests)
    await home.notifier.stop()


# --- functions --------------------------------------------------------------------------------------------------------


async def test_lambda_event_has_aws_shape(running: House) -> None:
    """A function receives exactly AWS's event: one record, Subject null, empty MessageAttributes, …Url spellings."""
    topic = running.topic()
    arn = running.subscribe(topic, "lambda", FUNCTION)
    message_id = running.publish(topic, ALERT)
    (row,) = await running.settled(message_id)
    ((name, event, source_id),) = running.functions.queued
    assert (name, source_id, row["status"]) == ("IsolateDevice", str(row["delivery"]), "handed over")
    (record,) = event["Records"]
    assert list(record) == ["EventSource", "EventVersion", "EventSubscriptionArn", "Sns"]
    assert (record["EventSource"], record["EventVersion"], record["EventSubscriptionArn"]) == ("aws:sns", "1.0", arn)
    sns = record["Sns"]
    assert list(sns) == [
        *("Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp", "SignatureVersion", "Signature"),
        *("SigningCertUrl", "UnsubscribeUrl", "MessageAttributes"),
    ]
    assert (sns["Subject"], sns["MessageAttributes"], sns["Message"]) == (None, {}, ALERT)
    verify({key: value for key, value in sns.items() if value is not None}, running.notifier.certificate_pem)


async def test_function_without_permission_is_refused_with_the_remedy(running: House) -> None:
    """A function whose policy does not let SNS in is not invoked, and the log says which command permits it."""
    topic = running.topic()
    running.subscribe(topic, "lambda", FUNCTION)
    running.functions.permits = False
    (row,) = await running.settled(running.publish(topic, ALERT))
    assert (row["status"], row["code"], running.functions.queued) == ("failed", 403, [])
    assert "aws lambda add-permission --function-name IsolateDevice" in row["error"]
    assert topic in row["error"]


async def test_failure_of_the_function_shows_on_the_delivery(running: House) -> None:
    """What became of the invocation, and the function's error, are read from the delivery log."""
    topic = running.topic()
    running.subscribe(topic, "lambda", FUNCTION)
    message_id = running.publish(topic, ALERT)
    await running.settled(message_id)
    with running.database.transaction(running.clock()) as tx:
        error = "NameError: name 'os' is not defined"
        tx.execute(sa.update(invocations).values(status="failed", attempts=3, last_error=error))
    (row,) = running.log(message_id=message_id)
    assert (row["invocation_status"], row["invocation_attempts"], row["error"]) == ("failed", 3, error)
    assert (row["status"], row["subscription_arn"].rpartition(":")[0]) == ("handed over", topic)


async def test_refused_hand_over_leaves_no_half(running: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the functions room refuses the invocation, the delivery has failed with its words and nothing was queued."""

    def refuse(*_: object) -> str:
        raise errors.TooManyRequests("The queue of IsolateDevice is full")

    monkeypatch.setattr(running.notifier._doors, "enqueue", refuse)
    topic = running.topic()
    running.subscribe(topic, "lambda", FUNCTION)
    (row,) = await running.settled(running.publish(topic, ALERT))
    assert (row["status"], row["error"]) == ("failed", "The queue of IsolateDevice is full")


async def test_one_refused_hand_over_of_several(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of deliveries that end together, the one whose invocation is refused fails alone, and the others happen once."""
    enqueue = home.notifier._doors.enqueue

    def refuse_one(tx: Any, name: str, payload: bytes, source: str, source_id: str) -> str:
        if b"poison" in payload:
            raise errors.RequestTooLarge("too large")
        return enqueue(tx, name, payload, source, source_id)

    monkeypatch.setattr(home.notifier._doors, "enqueue", refuse_one)
    topic = home.topic()
    home.subscribe(topic, "lambda", FUNCTION)
    published = [home.publish(topic, text) for text in ("one", "poison", "two")]
    await home.notifier.start()
    rows = [row for message in published for row in await home.settled(message)]
    await home.notifier.stop()
    assert [(row["status"], row["error"]) for row in rows] == [
        ("handed over", None),
        ("failed", "too large"),
        ("handed over", None),
    ]
    assert [row["attempts"] for row in rows] == [1, 1, 1]
    told = [event["Records"][0]["Sns"]["Message"] for _, event, _ in home.functions.queued]
    assert told == ["one", "two"]


# --- e-mail -----------------------------------------------------------------------------------------------------------


async def confirmed_mail(running: House, topic: str, protocol: str = "email") -> str:
    arn = running.subscribe(topic, protocol, "ops@example.com")
    (mail,) = await running.until(running.mails)
    token = mail["body"].partition("Token=")[2].split()[0].strip('",')
    assert running.confirm(topic, token) == arn
    return arn


async def test_mail_lands_in_the_local_outbox(running: House) -> None:
    """Without an SMTP server the confirmation and the message are readable in the local outbox."""
    topic = running.topic()
    arn = await confirmed_mail(running, topic)
    await running.settled(running.publish(topic, "disk full"))
    mail, confirmation = running.mails()
    assert confirmation["subject"] == "AWS Notification - Subscription Confirmation"
    assert (mail["subject"], mail["recipient"]) == ("AWS Notification Message", "ops@example.com")
    assert mail["body"].startswith("disk full\n")
    assert f"{running.base_url}/?Action=Unsubscribe&SubscriptionArn={arn}" in mail["body"]


async def test_alarm_mail_is_for_people(running: House) -> None:
    """An alarm's mail has its own subject, the sentences for people first, and the JSON that others get below."""
    topic = running.topic()
    await confirmed_mail(running, topic)
    text = "SensorDevice02 sent 30,210 B against the p50 of 260 B."
    message_id = running.publish(topic, ALERT, email_text=text, email_subject="Alarm:\r\nBcc: x@y.z SensorDevice02")
    await running.settled(message_id)
    mail = running.mails()[0]
    assert mail["subject"] == "Alarm: Bcc: x@y.z SensorDevice02"
    assert mail["body"].startswith(text)
    assert ALERT in mail["body"]


async def test_email_json_carries_the_signed_document(running: House) -> None:
    """email-json subscribers get the HTTP document, which verifies, as the mail's body."""
    topic = running.topic()
    await confirmed_mail(running, topic, "email-json")
    await running.settled(running.publish(topic, ALERT, subject="An alarm"))
    mail = running.mails()[0]
    document = json.loads(mail["body"])
    verify(document, running.notifier.certificate_pem)
    assert (mail["subject"], document["Message"]) == ("An alarm", ALERT)


async def test_mail_goes_out_by_smtp(tmp_path: Path, smtp: SmtpSink) -> None:
    """With an SMTP server mails go there, with a Message-ID that stays the same, and not into the outbox."""
    made = house(tmp_path, smtp_host="127.0.0.1", smtp_port=smtp.port, smtp_tls="none", smtp_sender="fleet@example.com")
    await made.notifier.start()
    topic = made.topic(DisplayName="Fleet, alerts")
    made.subscribe(topic, "email", "ops@example.com")
    await made.until(lambda: smtp.mails)
    confirmation = email.message_from_bytes(smtp.mails[0][2], policy=default)
    made.confirm(topic, confirmation.get_content().partition("Token=")[2].split()[0])
    smtp.script = ["451 try later", "250 ok"]
    message_id = made.publish(topic, ".leading dot\n" + "ü" * 2000, subject="Größe")
    await made.until(lambda: made.log(message_id=message_id)[0]["attempts"] == 1)
    row = made.log(message_id=message_id)[0]
    assert (row["status"], row["code"], row["next_at"] - made.clock()) == ("pending", 451, 10_000)
    made.clock.now += 10_000  # type: ignore[attr-defined]
    made.notifier.wake()
    (row,) = await made.settled(message_id)
    sender, recipient, data = smtp.mails[1]
    mail = email.message_from_bytes(data, policy=default)
    assert (sender, recipient, row["status"]) == ("fleet@example.com", "ops@example.com", "delivered")
    assert (mail["Subject"], mail["From"]) == ("Größe", '"Fleet, alerts" <fleet@example.com>')
    assert confirmation["From"] == "fleet@example.com"
    assert mail["Message-ID"] == f"<{message_id}.{row['delivery']}@example.com>"
    assert mail.get_content().replace("\r\n", "\n").startswith(".leading dot\n" + "ü" * 2000)
    assert made.mails() == []
    await made.notifier.stop()
    made.database.close()


async def test_refused_recipient_is_final(tmp_path: Path, smtp: SmtpSink) -> None:
    """A recipient that the SMTP server refuses for good is not tried again."""
    made = house(tmp_path, smtp_host="127.0.0.1", smtp_port=smtp.port, smtp_tls="none")
    smtp.script = ["550 no such user"]
    await made.notifier.start()
    topic = made.topic()
    made.subscribe(topic, "email", "nobody@example.com")
    (row,) = await made.until(lambda: [one for one in made.log(topic) if one["status"] != "pending"])
    assert (row["status"], row["code"], row["kind"]) == ("failed", 550, "SubscriptionConfirmation")
    await made.notifier.stop()
    made.database.close()


# --- leaving ----------------------------------------------------------------------------------------------------------


async def test_unsubscribing_tells_the_endpoint_how_to_come_back(running: House, endpoint: Receiver) -> None:
    """Ending a subscription sends an UnsubscribeConfirmation with a new token, which restores it."""
    topic = running.topic()
    arn = await confirmed(running, endpoint, topic)
    with running.database.transaction(running.clock()) as tx:
        running.notifier.unsubscribe(tx, arn)
    await running.until(lambda: endpoint.requests)
    request = endpoint.requests.pop()
    document = request.json
    assert request.headers["x-amz-sns-message-type"] == document["Type"] == "UnsubscribeConfirmation"
    assert document["Message"] == (
        f"You have chosen to deactivate subscription {arn}.\n"
        "To cancel this operation and restore the subscription, visit the SubscribeURL included in this message."
    )
    verify(document, running.notifier.certificate_pem)
    assert running.log(message_id=running.publish(topic, "gone")) == []
    assert running.confirm(topic, document["Token"]) == arn
    await running.settled(running.publish(topic, "back"))
    assert endpoint.requests[0].json["Message"] == "back"


async def test_delivery_to_an_ended_subscription_is_discarded(home: House) -> None:
    """What was published before a subscription ended, and is still pending then, is not delivered any more."""
    topic = home.topic()
    arn = home.subscribe(topic, "lambda", FUNCTION)
    message_id = home.publish(topic, ALERT)
    with home.database.transaction(home.clock()) as tx:
        home.notifier.unsubscribe(tx, arn)
    await home.notifier.start()
    (row,) = await home.settled(message_id)
    await home.notifier.stop()
    assert (row["status"], home.functions.queued) == ("discarded", [])


async def test_each_delivery_is_made_once(running: House) -> None:
    """A delivery is made once however often the deliverer is woken."""
    topic = running.topic()
    running.subscribe(topic, "lambda", FUNCTION)
    for _ in range(20):
        running.publish(topic, ALERT)
        running.notifier.wake()
    await running.until(lambda: running.notifier.counts()["handed over"] == 20)
    with running.database.read() as look:
        assert look.scalar(sa.select(sa.func.max(deliveries.c.attempts))) == 1
    assert len(running.functions.queued) == 20
