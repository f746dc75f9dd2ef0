"""E-mails that wait for one address in numbers are one mail; nothing else changes."""

from __future__ import annotations

import email
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from notify_helpers import FUNCTION, House, SmtpSink, house

from fleetward.notify import courier

ADDRESS = "ops@example.com"


async def confirmed(home: House, topic: str, protocol: str = "email") -> None:
    """Subscribes ADDRESS, and confirms that; the notifier is stopped then."""
    home.subscribe(topic, protocol, ADDRESS)
    (mail, *_) = await home.until(home.mails)
    home.confirm(topic, mail["body"].partition("Token=")[2].split()[0].strip('",'))
    await home.notifier.stop()


def publish(home: House, topic: str, count: int) -> list[str]:
    """Alerts, as they wait while nobody delivers."""
    return [
        home.publish(topic, f'{{"number":{n}}}', email_subject=f"ALARM: device {n:04}", email_text=f"Device {n} fell.")
        for n in range(count)
    ]


def single_mails(home: House) -> list[dict[str, Any]]:
    return [mail for mail in home.mails() if mail["subject"].startswith("ALARM: device")]


def digests(home: House) -> list[dict[str, Any]]:
    return [mail for mail in home.mails() if "notifications: ALARM" in mail["subject"]]


async def test_many_that_wait_are_one_mail(running: House) -> None:
    """One mail tells how many they are, a line of each, the first as they would have come alone, and how to leave."""
    topic = running.topic()
    await confirmed(running, topic)
    sent = publish(running, topic, 30)
    await running.notifier.start()
    for message_id in sent:
        (row,) = await running.settled(message_id)
        assert (row["status"], row["attempts"]) == ("delivered", 1)
    (digest,) = digests(running)
    assert single_mails(running) == []
    assert digest["subject"] == "30 notifications: ALARM: device 0000 and 29 more"
    assert digest["recipient"] == ADDRESS
    told = [line.partition("  ")[2] for line in digest["body"].splitlines()]
    assert [line for line in told if line] == [f"ALARM: device {n:04}" for n in range(30)]
    assert digest["body"].count("The alert as other subscribers receive it") == courier.WHOLE
    assert 'Device 19 fell.\n\nThe alert as other subscribers receive it:\n\n{"number":19}\n' in digest["body"]
    assert digest["body"].count("Action=Unsubscribe") == 1


@pytest.mark.parametrize(("above", "count"), [(20, 20), (0, 30)])
async def test_a_few_or_a_setting_of_0_are_mails_of_their_own(tmp_path: Path, above: int, count: int) -> None:
    """What does not exceed the setting comes as ever, one mail each; 0 means that nothing ever exceeds it."""
    home = house(tmp_path, email_digest_above=above)
    await home.notifier.start()
    topic = home.topic()
    await confirmed(home, topic)
    sent = publish(home, topic, count)
    await home.notifier.start()
    for message_id in sent:
        await home.settled(message_id)
    await home.notifier.stop()
    assert (len(single_mails(home)), digests(home)) == (count, [])
    assert single_mails(home)[0]["body"].startswith("Device ")
    home.database.close()


async def test_email_json_comes_one_by_one(running: House) -> None:
    """Programs read it, so each message is a mail of its own however many wait."""
    topic = running.topic()
    await confirmed(running, topic, "email-json")
    before = len(running.mails())
    sent = publish(running, topic, 30)
    await running.notifier.start()
    for message_id in sent:
        await running.settled(message_id)
    assert (len(running.mails()), digests(running)) == (before + 30, [])


async def test_functions_get_each_alert(running: House) -> None:
    """A function is invoked once for each message, with the text as it was published, however many wait."""
    topic = running.topic()
    running.subscribe(topic, "lambda", FUNCTION)
    await running.notifier.stop()
    publish(running, topic, 30)
    await running.notifier.start()
    await running.until(lambda: len(running.functions.queued) == 30)
    texts = {event["Records"][0]["Sns"]["Message"] for _, event, _ in running.functions.queued}
    assert texts == {f'{{"number":{n}}}' for n in range(30)}


async def test_more_than_one_digest_holds(running: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too much for one digest comes in several, each alert in exactly one; a small rest comes as mails."""
    monkeypatch.setattr(courier, "TOGETHER", 30)
    topic = running.topic()
    await confirmed(running, topic)
    sent = publish(running, topic, 100)
    await running.notifier.start()
    for message_id in sent:
        await running.settled(message_id)
    assert len(digests(running)) == 3
    told = [line for mail in digests(running) for line in mail["body"].splitlines() if "Z  ALARM" in line]
    told += [mail["subject"] for mail in single_mails(running)]
    assert sorted(line[-4:] for line in told) == [f"{n:04}" for n in range(100)]


async def test_a_digest_that_cannot_be_sent_is_tried_again(tmp_path: Path, smtp: SmtpSink) -> None:
    """When the server refuses it for now all of them wait, and go out together later, with what has come meanwhile."""
    home = house(tmp_path, smtp_host="127.0.0.1", smtp_port=smtp.port, smtp_tls="none")
    await home.notifier.start()
    topic = home.topic()
    home.subscribe(topic, "email", ADDRESS)
    await home.until(lambda: smtp.mails)
    confirmation = email.message_from_bytes(smtp.mails.pop()[2], policy=default)
    home.confirm(topic, confirmation.get_content().partition("Token=")[2].split()[0])
    await home.notifier.stop()
    smtp.script = ["451 try later", "250 ok"]
    sent = publish(home, topic, 30)
    await home.notifier.start()
    await home.until(lambda: all(home.log(message_id=one)[0]["attempts"] == 1 for one in sent))
    (row,) = home.log(message_id=sent[-1])
    assert (row["status"], row["code"], row["next_at"] - home.clock()) == ("pending", 451, 10_000)
    await home.notifier.stop()
    home.clock.now += 10_000  # type: ignore[attr-defined]
    sent += publish(home, topic, 5)
    await home.notifier.start()
    for message_id in sent:
        (row,) = await home.settled(message_id)
        assert row["status"] == "delivered"
    mail = email.message_from_bytes(smtp.mails[-1][2], policy=default)
    assert mail["Subject"] == "35 notifications: ALARM: device 0000 and 34 more"
    await home.notifier.stop()
    home.database.close()


async def test_headings_forge_nothing(running: House) -> None:
    """A subject with line breaks is one line of the digest, and a message without one has a line all the same."""
    topic = running.topic()
    await confirmed(running, topic)
    sent = publish(running, topic, 20)
    sent += [running.publish(topic, "bare"), running.publish(topic, "x", email_subject="a\r\nBcc: victim@example.com")]
    await running.notifier.start()
    for message_id in sent:
        await running.settled(message_id)
    (digest,) = digests(running)
    lines = digest["body"].splitlines()
    assert sum(line.endswith("Z  AWS Notification Message") for line in lines) == 1
    assert sum(line.endswith("Z  a Bcc: victim@example.com") for line in lines) == 1
