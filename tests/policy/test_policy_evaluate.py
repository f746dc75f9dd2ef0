"""The decision: effects, actions, resources and variables."""

import json
import time
from typing import Any

import pytest

from fleetward.policy.document import Policy, parse
from fleetward.policy.evaluate import Effect, Outcome, evaluate

ARN = "arn:aws:iot:us-east-1:123456789012:"
CONTEXT = {
    "iot:ClientId": "SensorDevice02",
    "iot:Connection.Thing.ThingName": "SensorDevice02",
    "iot:Connection.Thing.Attributes[floor]": "3",
    "iot:Certificate.Subject.CommonName": "AWS IoT Certificate",
}


def document(*statements: dict[str, Any], version: str = "2012-10-17") -> str:
    return json.dumps({"Version": version, "Statement": list(statements)})


def policy(effect: str, action: Any, resource: Any, name: str = "p", **more: Any) -> Policy:
    return parse(document({"Effect": effect, "Action": action, "Resource": resource, **more}), name)


ALLOW_ALL = policy("Allow", "*", "*", "allow-all")


def decide(resource: str, *patterns: str, effect: str = "Allow", client_id: str = "SensorDevice02") -> Effect:
    """What a policy on iot:Publish with these resources says of `resource`, a name after the account."""
    context = {**CONTEXT, "iot:ClientId": client_id}
    policies = [policy(effect, "iot:Publish", [ARN + pattern for pattern in patterns])]
    return evaluate(policies, "iot:Publish", ARN + resource, context).effect


class TestEffects:
    def test_nothing_allows(self) -> None:
        """Without a statement that applies, the answer is an implicit deny, made by nothing."""
        assert evaluate([], "iot:Publish", ARN + "topic/a", {}) == Outcome(Effect.IMPLICIT_DENY, None, None)

    def test_an_allow_names_its_statement(self) -> None:
        """The outcome names the policy and the statement, counted from 0, that decided."""
        text = document(
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
            {"Effect": "Allow", "Action": "iot:Publish", "Resource": "*"},
        )
        outcome = evaluate([parse(text, "device")], "iot:Publish", ARN + "topic/a", {})
        assert outcome == Outcome(Effect.ALLOWED, "device", 1)
        assert outcome.allowed

    def test_an_explicit_deny_wins_wherever_it_stands(self) -> None:
        """The story's deny-all on a group beats the certificate's allow, whichever comes first."""
        deny_all = policy("Deny", "iot:*", "*", "deny-all")
        for policies in ([deny_all, ALLOW_ALL], [ALLOW_ALL, deny_all]):
            outcome = evaluate(policies, "iot:Connect", ARN + "client/SensorDevice02", CONTEXT)
            assert outcome == Outcome(Effect.EXPLICIT_DENY, "deny-all", 0)
            assert not outcome.allowed

    def test_policies_may_come_as_an_iterator(self) -> None:
        """Policies are read once, so a generator will do."""
        assert evaluate((p for p in [ALLOW_ALL]), "iot:Publish", "arn:aws:iot:::topic/a", {}).allowed


class TestActions:
    @pytest.mark.parametrize(
        ("pattern", "action", "covered"),
        [
            ("*", "iot:Publish", True),
            ("iot:*", "iot:Publish", True),
            ("iot:*", "greengrass:Discover", False),
            ("iot:Conn*", "iot:Connect", True),
            ("iot:Conn*", "iot:Publish", False),
            ("iot:connect", "iot:Connect", True),
            ("IOT:CONNECT", "iot:Connect", True),
            ("iot:?onnect", "iot:Connect", True),
            ("iot:Publish", "iot:PublishRetain", False),
        ],
    )
    def test_actions_match_without_case_and_with_wildcards(self, pattern: str, action: str, covered: bool) -> None:
        """Action names compare without case; `*` and `?` are wildcards."""
        assert evaluate([policy("Allow", pattern, "*")], action, ARN + "x", {}).allowed is covered

    def test_not_action_covers_all_others(self) -> None:
        """NotAction applies to every action that it does not list."""
        but = parse(document({"Effect": "Allow", "NotAction": ["iot:Connect", "iot:Pub*"], "Resource": "*"}))
        verdicts = {
            action: evaluate([but], action, ARN + "x", {}).allowed
            for action in ("iot:Connect", "iot:Publish", "iot:Receive")
        }
        assert verdicts == {"iot:Connect": False, "iot:Publish": False, "iot:Receive": True}


class TestResources:
    @pytest.mark.parametrize(
        ("pattern", "resource", "covered"),
        [
            ("topic/a", "topic/a", True),
            ("topic/a", "topic/A", False),
            ("topic/a", "topic/ab", False),
            ("topic/*", "topic/a/b/c", True),
            ("topic/*/c", "topic/a/b/c", True),
            ("topic/*/c", "topic/c", False),
            ("topic/a*a", "topic/a", False),
            ("topic/?", "topic/a", True),
            ("topic/?", "topic/ab", False),
            ("topic/?*", "topic/", False),
            ("topic/?b*d?", "topic/abccde", True),
            ("topicfilter/a/+/b", "topicfilter/a/x/b", False),
            ("topicfilter/a/+/b", "topicfilter/a/+/b", True),
            ("topicfilter/a/#", "topicfilter/a/b", False),
            ("topicfilter/a/#", "topicfilter/a/#", True),
            ("topic/${*}", "topic/*", True),
            ("topic/${*}", "topic/a", False),
            ("topic/${?}", "topic/?", True),
            ("topic/${?}", "topic/a", False),
            ("topic/${$}{iot:ClientId}", "topic/${iot:ClientId}", True),
            ("topic/$aws/things/x", "topic/$aws/things/x", True),
            ("topic/$", "topic/$", True),
        ],
    )
    def test_wildcards_cross_levels_and_mqtt_wildcards_are_literals(
        self, pattern: str, resource: str, covered: bool
    ) -> None:
        """`*` crosses `/`, `?` is one character, `+` and `#` are themselves, `${*}` is a star."""
        assert (decide(resource, pattern) is Effect.ALLOWED) is covered

    def test_not_resource_covers_all_others(self) -> None:
        """NotResource applies to every resource that it does not list."""
        but = parse(document({"Effect": "Allow", "Action": "*", "NotResource": [ARN + "topic/a*", ARN + "topic/?"]}))
        verdicts = [evaluate([but], "iot:Publish", f"{ARN}topic/{name}", {}).allowed for name in ("ab", "b", "bc")]
        assert verdicts == [False, False, True]


class TestVariables:
    def test_a_variable_stands_for_the_requests_value(self) -> None:
        """`${iot:ClientId}` and its kin are put in, in any spelling of the key's case."""
        assert decide("topic/SensorDevice02/t", "topic/${iot:ClientId}/t") is Effect.ALLOWED
        assert decide("topic/SensorDevice02/t", "topic/${IOT:clientid}/*") is Effect.ALLOWED
        assert decide("topic/SensorDevice01/t", "topic/${iot:ClientId}/t") is Effect.IMPLICIT_DENY
        assert decide("topic/floor-3", "topic/floor-${iot:Connection.Thing.Attributes[floor]}") is Effect.ALLOWED
        assert decide("topic/x3SensorDevice02y", "topic/?${iot:Connection.Thing.Attributes[floor]}*?") is Effect.ALLOWED

    def test_a_missing_variable_matches_nothing(self) -> None:
        """A resource whose variable has no value matches nothing, not even its own text; its neighbours still do."""
        missing = "topic/${iot:Connection.Thing.Attributes[room]}"
        for effect in ("Allow", "Deny"):
            assert decide(missing, missing, effect=effect) is Effect.IMPLICIT_DENY
            assert decide("topic/", missing, effect=effect) is Effect.IMPLICIT_DENY
        assert decide("topic/a", missing, "topic/a") is Effect.ALLOWED

    def test_attribute_names_keep_their_case(self) -> None:
        """Of `Attributes[x]`, only what is before the bracket may be spelled in any case."""
        assert decide("topic/3", "topic/${IOT:connection.thing.attributes[floor]}") is Effect.ALLOWED
        assert decide("topic/3", "topic/${iot:Connection.Thing.Attributes[Floor]}") is Effect.IMPLICIT_DENY

    @pytest.mark.parametrize("client_id", ["*", "?", "+", "#", "Sensor*", "a+b", "$x"])
    def test_a_client_id_with_wildcards_gains_nothing(self, client_id: str) -> None:
        """In an Allow, a value with wildcard characters is not put in, not even as itself."""
        for resource in (f"topicfilter/{client_id}/cmd", "topicfilter/SensorDevice01/cmd"):
            for pattern in ("topicfilter/${iot:ClientId}/cmd", "topicfilter/*${iot:ClientId}*"):
                assert decide(resource, pattern, client_id=client_id) is Effect.IMPLICIT_DENY

    @pytest.mark.parametrize("client_id", ["*", "?", "+", "#", "Sensor*", "a+b", "$x"])
    def test_a_client_id_with_wildcards_does_not_slip_past_a_deny(self, client_id: str) -> None:
        """In a Deny the value is put in, and stands for itself alone."""
        for pattern in ("client/${iot:ClientId}", "client/*${iot:ClientId}", "client/${iot:ClientId}*"):
            assert decide(f"client/{client_id}", pattern, effect="Deny", client_id=client_id) is Effect.EXPLICIT_DENY
            other = decide("client/SensorDevice01", pattern, effect="Deny", client_id=client_id)
            assert other is Effect.IMPLICIT_DENY

    def test_several_values_are_no_variable(self) -> None:
        """A key that turns out to have several values is not put in."""
        open_policy = parse(document({"Effect": "Allow", "Action": "*", "Resource": "arn:${a:b}"}), keys=None)
        assert not evaluate([open_policy], "iot:Publish", "arn:x", {"a:b": ("x",)}).allowed
        assert evaluate([open_policy], "iot:Publish", "arn:x", {"a:b": "x"}).allowed

    @pytest.mark.parametrize(("effect", "outcome"), [("Allow", Effect.IMPLICIT_DENY), ("Deny", Effect.EXPLICIT_DENY)])
    def test_an_unresolved_exception_is_no_exception(self, effect: str, outcome: Effect) -> None:
        """NotResource with a variable that has no value neither widens an Allow nor narrows a Deny."""
        pattern = ARN + "topic/${iot:Connection.Thing.ThingName}"
        but = parse(document({"Effect": effect, "Action": "*", "NotResource": pattern}))
        assert evaluate([but], "iot:Publish", ARN + "topic/x", {}).effect is outcome


class TestKeys:
    def test_with_any_key_accepted_their_case_does_not_matter(self) -> None:
        """Without a list of keys, a document's keys are found in the context whatever their case."""
        text = document(
            {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"Bool": {"AWS:securetransport": "false"}}}
        )
        outcome = evaluate([parse(text, keys=None), ALLOW_ALL], "s3:Get", "arn:x", {"aws:SecureTransport": "false"})
        assert outcome.effect is Effect.EXPLICIT_DENY


class TestTime:
    @pytest.mark.parametrize(
        "pattern",
        [
            "*" + "a*" * 400 + "b",
            "*" + "a?" * 400 + "b",
            "*" + "?a*" * 400 + "b",
            "${iot:ClientId}" + "*a?" * 400 + "b",
        ],
    )
    def test_a_hostile_topic_is_decided_in_linear_time(self, pattern: str) -> None:
        """A pattern that ruins backtracking matchers is decided on a 64 KiB topic in well under a second."""
        context = {"iot:ClientId": "a"}
        rules = [policy("Allow", "iot:Publish", "arn:" + pattern)]
        began = time.perf_counter()
        assert not evaluate(rules, "iot:Publish", "arn:" + "a" * 65_536, context).allowed
        assert time.perf_counter() - began < 1
