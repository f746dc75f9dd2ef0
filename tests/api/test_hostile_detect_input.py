"""Whatever devices report and callers ask of Detect: a clear error each, and nothing else is disturbed.

Against one running server on which a healthy device goes on reporting; at the end detection still finds an alarm.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import cbor2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from raw_wire import Answer, Raw, Wire
from stock import ALLOW_TEXT

from devices import Device
from fleetward.meter.report_encoding import MAX_PAYLOAD
from fleetward.simulate.provision import Keys
from hostile_documents import ODD, TEXT, as_text, damaged
from running_server import RunningServer, until

EXAMPLES = settings(max_examples=60, suppress_health_check=list(HealthCheck))
HOT, METRIC = 90.0, "temperature"
BEHAVIORS: list[dict[str, Any]] = [
    {
        "name": "hot",
        "metric": METRIC,
        "criteria": {"comparisonOperator": "less-than", "value": {"number": 50.0}, "consecutiveDatapointsToAlarm": 1},
    },
    {
        "name": "ports",
        "metric": "aws:listening-tcp-ports",
        "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}},
    },
    {
        "name": "addresses",
        "metric": "aws:destination-ip-addresses",
        "criteria": {"comparisonOperator": "in-cidr-set", "value": {"cidrs": ["10.0.0.0/8", "fd00::/8"]}},
    },
    {
        "name": "bytes",
        "metric": "aws:all-bytes-out",
        "criteria": {"comparisonOperator": "less-than-equals", "value": {"count": 1000}, "durationSeconds": 300},
    },
    {
        "name": "size",
        "metric": "aws:message-byte-size",
        "metricDimension": {"dimensionName": "mine", "operator": "NOT_IN"},
        "criteria": {
            "comparisonOperator": "less-than-equals",
            "statisticalThreshold": {"statistic": "p99"},
            "durationSeconds": 300,
            "consecutiveDatapointsToClear": 2,
        },
        "suppressAlerts": True,
        "exportMetric": False,
    },
]
PROFILE: dict[str, Any] = {
    "securityProfileDescription": "d",
    "behaviors": BEHAVIORS,
    "additionalMetricsToRetainV2": [{"metric": "aws:num-messages-sent", "metricDimension": {"dimensionName": "mine"}}],
    "tags": [{"Key": "statistical-margin-percent", "Value": "10"}],
}
REPORT: dict[str, Any] = {
    "header": {"report_id": 1, "version": "1.0"},
    "metrics": {
        "listening_tcp_ports": {"ports": [{"interface": "eth0", "port": 22}], "total": 1},
        "listening_udp_ports": {"ports": [{"port": 68}], "total": 1},
        "network_stats": {"bytes_in": 1, "bytes_out": 2, "packets_in": 3, "packets_out": 4},
        "tcp_connections": {
            "established_connections": {
                "connections": [{"local_port": 1, "remote_addr": "10.0.0.1:8883"}],
                "total": 1,
            }
        },
    },
    "custom_metrics": {METRIC: [{"number": 20.5}], "names": [{"string_list": ["a"]}]},
}
NO_REPORTS = (b"", b"\xff", b"[" * 100_000, b'{"a":' * 20_000, b"\x81" * 100_000, b"\x9f" * 500, b" " * 130_000)
NO_REPORTS += (b'{"header":{"report_id":' + b"9" * 5_000, b'{"header":"\\ud800"}', b"\xbb\x7f" + b"\xff" * 7)


class Stage:
    """The server, a healthy device that reports, and a hostile one."""

    def __init__(self, folder: Path) -> None:
        self.server = RunningServer(folder)
        self.wire = Wire(self.server.info)
        self.numbers = itertools.count(1)
        self.iot = self.server.client("iot")
        self.iot.create_policy(policyName="allow", policyDocument=ALLOW_TEXT)
        self.iot.create_custom_metric(metricName=METRIC, metricType="number", clientRequestToken="t")
        for name in ("mine", "other"):
            self.iot.create_dimension(name=name, type="TOPIC_FILTER", stringValues=["a/#"], clientRequestToken=name)
        for name in ("P", "Updated"):
            self.iot.create_security_profile(securityProfileName=name, behaviors=BEHAVIORS)
            self.attach(name)
        self.healthy, self.hostile = self._device("healthy", folder), self._device("hostile", folder)

    def _device(self, name: str, folder: Path) -> Device:
        made = self.iot.create_keys_and_certificate(setAsActive=True)
        self.iot.create_thing(thingName=name)
        self.iot.attach_thing_principal(thingName=name, principal=made["certificateArn"])
        self.iot.attach_policy(policyName="allow", target=made["certificateArn"])
        keys = Keys(made["certificateArn"], made["certificatePem"], made["keyPair"]["PrivateKey"])
        device = Device(name, keys, self.server.broker, folder)
        assert device.connect() == "Success"
        return device

    def attach(self, profile: str) -> None:
        target = f"arn:aws:iot:{self.server.place}:all/things"
        self.iot.attach_security_profile(securityProfileName=profile, securityProfileTargetArn=target)

    def healthy_report(self, temperature: float = 20.0) -> None:
        """The healthy device's report is taken, and it publishes as before."""
        header = {"report_id": next(self.numbers), "version": "1.0"}
        report = {"header": header, "custom_metrics": {METRIC: [{"number": temperature}]}}
        count = len(self.healthy.received)
        self.healthy.publish("$aws/things/healthy/defender/metrics/json", json.dumps(report))
        self.healthy.publish("a/b", "20.5")
        answer = json.loads(self.healthy.wait_for(count + 1)[-1].payload)
        assert answer["status"] == "ACCEPTED", answer

    def ask(self, method: str, path: str, query: str = "", body: bytes = b"") -> Answer:
        """One signed request as it stands; refusals must say in words what is wrong."""
        raw = Raw("iot", "", method, path, query, {"content-type": "application/json"}, body)
        answer = self.wire.ask(raw)
        assert 200 <= answer.status < 500, (answer, raw)
        if answer.status >= 400:
            assert answer.headers["x-amzn-errortype"].endswith("Exception"), (answer, raw)
            assert json.loads(answer.body)["message"], (answer, raw)
        return answer

    def close(self) -> None:
        for device in (self.healthy, self.hostile):
            device.close()
        self.wire.close()
        self.server.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("hostile"))
    made.healthy.subscribe("$aws/things/healthy/defender/metrics/json/+")
    made.hostile.subscribe("$aws/things/+/defender/metrics/+/+")
    yield made
    log = made.server.log.read_text()
    made.close()
    for failure in ("Traceback", "report_failed", "request failed"):
        assert failure not in log, log


def in_cbor(document: Any) -> bytes:
    encoded: bytes = cbor2.dumps(document)
    return encoded


Hostile = tuple[str, bytes]
REPORTS: st.SearchStrategy[Hostile] = st.one_of(
    st.tuples(st.just("json"), as_text(damaged(REPORT))),
    st.tuples(st.just("cbor"), damaged(REPORT).map(in_cbor)),
    st.tuples(st.sampled_from(("json", "cbor")), st.binary(max_size=100) | st.sampled_from(NO_REPORTS)),
).filter(lambda report: len(report[1]) <= MAX_PAYLOAD)
"""What is longer, the gateway itself refuses."""


@EXAMPLES
@given(st.lists(REPORTS, min_size=1, max_size=6))
def test_reports(stage: Stage, reports: list[Hostile]) -> None:
    """Each report of a hostile device is answered, accepted or rejected with a code; a healthy one is taken between."""
    thing, before = f"ghost{next(stage.numbers)}", len(stage.hostile.received)
    for encoding, payload in reports:
        stage.hostile.publish(f"$aws/things/{thing}/defender/metrics/{encoding}", payload)
    stage.healthy_report()
    for message in stage.hostile.wait_for(before + len(reports))[before:]:
        encoding, kind = message.topic.split("/")[-2:]
        answer = (json if encoding == "json" else cbor2).loads(message.payload)
        assert answer["status"] == kind.upper()
        if kind == "rejected":
            assert answer["statusDetails"]["ErrorCode"] == "InvalidPayload"
            assert answer["statusDetails"]["ErrorMessage"]


@EXAMPLES
@given(as_text(damaged(PROFILE)))
def test_security_profiles(stage: Stage, body: bytes) -> None:
    """A damaged profile is refused in words or is a valid one, which can then be attached, changed and deleted."""
    name = f"Q{next(stage.numbers)}"
    stage.ask("POST", "/security-profile-behaviors/validate", body=body)
    stage.ask("PATCH", "/security-profiles/Updated", body=body)
    if stage.ask("POST", f"/security-profiles/{name}", body=body).status == 200:
        stage.attach(name)
        stage.healthy_report()
        stage.iot.delete_security_profile(securityProfileName=name)


LEVELS = st.sampled_from(("a", "b", "+", "+", "${iot:ClientId}", "#", "", "$aws", "${x}", "a+", "\0"))
FILTERS = st.lists(TEXT | st.lists(LEVELS, max_size=4).map("/".join), max_size=3)


@EXAMPLES
@given(FILTERS | ODD, st.sampled_from(("TOPIC_FILTER", "TOPIC_FILTER", "TOPIC_FILTER", "OTHER", 1)))
@example(["a/+", "b/#", "${iot:ClientId}/c"], "TOPIC_FILTER")
def test_dimension_filters(stage: Stage, filters: Any, kind: Any) -> None:
    """A filter that is none is refused in words; one that is taken can be used while devices publish."""
    name = f"d{next(stage.numbers)}"
    stage.ask("PATCH", "/dimensions/other", body=json.dumps({"stringValues": filters}).encode())
    body = json.dumps({"type": kind, "stringValues": filters, "clientRequestToken": name}).encode()
    if stage.ask("POST", f"/dimensions/{name}", body=body).status != 200:
        return
    used = [BEHAVIORS[-1] | {"metricDimension": {"dimensionName": name, "operator": "IN"}}]
    stage.iot.create_security_profile(securityProfileName=name, behaviors=used)
    stage.attach(name)
    stage.healthy_report()
    stage.iot.delete_security_profile(securityProfileName=name)
    stage.iot.delete_dimension(name=name)


LISTS = (
    "/metric-values",
    "/violation-events",
    "/active-violations",
    "/security-profiles",
    "/detect/mitigationactions/tasks",
)
QUERY = {
    "thingName": "healthy",
    "metricName": METRIC,
    "securityProfileName": "P",
    "startTime": "1700000000",
    "endTime": "1700000300",
    "dimensionName": "mine",
    "dimensionValueOperator": "IN",
    "behaviorCriteriaType": "STATIC",
    "verificationState": "UNKNOWN",
    "listSuppressedAlerts": "true",
    "maxResults": "10",
    "nextToken": "AAAA",
}
ODD_TEXT = TEXT | st.sampled_from(
    ("NaN", "-1", "1e400", "9" * 400, "2026-11-24T00:00:00Z", "1969-12-31", "\0", "x" * 3000)
)


@EXAMPLES
@given(st.sampled_from(LISTS), st.fixed_dictionaries({}, optional={n: st.just(v) | ODD_TEXT for n, v in QUERY.items()}))
def test_lists(stage: Stage, path: str, query: dict[str, str]) -> None:
    """Whatever a list is asked for, it is answered or refused in words."""
    stage.ask("GET", path, urlencode(query, quote_via=quote))


def test_detection_goes_on(stage: Stage) -> None:
    """After all of that a report that breaks a behaviour raises its alarm; runs last in this file."""
    stage.healthy_report(HOT)
    asked = {"thingName": "healthy", "securityProfileName": "P"}
    found = until(lambda: stage.iot.list_active_violations(**asked)["activeViolations"], 10, "the alarm")
    assert {one["behavior"]["name"]: one["lastViolationValue"] for one in found} == {"hot": {"number": HOT}}
