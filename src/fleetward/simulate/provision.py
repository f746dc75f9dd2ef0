"""Everything the story needs, made through the public API with unmodified boto3 clients."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import httpx

TOPIC = "BadIoTDevices"
PROFILE = "DetectLargeMessageSize"
BEHAVIOR = "LargeMessageSize"
GROUP = "IsolatedDevices"
ISOLATE_FUNCTION = "IsolateDevice"
SENSORS = ("SensorDevice01", "SensorDevice02")
OBSERVER = "mqtt-test-client"

HEALTHY_LINE = "    telemetrydata = round(random.uniform(15.1,29.9),2)\n"
COMPROMISED_LINE = "    telemetrydata = ''.join(random.choices(string.ascii_uppercase + string.digits, k = 3000))\n"

WRITE_LOGS = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"

Client = Callable[[str], Any]
"""Gives the boto3 client of a service: `client("iot")`."""


@dataclass(frozen=True, slots=True)
class Keys:
    """A device certificate with its private key, PEM."""

    certificate_arn: str
    certificate_pem: str
    private_key_pem: str


@dataclass(frozen=True, slots=True)
class Broker:
    """Where sensors find the MQTT port, and the CA that vouches for it."""

    host: str
    port: int
    ca_pem: str


def topic_of(sensor: str) -> str:
    """SensorDevice02 publishes to temperature-device-02."""
    return f"temperature-device-{sensor[-2:]}"


def function_of(sensor: str) -> str:
    return f"{sensor}-function"


def sensor_source(compromised: bool = False) -> str:
    """The sensor's code, as delivered or with the edit of the story: the size of the reading, not its form, changes."""
    source = (resources.files("fleetward.simulate") / "sources" / "sensor.py").read_text()
    if not compromised:
        return source
    return source.replace(HEALTHY_LINE, f"    #{HEALTHY_LINE[4:]}").replace(
        f"    # {COMPROMISED_LINE[4:]}", COMPROMISED_LINE
    )


def isolate_source() -> str:
    return (resources.files("fleetward.simulate") / "sources" / "isolate_device.py").read_text()


def zip_of(files: Mapping[str, str]) -> bytes:
    """A deployment package with the given files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def sensor_package(keys: Keys, broker: Broker, compromised: bool = False) -> bytes:
    return zip_of(
        {
            "sensor.py": sensor_source(compromised),
            "certificate.pem": keys.certificate_pem,
            "private.key": keys.private_key_pem,
            "ca.pem": broker.ca_pem,
        }
    )


def document(*statements: Mapping[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(
    action: str | list[str], *resources_: str, condition: Mapping[str, object] | None = None
) -> dict[str, object]:
    statement: dict[str, object] = {"Effect": "Allow", "Action": action, "Resource": list(resources_)}
    return {**statement, "Condition": condition} if condition else statement


def _arn(region_account: str, resource: str) -> str:
    return f"arn:aws:iot:{region_account}:{resource}"


def devices(client: Client, region_account: str) -> Keys:
    """The two sensors, sharing one certificate as in the story, and the policy that lets each be only itself."""
    iot = client("iot")
    iot.create_policy(
        policyName="SensorDevicePolicy",
        policyDocument=document(
            allow(
                "iot:Connect",
                _arn(region_account, "client/${iot:Connection.Thing.ThingName}"),
                condition={"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}},
            ),
            allow("iot:Publish", _arn(region_account, "topic/temperature-device-*")),
        ),
    )
    keys = certificate(client, "SensorDevicePolicy")
    for sensor in SENSORS:
        iot.create_thing(thingName=sensor)
        iot.attach_thing_principal(thingName=sensor, principal=keys.certificate_arn)
    return keys


def observer(client: Client, region_account: str) -> Keys:
    """The MQTT test client: may listen to the temperatures and nothing else."""
    client("iot").create_policy(
        policyName="MqttTestClientPolicy",
        policyDocument=document(
            allow("iot:Connect", _arn(region_account, f"client/{OBSERVER}")),
            allow("iot:Subscribe", _arn(region_account, "topicfilter/temperature-device-*")),
            allow("iot:Receive", _arn(region_account, "topic/temperature-device-*")),
        ),
    )
    return certificate(client, "MqttTestClientPolicy")


def certificate(client: Client, policy: str) -> Keys:
    """A new active certificate that carries one policy."""
    made = client("iot").create_keys_and_certificate(setAsActive=True)
    client("iot").attach_policy(policyName=policy, target=made["certificateArn"])
    return Keys(made["certificateArn"], made["certificatePem"], made["keyPair"]["PrivateKey"])


def role(client: Client, name: str, service: str, *statements: Mapping[str, object]) -> str:
    """A role that `service` may assume and that may do what the statements allow; returns its ARN."""
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    made = client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))
    if statements:
        client("iam").put_role_policy(RoleName=name, PolicyName="Permissions", PolicyDocument=document(*statements))
    return str(made["Role"]["Arn"])


def alert_role(client: Client, name: str, topic_arn: str) -> str:
    """The role with which alerts are published to a topic."""
    return role(client, name, "iot.amazonaws.com", allow("sns:Publish", topic_arn))


def function_role(client: Client, name: str, *statements: Mapping[str, object]) -> str:
    """The role of a function: it may write its log, and what the statements allow."""
    arn = role(client, name, "lambda.amazonaws.com", *statements)
    client("iam").attach_role_policy(RoleName=name, PolicyArn=WRITE_LOGS)
    return arn


def sensor_functions(client: Client, keys: Keys, broker: Broker, slot_seconds: int) -> None:
    """One function per sensor, called once per slot by a schedule."""
    role_arn = function_role(client, "SensorDevice-role")
    for sensor in SENSORS:
        made = client("lambda").create_function(
            FunctionName=function_of(sensor),
            Runtime="python3.11",
            Role=role_arn,
            Handler="sensor.lambda_handler",
            Code={"ZipFile": sensor_package(keys, broker)},
            Timeout=15,
            Environment={
                "Variables": {
                    "ThingName": sensor,
                    "Topic": topic_of(sensor),
                    "MqttHost": broker.host,
                    "MqttPort": str(broker.port),
                    "SlotSeconds": str(slot_seconds),
                }
            },
        )
        unit = "second" if slot_seconds == 1 else "seconds"
        rule = f"{sensor}-schedule"
        schedule = client("events").put_rule(Name=rule, ScheduleExpression=f"rate({slot_seconds} {unit})")
        permit(client, function_of(sensor), "events.amazonaws.com", schedule["RuleArn"])
        client("events").put_targets(Rule=rule, Targets=[{"Id": "sensor", "Arn": made["FunctionArn"]}])


def permit(client: Client, function: str, service: str, source_arn: str) -> None:
    """Lets a service call the function on behalf of one topic or rule (the AWS console does this by itself)."""
    client("lambda").add_permission(
        FunctionName=function,
        StatementId=service.partition(".")[0],
        Action="lambda:InvokeFunction",
        Principal=service,
        SourceArn=source_arn,
    )


def isolation(client: Client) -> None:
    """Section 2 of the story: the group that denies everything, and the function that moves a thing there."""
    iot = client("iot")
    group = iot.create_thing_group(thingGroupName=GROUP)
    deny = {"Effect": "Deny", "Action": "iot:*", "Resource": "*"}
    iot.create_policy(policyName="DenyAll", policyDocument=document(deny))
    iot.attach_policy(policyName="DenyAll", target=group["thingGroupArn"])
    role_arn = function_role(client, "IsolateDevice-role", allow("iot:AddThingToThingGroup", "*"))
    client("lambda").create_function(
        FunctionName=ISOLATE_FUNCTION,
        Runtime="python3.11",
        Role=role_arn,
        Handler="lambda_function.lambda_handler",
        Code={"ZipFile": zip_of({"lambda_function.py": isolate_source()})},
        Timeout=10,
        Environment={"Variables": {"ThingGroupName": GROUP}},
    )


def alerting(client: Client, email: str) -> str:
    """The topic BadIoTDevices with an e-mail subscriber (confirmed by the link in its mail) and the function."""
    sns = client("sns")
    topic_arn = str(sns.create_topic(Name=TOPIC)["TopicArn"])
    sns.subscribe(TopicArn=topic_arn, Protocol="email", Endpoint=email)
    function_arn = client("lambda").get_function(FunctionName=ISOLATE_FUNCTION)["Configuration"]["FunctionArn"]
    permit(client, ISOLATE_FUNCTION, "sns.amazonaws.com", topic_arn)
    sns.subscribe(TopicArn=topic_arn, Protocol="lambda", Endpoint=function_arn)
    return topic_arn


def confirm_email(client: Client, email: str) -> bool:
    """Opens the link of the confirmation mail in the local outbox; False while the mail has not arrived."""
    for mail in client("fleetward").list_outbox()["mails"]:
        links = [word for word in mail["body"].split() if "Action=ConfirmSubscription" in word]
        if mail["to"] == email and links:
            return httpx.get(links[0]).is_success
    return False


def profile(
    client: Client,
    topic_arn: str,
    region_account: str,
    window_seconds: int,
    operator: str = "less-than-equals",
    margin_percent: int | None = 10,
) -> str:
    """The security profile of the story, attached to all things; returns its ARN.

    The operator describes NORMAL behaviour: `less-than-equals p50` is the story's "alarm when greater than p50".
    """
    account = region_account.split(":")[1]
    role_arn = alert_role(client, f"{PROFILE}-SNSTopicRole", topic_arn)
    margin = [] if margin_percent is None else [{"Key": "statistical-margin-percent", "Value": str(margin_percent)}]
    made = client("iot").create_security_profile(
        securityProfileName=PROFILE,
        securityProfileDescription="Devices that send far more than their peers",
        behaviors=[
            {
                "name": BEHAVIOR,
                "metric": "aws:message-byte-size",
                "criteria": {
                    "comparisonOperator": operator,
                    "durationSeconds": window_seconds,
                    "consecutiveDatapointsToAlarm": 1,
                    "consecutiveDatapointsToClear": 2,
                    "statisticalThreshold": {"statistic": "p50"},
                },
            }
        ],
        alertTargets={"SNS": {"alertTargetArn": topic_arn, "roleArn": role_arn}},
        additionalMetricsToRetainV2=[
            {"metric": "aws:message-byte-size"},
            {"metric": "aws:num-messages-sent"},
            {"metric": "aws:num-messages-received"},
        ],
        tags=margin,
    )
    assert account in made["securityProfileArn"]
    client("iot").attach_security_profile(
        securityProfileName=PROFILE, securityProfileTargetArn=_arn(region_account, "all/things")
    )
    return str(made["securityProfileArn"])


def compromise(client: Client, sensor: str, keys: Keys, broker: Broker) -> None:
    """Section 3.1 of the story: the sensor's code is edited to send 3000 random characters."""
    client("lambda").update_function_code(
        FunctionName=function_of(sensor), ZipFile=sensor_package(keys, broker, compromised=True)
    )
