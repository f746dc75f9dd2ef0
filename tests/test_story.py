"""The story end to end: unmodified boto3, paho and awsiotsdk against a real server, to isolation and back."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from awscrt import mqtt as crt_mqtt
from awsiot import mqtt_connection_builder

from devices import Device, Sensor
from fleetward.simulate import provision
from fleetward.simulate.provision import GROUP, PROFILE, SENSORS, Keys
from running_server import RunningServer, until

WINDOW = 5
EMAIL = "security@example.com"
GOOD, BAD = SENSORS


@dataclass
class House:
    """The story's fleet on a running server."""

    server: RunningServer
    folder: Path
    keys: Keys
    topic_arn: str

    def client(self, service: str) -> Any:
        return self.server.client(service)

    def sensor(self, name: str) -> Sensor:
        return Sensor(name, self.keys, self.server.broker, self.folder)

    def device(self, client_id: str, keys: Keys | None = None, **options: Any) -> Device:
        return Device(client_id, keys or self.keys, self.server.broker, self.folder, **options)

    def isolated(self) -> list[str]:
        return self.client("iot").list_things_in_thing_group(thingGroupName=GROUP)["things"]

    def violations(self) -> list[dict[str, Any]]:
        return self.client("iot").list_active_violations()["activeViolations"]

    def mails(self) -> list[dict[str, Any]]:
        return self.client("fleetward").list_outbox()["mails"]

    def logged(self, function: str) -> str:
        """What the function has written so far; nothing before its first run."""
        logs = self.client("logs")
        try:
            events = logs.filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
        except logs.exceptions.ResourceNotFoundException:
            return ""
        return "\n".join(event["message"] for event in events)

    def fleetward(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "fleetward", *arguments, "--data-dir", str(self.server.data_dir)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def furnish(server: RunningServer, folder: Path) -> House:
    keys = provision.devices(server.client, server.place)
    provision.isolation(server.client)
    topic_arn = provision.alerting(server.client, EMAIL)
    until(lambda: provision.confirm_email(server.client, EMAIL), 15, "the confirmation mail")
    return House(server, folder, keys, topic_arn)


@pytest.fixture
def house(server: RunningServer, tmp_path: Path) -> House:
    return furnish(server, tmp_path)


@pytest.fixture
def sensors(house: House) -> Iterator[dict[str, Sensor]]:
    made = {name: house.sensor(name) for name in SENSORS}
    for sensor in made.values():
        sensor.start()
    yield made
    for sensor in made.values():
        sensor.close()


def test_one_is_isolated_and_its_twin_is_not(house: House, sensors: dict[str, Sensor]) -> None:
    """The sensor that sends 3000 characters is isolated, its twin with the same certificate stays, and a released one
    that offends again is isolated again."""
    observer = house.device(provision.OBSERVER, provision.observer(house.server.client, house.server.place))
    assert observer.connect() == "Success"
    observer.subscribe("temperature-device-01")
    observer.subscribe("temperature-device-02")
    provision.profile(house.server.client, house.topic_arn, house.server.place, WINDOW)
    time.sleep(2 * WINDOW)
    assert house.violations() == []

    sensors[BAD].compromised = True
    until(lambda: house.isolated() == [BAD], 4 * WINDOW, "the isolation")
    until(lambda: sensors[BAD].is_cut_off, 15, "the dropped connection")
    (violation,) = house.violations()
    assert (violation["thingName"], violation["securityProfileName"]) == (BAD, PROFILE)
    assert violation["lastViolationValue"]["count"] > 3000
    assert len(violation["violationId"]) == 32
    mail = until(lambda: next((m for m in house.mails() if BAD in m["subject"]), None), 15, "the e-mail")
    assert "against the p50 of 1 other device" in mail["body"]
    assert "REPORT RequestId" in until(lambda: house.logged("IsolateDevice"), 15, "the function's log")

    # Silence on its topic, while its twin goes on over the same certificate.
    assert house.device(BAD).connect() == "Not authorized"
    heard = len(observer.received)
    fresh = observer.wait_for(heard + 3)[heard:]
    assert {message.topic for message in fresh} == {sensors[GOOD].topic}
    assert not sensors[GOOD].is_cut_off

    # It can come back under no other name, even where its certificate's policy allows any.
    house.client("iot").create_policy(
        policyName="AnyClient", policyDocument=provision.document(provision.allow("iot:*", "*"))
    )
    house.client("iot").attach_policy(policyName="AnyClient", target=house.keys.certificate_arn)
    assert house.device("SensorDevice03").connect() == "Not authorized"
    assert house.device(BAD).connect() == "Not authorized"
    assert not sensors[GOOD].is_cut_off

    # Released, its violation is closed, and a repeat offence is a new one.
    assert BAD in house.fleetward("release", BAD)
    until(lambda: house.violations() == [], 15, "the closed violation")
    again = house.sensor(BAD)
    again.compromised = True
    again.start()
    until(lambda: house.isolated() == [BAD], 4 * WINDOW, "the second isolation")
    until(lambda: again.is_cut_off, 15, "the dropped connection")
    (second,) = house.violations()
    assert second["violationId"] != violation["violationId"]
    assert not sensors[GOOD].is_cut_off
    observer.close()
    again.close()


def test_literal_greater_than_flags_the_small_sender(house: House, sensors: dict[str, Sensor]) -> None:
    """`greater-than p50` means what it means on AWS: normal is above the median, so the small sender alarms."""
    sensors[BAD].compromised = True
    provision.profile(
        house.server.client, house.topic_arn, house.server.place, WINDOW, operator="greater-than", margin_percent=None
    )
    (violation,) = until(house.violations, 4 * WINDOW, "the alarm")
    assert violation["thingName"] == GOOD
    until(lambda: house.isolated() == [GOOD], 15, "the isolation")


def test_framing_counts_under_the_certificate(house: House, sensors: dict[str, Sensor]) -> None:
    """A certificate that is not attached to the thing it names is metered under its own id, so that nobody can have a
    healthy device isolated."""
    iot = house.client("iot")
    iot.create_policy(policyName="AnyClient", policyDocument=provision.document(provision.allow("iot:*", "*")))
    stranger = provision.certificate(house.server.client, "AnyClient")
    _static_profile(house, limit=1000)
    sensors[GOOD].close()
    liar = house.device(GOOD, stranger)
    assert liar.connect() == "Success"
    liar.publish("temperature-device-01", "x" * 3000)
    (violation,) = until(house.violations, 2 * WINDOW, "the alarm")
    assert violation["thingName"] == stranger.certificate_arn.rsplit("/", 1)[1]
    assert house.isolated() == []
    liar.close()


def test_static_bound_is_decided_at_once(house: House, sensors: dict[str, Sensor]) -> None:
    """A bound on single messages is decided when it is crossed, long before the window of five minutes ends."""
    _static_profile(house, limit=1000)
    time.sleep(1)
    sensors[BAD].compromised = True
    until(lambda: sensors[BAD].is_cut_off, 15, "the dropped connection")
    assert house.isolated() == [BAD]
    (violation,) = house.violations()
    assert violation["lastViolationValue"] == {"count": len("temperature-device-02") + 3000}
    assert not sensors[GOOD].is_cut_off


def test_kill_9_in_the_middle_of_a_window(house: House, tmp_path: Path) -> None:
    """After kill -9 what was acknowledged is there, isolation holds, and undelivered alerts are delivered."""
    server, iot = house.server, house.client("iot")
    sensors = {name: house.sensor(name) for name in SENSORS}
    for sensor in sensors.values():
        sensor.start()
    _static_profile(house, limit=1000)
    time.sleep(1)
    sensors[BAD].compromised = True
    until(lambda: house.violations(), 15, "the alarm")
    iot.create_thing(thingName="JustMade")
    server.kill()
    for sensor in sensors.values():
        sensor.close()
    server.start()

    assert server.client("iot").describe_thing(thingName="JustMade")["thingName"] == "JustMade"
    assert [violation["thingName"] for violation in house.violations()] == [BAD]
    until(lambda: house.isolated() == [BAD], 15, "the isolation")
    until(lambda: any(BAD in mail["subject"] for mail in house.mails()), 15, "the e-mail")
    assert len([mail for mail in house.mails() if BAD in mail["subject"]]) == 1
    assert house.device(BAD).connect() == "Not authorized"
    good = house.device(GOOD)
    assert good.connect() == "Success"
    good.close()
    assert server.stop() == 0


def test_failing_function_is_visible(house: House, sensors: dict[str, Sensor]) -> None:
    """The story's function without `import os` shows its traceback in the logs, and a wrong group name its 404."""
    broken = provision.isolate_source().replace("import os\n", "")
    update: Callable[..., Any] = house.client("lambda").update_function_code
    update(FunctionName="IsolateDevice", ZipFile=provision.zip_of({"lambda_function.py": broken}))
    _static_profile(house, limit=1000)
    time.sleep(1)
    sensors[BAD].compromised = True
    until(lambda: "NameError: name 'os' is not defined" in house.logged("IsolateDevice"), 10, "the traceback")
    assert house.isolated() == []

    event = {"Records": [{"Sns": {"Message": json.dumps({"thingName": BAD})}}]}
    fixed = provision.zip_of({"lambda_function.py": provision.isolate_source()})
    update(FunctionName="IsolateDevice", ZipFile=fixed)
    house.client("lambda").update_function_configuration(
        FunctionName="IsolateDevice", Environment={"Variables": {"ThingGroupName": "IsolatedDevice"}}
    )
    answer = house.client("lambda").invoke(FunctionName="IsolateDevice", Payload=json.dumps(event))
    assert answer["FunctionError"] == "Unhandled"
    failure = json.loads(answer["Payload"].read())
    assert failure["errorType"] == "ResourceNotFoundException"
    assert "Did you mean IsolatedDevices" in failure["errorMessage"]


def test_aws_device_sdk(house: House) -> None:
    """The AWS IoT Device SDK's MQTT 3.1.1 client resumes its persistent session, and is cut off like any other."""
    files = _files(house)
    first = _sdk_connection(house, files, GOOD)
    assert first.connect().result(10)["session_present"] is False
    iot = house.client("iot")
    iot.create_policy(policyName="AnyTopic", policyDocument=provision.document(provision.allow("iot:*", "*")))
    iot.attach_policy(policyName="AnyTopic", target=house.keys.certificate_arn)
    subscribed, _ = first.subscribe("commands/#", crt_mqtt.QoS.AT_LEAST_ONCE)
    subscribed.result(10)
    first.disconnect().result(10)
    house.client("iot-data").publish(topic="commands/blink", payload=b"now", qos=1)

    second = _sdk_connection(house, files, GOOD)
    arrived: Future[bytes] = Future()
    second.on_message(lambda topic, payload, **_: arrived.set_result(payload))
    assert second.connect().result(10)["session_present"] is True
    assert arrived.result(10) == b"now"
    second.disconnect().result(10)

    house.fleetward("quarantine", GOOD)
    with pytest.raises(Exception, match=r"(?i)refused|not authorized|AWS_ERROR_MQTT"):
        _sdk_connection(house, files, GOOD).connect().result(10)


def _static_profile(house: House, limit: int) -> None:
    iot = house.client("iot")
    role = provision.alert_role(house.server.client, "AlertRole", house.topic_arn)
    iot.create_security_profile(
        securityProfileName="SingleMessages",
        behaviors=[
            {
                "name": "OneLargeMessage",
                "metric": "aws:message-byte-size",
                "criteria": {"comparisonOperator": "less-than-equals", "value": {"count": limit}},
            }
        ],
        alertTargets={"SNS": {"alertTargetArn": house.topic_arn, "roleArn": role}},
    )
    target = f"arn:aws:iot:{house.server.place}:all/things"
    iot.attach_security_profile(securityProfileName="SingleMessages", securityProfileTargetArn=target)


def _files(house: House) -> dict[str, str]:
    contents = {"cert": house.keys.certificate_pem, "key": house.keys.private_key_pem}
    files = {}
    for name, text in contents.items():
        path = house.folder / f"sdk.{name}"
        path.write_text(text)
        files[name] = str(path)
    return files


def _sdk_connection(house: House, files: dict[str, str], client_id: str) -> crt_mqtt.Connection:
    return mqtt_connection_builder.mtls_from_path(
        cert_filepath=files["cert"],
        pri_key_filepath=files["key"],
        ca_filepath=house.server.info.ca_file,
        endpoint=house.server.info.mqtt_host,
        port=house.server.info.mqtt_port,
        client_id=client_id,
        clean_session=False,
    )
