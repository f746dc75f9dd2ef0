"""The SNS message of an alert."""

from __future__ import annotations

import dataclasses
import json
import uuid

from fleetward.alarm import message
from fleetward.model import AlarmEvent, AlarmKind, Behavior, Explanation, Operator, StaticCriterion

CAPTURED = (
    '{"violationEventTime":1573786800000,"thingName":"dev-IZWB","behavior":{"criteria":{"consecutiveDatapointsToClear":1,'
    '"value":{"count":10},"durationSeconds":300,"consecutiveDatapointsToAlarm":1,"comparisonOperator":"less-than"},'
    '"name":"MessagesPub","metric":"aws:num-messages-sent"},"violationEventType":"in-alarm","metricValue":{"count":54},'
    '"violationId":"37e18651d207bbc74236c13faf146127","securityProfileName":"MySecProfile"}'
)
"""A real message of AWS."""

SENT = "aws:num-messages-sent"
FORM = {
    "name": "MessagesPub",
    "metric": SENT,
    "criteria": {
        "comparisonOperator": "less-than",
        "value": {"count": 10},
        "durationSeconds": 300,
        "consecutiveDatapointsToAlarm": 1,
        "consecutiveDatapointsToClear": 1,
    },
}
EVENT = AlarmEvent(
    AlarmKind.IN_ALARM,
    "37e18651d207bbc74236c13faf146127",
    "dev-IZWB",
    Behavior("MySecProfile", "MessagesPub", SENT, StaticCriterion(Operator.LESS_THAN, 10), 300),
    1_573_786_800_000,
    54,
)
WHY = Explanation(SENT, 54, "less-than", 10, "messages", 1_573_786_500_000, 1_573_786_800_000)


def test_as_captured_at_aws() -> None:
    """The message is byte for byte the one AWS sends, with the verification state as a further key."""
    assert message.alert(message.told(EVENT), json.dumps(FORM)) == CAPTURED[:-1] + ',"verificationState":"UNKNOWN"}'


def test_the_explanation_only_adds_keys() -> None:
    """What Fleetward has to say beyond AWS comes after all of AWS's keys."""
    text = message.alert(message.told(dataclasses.replace(EVENT, explanation=WHY)), json.dumps(FORM))
    assert text.startswith(CAPTURED[:-1] + ',"verificationState":"UNKNOWN","explanation":{"summary":')
    assert json.loads(text)["explanation"] == {
        "summary": "54 messages against the bound of 10 messages",
        "metric": SENT,
        "value": 54,
        "operator": "less-than",
        "threshold": 10,
        "unit": "messages",
        "windowStart": 1_573_786_500_000,
        "windowEnd": 1_573_786_800_000,
        "datapoints": 1,
        "early": False,
        "topics": [],
    }


def test_an_invalidation_has_no_value_but_a_reason() -> None:
    """An invalidation carries no metricValue; its reason is a further key, and so is its verification state."""
    ended = dataclasses.replace(EVENT, kind=AlarmKind.INVALIDATED, value=None, reason="released")
    told = json.loads(message.alert(message.told(ended), json.dumps(FORM), "TRUE_POSITIVE"))
    assert "metricValue" not in told
    assert (told["violationEventType"], told["verificationState"], told["reason"]) == (
        "alarm-invalidated",
        "TRUE_POSITIVE",
        "released",
    )


def test_percentiles_and_flags_are_shown() -> None:
    """A statistical criterion shows its statistic and a behaviour its flags; members that are absent stay away."""
    form = {
        "name": "B",
        "metric": SENT,
        "suppressAlerts": True,
        "criteria": {
            "comparisonOperator": "less-than",
            "durationSeconds": 300,
            "statisticalThreshold": {"statistic": "p50"},
        },
    }
    assert json.loads(message.alert(message.told(EVENT), json.dumps(form)))["behavior"] == form


def test_a_hostile_topic_cannot_outgrow_sns() -> None:
    """Eight topics of the largest size a device can use still make a message that SNS takes (256 KiB)."""
    topics = tuple((chr(0x1F600 + number) * 16_000, 1, 1) for number in range(8))
    event = dataclasses.replace(EVENT, explanation=dataclasses.replace(WHY, topics=topics))
    assert len(message.alert(message.told(event), json.dumps(FORM)).encode()) < 20_000


def test_message_ids() -> None:
    """An event's MessageId is a UUID that is the same at every telling and differs between a violation's events."""
    again = dataclasses.replace(EVENT, time=0, value=0)
    cleared = dataclasses.replace(EVENT, kind=AlarmKind.CLEARED)
    assert message.message_id(EVENT) == message.message_id(again)
    assert message.message_id(EVENT) != message.message_id(cleared)
    assert str(uuid.UUID(message.message_id(EVENT))) == message.message_id(EVENT)
