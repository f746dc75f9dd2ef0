"""Policies and what they amount to, and the small operations of iot, through boto3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from registry_house import RegistryHouse, refusal

INVALID, MISSING = ("InvalidRequestException", 400), ("ResourceNotFoundException", 404)
ARN = "arn:aws:iot:us-east-1:123456789012:"


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def statement(effect: str, action: str, resource: str, **condition: Any) -> dict[str, Any]:
    made = {"Effect": effect, "Action": action, "Resource": resource}
    return {**made, "Condition": condition} if condition else made


ALLOW_ALL = document(statement("Allow", "iot:*", "*"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryHouse]:
    made = RegistryHouse(tmp_path_factory.mktemp("policies"))
    yield made
    made.close()


@pytest.fixture
def iot(registry: RegistryHouse) -> Any:
    return registry.iot


class TestAttachments:
    def test_older_words(self, registry: RegistryHouse, iot: Any) -> None:
        """The older operations on principals do what today's do on certificates."""
        certificate = registry.certificate()
        for name in ("OldA", "OldB"):
            iot.create_policy(policyName=name, policyDocument=ALLOW_ALL)
            iot.attach_principal_policy(policyName=name, principal=certificate)
        iot.create_thing_group(thingGroupName="OldGroup")
        iot.attach_policy(policyName="OldA", target=registry.arn("thinggroup", "OldGroup"))
        assert iot.list_policy_principals(policyName="OldA")["principals"] == [certificate]
        assert len(iot.list_targets_for_policy(policyName="OldA")["targets"]) == 2
        names = [row["policyName"] for row in iot.list_principal_policies(principal=certificate)["policies"]]
        assert names == ["OldA", "OldB"]
        down = iot.list_principal_policies(principal=certificate, ascendingOrder=False, pageSize=1)
        assert [row["policyName"] for row in down["policies"]] == ["OldB"]
        iot.detach_principal_policy(policyName="OldA", principal=certificate)
        assert [row["policyName"] for row in iot.list_attached_policies(target=certificate)["policies"]] == ["OldB"]
        group = registry.arn("thinggroup", "OldGroup")
        assert refusal(iot.attach_principal_policy, policyName="OldA", principal=group)[:2] == INVALID

    def test_recursive(self, registry: RegistryHouse, iot: Any) -> None:
        """A group's policies include its ancestors' when asked."""
        iot.create_thing_group(thingGroupName="Above")
        iot.create_thing_group(thingGroupName="Below", parentGroupName="Above")
        iot.create_policy(policyName="FromAbove", policyDocument=ALLOW_ALL)
        iot.attach_policy(policyName="FromAbove", target=registry.arn("thinggroup", "Above"))
        below = registry.arn("thinggroup", "Below")
        assert iot.list_attached_policies(target=below)["policies"] == []
        found = iot.list_attached_policies(target=below, recursive=True)["policies"]
        assert [row["policyName"] for row in found] == ["FromAbove"]

    @pytest.mark.parametrize("version", ["0", "9", "99999999999999999999", "1" * 6000])
    def test_versions_that_there_are_not(self, iot: Any, version: str) -> None:
        """A version's id that no version has is not found, however large it is."""
        if not any(row["policyName"] == "Versioned" for row in iot.list_policies(pageSize=250)["policies"]):
            iot.create_policy(policyName="Versioned", policyDocument=ALLOW_ALL, tags=[{"Key": "k", "Value": "v"}])
        assert refusal(iot.get_policy_version, policyName="Versioned", policyVersionId=version)[:2] == MISSING
        assert iot.list_tags_for_resource(resourceArn=ARN + "policy/Versioned")["tags"] == [{"Key": "k", "Value": "v"}]


@pytest.fixture(scope="module")
def fleet(registry: RegistryHouse) -> str:
    """A certificate that lets each of its things be itself; thing `two` is in a group that denies."""
    iot = registry.iot
    itself = statement(
        "Allow",
        "iot:Connect",
        ARN + "client/${iot:Connection.Thing.ThingName}",
        Bool={"iot:Connection.Thing.IsAttached": "true"},
    )
    home = statement("Allow", "iot:Publish", ARN + "topic/home/*", IpAddress={"aws:SourceIp": "10.0.0.0/8"})
    iot.create_policy(policyName="Itself", policyDocument=document(itself))
    iot.create_policy(policyName="Home", policyDocument=document(home))
    iot.create_policy(policyName="Nothing", policyDocument=document(statement("Deny", "iot:*", "*")))
    certificate = registry.certificate(setAsActive=True)
    for name in ("Itself", "Home"):
        iot.attach_policy(policyName=name, target=certificate)
    iot.create_thing_group(thingGroupName="Isolated")
    iot.attach_policy(policyName="Nothing", target=registry.arn("thinggroup", "Isolated"))
    for thing in ("one", "two"):
        iot.create_thing(thingName=thing)
        iot.attach_thing_principal(thingName=thing, principal=certificate)
    iot.add_thing_to_thing_group(thingName="two", thingGroupName="Isolated")
    return certificate


def connect_as(client_id: str) -> list[dict[str, Any]]:
    return [{"actionType": "CONNECT", "resources": [f"{ARN}client/{client_id}"]}]


def names(policies: dict[str, Any]) -> list[str]:
    return sorted(row["policyName"] for row in policies["policies"])


class TestAuthorization:
    @pytest.mark.parametrize(
        ("client_id", "decision"),
        [("one", "ALLOWED"), ("two", "EXPLICIT_DENY"), ("three", "IMPLICIT_DENY"), ("", "IMPLICIT_DENY")],
    )
    def test_decisions(self, iot: Any, fleet: str, client_id: str, decision: str) -> None:
        """The decision is the gateway's: thing variables and group policies bind by client id."""
        asked = {"clientId": client_id} if client_id else {}
        wanted = connect_as(client_id or "one")
        [result] = iot.test_authorization(principal=fleet, authInfos=wanted, **asked)["authResults"]
        assert result["authDecision"] == decision
        assert result["authInfo"] == wanted[0]
        if decision == "ALLOWED":
            assert names(result["allowed"]) == ["Itself"]
            assert names(result["denied"]["implicitDeny"]) == ["Home"]
        if decision == "EXPLICIT_DENY":
            assert names(result["denied"]["explicitDeny"]) == ["Nothing"]
            assert names(result["allowed"]) == ["Itself"]

    def test_missing_context(self, iot: Any, fleet: str) -> None:
        """What a policy looks at and nobody can know beforehand is named."""
        wanted = [{"actionType": "PUBLISH", "resources": [ARN + "topic/home/a"]}]
        [result] = iot.test_authorization(principal=fleet, authInfos=wanted, clientId="one")["authResults"]
        assert (result["authDecision"], result["missingContextValues"]) == ("IMPLICIT_DENY", ["aws:SourceIp"])

    def test_policies_to_try(self, iot: Any, fleet: str) -> None:
        """Policies can be added and left out; a certificate is not needed for those that are added."""
        test = iot.test_authorization
        [freed] = test(principal=fleet, authInfos=connect_as("two"), clientId="two", policyNamesToSkip=["Nothing"])[
            "authResults"
        ]
        assert freed["authDecision"] == "ALLOWED"
        [stopped] = test(principal=fleet, authInfos=connect_as("one"), clientId="one", policyNamesToAdd=["Nothing"])[
            "authResults"
        ]
        assert stopped["authDecision"] == "EXPLICIT_DENY"
        iot.create_policy(policyName="Free", policyDocument=ALLOW_ALL)
        [alone] = test(authInfos=connect_as("x"), policyNamesToAdd=["Free"])["authResults"]
        assert (alone["authDecision"], names(alone["allowed"])) == ("ALLOWED", ["Free"])
        several = [{"actionType": "CONNECT", "resources": [f"{ARN}client/one", f"{ARN}client/other"]}]
        [mixed] = test(principal=fleet, authInfos=several, clientId="one")["authResults"]
        assert mixed["authDecision"] == "IMPLICIT_DENY"

    def test_refusals(self, iot: Any, fleet: str) -> None:
        """Somebody who is not there, nothing to judge by, no ARN and Cognito are refused."""
        test, wanted = iot.test_authorization, connect_as("one")
        assert refusal(test, authInfos=wanted)[:2] == INVALID
        assert refusal(test, authInfos=wanted, principal=ARN + "cert/" + "0" * 64)[:2] == MISSING
        assert refusal(test, authInfos=wanted, policyNamesToAdd=["NoSuch"])[:2] == MISSING
        bare = [{"actionType": "CONNECT", "resources": ["one"]}]
        assert refusal(test, authInfos=bare, principal=fleet)[:2] == INVALID
        cognito = {"cognitoIdentityPoolId": "us-east-1:pool"}
        assert refusal(test, authInfos=wanted, principal=fleet, **cognito)[0] == "NotImplementedException"
        assert refusal(iot.get_effective_policies, **cognito)[0] == "NotImplementedException"

    def test_effective_policies(self, registry: RegistryHouse, iot: Any, fleet: str) -> None:
        """The policies that bind a certificate, a thing, a group, or a certificate connecting as a thing."""

        def effective(**whom: str) -> list[str]:
            answer = iot.get_effective_policies(**whom)["effectivePolicies"]
            assert all(json.loads(row["policyDocument"])["Statement"] for row in answer)
            return [row["policyName"] for row in answer]

        assert effective(principal=fleet) == ["Home", "Itself"]
        assert effective(principal=fleet, thingName="two") == ["Home", "Itself", "Nothing"]
        assert effective(thingName="two") == ["Nothing"]
        assert effective(principal=registry.arn("thinggroup", "Isolated")) == ["Nothing"]
        assert effective(principal=registry.certificate(), thingName="two") == []
        assert refusal(iot.get_effective_policies)[:2] == INVALID
        assert refusal(iot.get_effective_policies, thingName="nobody")[:2] == MISSING
        assert refusal(iot.get_effective_policies, principal=ARN + "cert/" + "0" * 64)[:2] == MISSING


class TestAccount:
    def test_endpoints(self, iot: Any) -> None:
        """The data endpoints are the broker; those that lead nowhere are refused by name."""
        assert iot.describe_endpoint()["endpointAddress"] == "127.0.0.1"
        assert iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"] == "127.0.0.1"
        for kind in ("iot:Jobs", "iot:CredentialProvider", "iot:Nonsense"):
            code, status, message = refusal(iot.describe_endpoint, endpointType=kind)
            assert (code, status) == INVALID
            assert kind in message

    def test_tags(self, registry: RegistryHouse, iot: Any) -> None:
        """Tags go on groups, types, policies, CAs and profiles, not on things and certificates; AWS's are reserved."""
        iot.create_thing_group(thingGroupName="Tagged")
        arn = registry.arn("thinggroup", "Tagged")
        iot.tag_resource(resourceArn=arn, tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
        iot.untag_resource(resourceArn=arn, tagKeys=["a"])
        assert iot.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "b", "Value": "2"}]
        for tags in ([{"Key": "aws:x", "Value": ""}], [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]):
            assert refusal(iot.tag_resource, resourceArn=arn, tags=tags)[:2] == INVALID
        many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
        assert refusal(iot.tag_resource, resourceArn=arn, tags=many)[:2] == ("LimitExceededException", 410)
        iot.create_thing(thingName="untagged")
        assert refusal(iot.list_tags_for_resource, resourceArn=registry.arn("thing", "untagged"))[:2] == INVALID
        other = arn.replace("us-east-1", "eu-west-1")
        assert refusal(iot.list_tags_for_resource, resourceArn=other)[:2] == INVALID
        assert refusal(iot.list_tags_for_resource, resourceArn=arn + "x")[:2] == MISSING

    def test_logging_options(self, iot: Any) -> None:
        """Logging options are kept as they were set, the older apart from the newer; unset ones are not configured."""
        role = "arn:aws:iam::123456789012:role/Logs"
        assert refusal(iot.get_v2_logging_options)[:2] == ("NotConfiguredException", 404)
        assert iot.get_logging_options()["logLevel"] == "DISABLED"
        iot.set_logging_options(loggingOptionsPayload={"roleArn": role, "logLevel": "WARN"})
        iot.set_v2_logging_options(roleArn=role, defaultLogLevel="ERROR")
        iot.set_v2_logging_options(disableAllLogs=True)
        shown = iot.get_v2_logging_options()
        assert (shown["roleArn"], shown["defaultLogLevel"], shown["disableAllLogs"]) == (role, "ERROR", True)
        assert iot.get_logging_options()["logLevel"] == "WARN"

    def test_event_configurations(self, iot: Any) -> None:
        """Each type of event is on or off; an update changes those that it names."""
        shown = iot.describe_event_configurations()["eventConfigurations"]
        assert not any(kind["Enabled"] for kind in shown.values())
        iot.update_event_configurations(eventConfigurations={"THING": {"Enabled": True}, "JOB": {"Enabled": True}})
        iot.update_event_configurations(eventConfigurations={"JOB": {"Enabled": False}})
        answer = iot.describe_event_configurations()
        assert {kind for kind, is_on in answer["eventConfigurations"].items() if is_on["Enabled"]} == {"THING"}
        assert answer["lastModifiedDate"] >= answer["creationDate"]
        wrong = {"eventConfigurations": {"NONSENSE": {"Enabled": True}}}
        assert refusal(iot.update_event_configurations, **wrong)[:2] == INVALID
