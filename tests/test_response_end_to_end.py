"""Reports, custom metrics, automatic mitigation and metrics export through the public doors of a running server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devices import Device
from fleetward.simulate.provision import Keys
from running_server import RunningServer, until

ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
DENY = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "iot:*", "Resource": "*"}]}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def role(server: RunningServer, name: str, *actions: str) -> str:
    """The ARN of a role that IoT may assume to do these things."""
    iam = server.client("iam")
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}],
    }
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(document))
    return str(made)


def device(server: RunningServer, name: str, folder: Path) -> Device:
    """A registered thing with a certificate of its own, connected."""
    iot = server.client("iot")
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.create_thing(thingName=name)
    iot.attach_thing_principal(thingName=name, principal=made["certificateArn"])
    iot.attach_policy(policyName="allow", target=made["certificateArn"])
    keys = Keys(made["certificateArn"], made["certificatePem"], made["keyPair"]["PrivateKey"])
    connected = Device(name, keys, server.broker, folder)
    assert connected.connect() == "Success"
    return connected


def report(report_id: int, temperature: float) -> str:
    customs = {"temperature": [{"number": temperature}]}
    return json.dumps({"header": {"report_id": report_id, "version": "1.0"}, "custom_metrics": customs})


def isolating_profile(server: RunningServer, **more: Any) -> None:
    """A profile on the custom metric that isolates by itself."""
    iot = server.client("iot")
    iot.create_custom_metric(metricName="temperature", metricType="number", displayName="")
    iot.create_thing_group(thingGroupName="IsolatedDevices")
    iot.create_policy(policyName="deny", policyDocument=json.dumps(DENY))
    iot.attach_policy(policyName="deny", target=f"arn:aws:iot:{server.place}:thinggroup/IsolatedDevices")
    iot.create_mitigation_action(
        actionName="isolate",
        roleArn=role(server, "mitigation", "iot:AddThingToThingGroup"),
        actionParams={"addThingsToThingGroupParams": {"thingGroupNames": ["IsolatedDevices"]}},
    )
    criteria = {"comparisonOperator": "less-than", "value": {"number": 50.0}}
    iot.create_security_profile(
        securityProfileName="Hot",
        behaviors=[{"name": "hot", "metric": "temperature", "criteria": criteria, "exportMetric": True}],
        tags=[{"Key": "mitigation-actions", "Value": "isolate"}],
        **more,
    )
    iot.attach_security_profile(
        securityProfileName="Hot", securityProfileTargetArn=f"arn:aws:iot:{server.place}:all/things"
    )


def test_a_report_isolates_its_device(server: RunningServer, tmp_path: Path) -> None:
    """A report that breaks a behaviour on a custom metric has its device isolated, and is exported; nobody else is."""
    iot = server.client("iot")
    iot.create_policy(policyName="allow", policyDocument=json.dumps(ALLOW))
    export = {"mqttTopic": "exported", "roleArn": role(server, "export", "iot:Publish")}
    isolating_profile(server, metricsExportConfig=export)
    cool, hot, observer = (device(server, name, tmp_path) for name in ("cool", "hot", "observer"))
    for one in (cool, hot):
        one.subscribe(f"$aws/things/{one.client._client_id.decode()}/defender/metrics/json/+")
    observer.subscribe("exported")
    cool.publish("$aws/things/cool/defender/metrics/json", report(1, 20))
    assert json.loads(cool.wait_for(1)[0].payload)["status"] == "ACCEPTED"
    hot.publish("$aws/things/hot/defender/metrics/json", report(1, 90.5))
    until(lambda: hot.gone.is_set(), 10, "hot to be cut off")
    assert iot.list_things_in_thing_group(thingGroupName="IsolatedDevices")["things"] == ["hot"]
    assert not cool.gone.is_set()
    (violation,) = iot.list_active_violations()["activeViolations"]
    assert (violation["thingName"], violation["lastViolationValue"]) == ("hot", {"number": 90.5})
    (execution,) = iot.list_detect_mitigation_actions_executions(thingName="hot")["actionsExecutions"]
    assert (execution["status"], execution["violationId"]) == ("SUCCESSFUL", violation["violationId"])
    exported = [json.loads(message.payload)["metrics"][0] for message in observer.wait_for(2)]
    assert [(one["thing"], one["value"]) for one in exported] == [("cool", {"number": 20.0}), ("hot", {"number": 90.5})]
    for one in (cool, observer):
        one.close()
    assert server.stop() == 0


def test_a_tag_must_name_actions(server: RunningServer) -> None:
    """The tag of automatic mitigation is checked when it is set, whichever way."""
    isolating_profile(server)
    iot = server.client("iot")
    arn = f"arn:aws:iot:{server.place}:securityprofile/Hot"
    for value in ("nothing", ""):
        with pytest.raises(iot.exceptions.InvalidRequestException, match="mitigation-actions"):
            iot.tag_resource(resourceArn=arn, tags=[{"Key": "mitigation-actions", "Value": value}])
    iot.tag_resource(
        resourceArn=f"arn:aws:iot:{server.place}:mitigationaction/isolate", tags=[{"Key": "a", "Value": "b"}]
    )
