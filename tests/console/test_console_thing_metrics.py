"""A thing's Metrics tab: what a real device reported, as charts and lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from tabs import Tab

from devices import Device
from fleetward.simulate import provision
from running_server import RunningServer, until

THING = "Pump"
RETAINED = ("aws:listening-tcp-ports", "aws:num-established-tcp-connections", "battery")


def report(number: int, port: int) -> str:
    """A device metrics report: two open ports, two connections, and a custom metric."""
    ports = {"pts": [{"if": "eth0", "pt": 443}, {"if": "eth0", "pt": port}], "t": 2}
    connections = {"ec": {"cs": [{"ad": "10.0.0.1:8000"}, {"ad": "10.0.0.2:443"}], "t": 2}}
    known = {"hed": {"rid": number, "v": "1.0"}, "met": {"tp": ports, "tc": connections}}
    return json.dumps({**known, "cmet": {"battery": [{"number": 3.5 + number}]}})


@pytest.fixture(scope="module")
def reported(console_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two reports of a device that is watched by a profile without behaviours."""
    client, iot = console_server.client, console_server.client("iot")
    iot.create_custom_metric(metricName="battery", metricType="number", clientRequestToken="a" * 36)
    profile = iot.create_security_profile(
        securityProfileName="Keep", additionalMetricsToRetainV2=[{"metric": metric} for metric in RETAINED]
    )["securityProfileArn"]
    everything = profile.replace("securityprofile/Keep", "all/things")
    iot.attach_security_profile(securityProfileName="Keep", securityProfileTargetArn=everything)
    iot.create_policy(policyName="P", policyDocument=provision.document(provision.allow("*", "*")))
    keys = provision.certificate(client, "P")
    for thing in (THING, "Idle"):
        iot.create_thing(thingName=thing)
    iot.attach_thing_principal(thingName=THING, principal=keys.certificate_arn)
    device = Device(THING, keys, console_server.broker, Path(tmp_path_factory.mktemp("device")))
    assert device.connect() == "Success"
    for number, port in ((1, 22), (2, 8080)):
        device.publish(f"$aws/things/{THING}/defender/metrics/json", report(number, port))
        until(lambda number=number: len(kept(console_server)) == number, 15, "the report")
    device.close()


def kept(server: RunningServer) -> list[Mapping[str, object]]:
    now = datetime.now(UTC)
    span = {"startTime": now - timedelta(hours=1), "endTime": now + timedelta(minutes=1)}
    answer = server.client("iot").list_metric_values(thingName=THING, metricName=RETAINED[0], **span)
    return list(answer["metricDatumList"])


def metrics(tab: Tab, thing: str) -> Page:
    page = tab.open(f"/things/{thing}")
    page.get_by_role("tab", name="Metrics").click()
    return page


def card(page: Page, title: str) -> Locator:
    return page.locator(".card").filter(has=page.get_by_role("heading", name=title, exact=True))


def test_reported_metrics_are_drawn(tab: Tab, reported: None) -> None:
    """Each metric that is kept has a chart with its unit; of a list the elements are told, those of before apart."""
    page = metrics(tab, THING)
    for title in ("Listening TCP ports", "Established TCP connections count", "battery"):
        expect(card(page, title).locator("canvas")).to_be_visible()
    expect(page.locator(".chart canvas")).to_have_count(3)
    assert units(page) == ["ports", "connections", ""]
    ports = card(page, "Listening TCP ports")
    expect(ports.locator("dd")).to_have_text(["443, 8080", "22"])
    expect(card(page, "battery").locator("dd")).to_have_count(0)
    page.get_by_role("button", name="Last day").click()
    expect(page.locator(".chart canvas")).to_have_count(3)


def units(page: Page) -> list[str]:
    """What stands above the charts' vertical axes."""
    charts = "[...document.querySelectorAll('.chart')]"
    of_chart = "chart => getElement(Number(chart.id.slice(1))).chart.getOption().yAxis[0].name"
    return list(page.evaluate(f"{charts}.map({of_chart})"))


def test_a_thing_without_values_says_what_would_be_there(tab: Tab, reported: None) -> None:
    """Where nothing is kept the tab says what would be, and how."""
    page = metrics(tab, "Idle")
    expect(page.get_by_text("Nothing is kept of this thing in this time")).to_be_visible()
    expect(page.get_by_text("Additional metrics to retain")).to_be_visible()
