"""The alarms on the console: an incident is seen, understood, judged and handled there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tabs import Tab

from devices import Device, Sensor
from fleetward.simulate import provision
from fleetward.simulate.provision import BEHAVIOR, GROUP, ISOLATE_FUNCTION, PROFILE, SENSORS, TOPIC
from running_server import RunningServer, until

GOOD, BAD = SENSORS
EMAIL = "security@example.com"
PASSWORD = "Correct-horse-1"
WINDOW = 5
STRANGER = '<b>stranger" :onclick="alert(1)'


def test_an_empty_store_explains_itself(tab: Tab) -> None:
    """Without things and alarms the pages say what would be here and how it gets here."""
    expect(tab.page.get_by_text("No things yet")).to_be_visible()
    expect(tab.page.get_by_text("Nothing is in alarm.")).to_be_visible()
    tab.page.locator(".menu-item", has_text="Alarms").click()
    expect(tab.page.get_by_text("No alarms here")).to_be_visible()
    tab.page.get_by_role("tab", name="History").click()
    expect(tab.page.get_by_text("No alarms here")).to_be_visible()
    tab.open("/alarms/none-such")
    expect(tab.page.get_by_role("alert")).to_contain_text("not found")


@pytest.fixture(scope="module")
def incident(console_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The story up to the isolation of SensorDevice02, with windows of five seconds; gives the alarm's id."""
    client, place, folder = console_server.client, console_server.place, tmp_path_factory.mktemp("incident")
    keys = provision.devices(client, place)
    provision.isolation(client)
    topic = provision.alerting(client, EMAIL)
    until(lambda: provision.confirm_email(client, EMAIL), 15, "the confirmation mail")
    # The stranger sends less than a healthy sensor, and must not flag it in a window that the two have to themselves.
    provision.profile(client, topic, place, WINDOW, margin_percent=1_000)
    sensors = [Sensor(name, keys, console_server.broker, folder) for name in SENSORS]
    sensors[1].compromised = True
    for sensor in sensors:
        sensor.start()
    until(lambda: isolated(console_server) == [BAD], 6 * WINDOW, "the isolation")
    until(lambda: followed(console_server), 10, "the function's end")
    stranger = unregistered(console_server, folder)
    yield the_alarm(console_server)["violationId"]
    for device in (*sensors, stranger):
        device.close()


def unregistered(server: RunningServer, folder: Path) -> Device:
    """A device that may connect and send, but is no thing."""
    anything = provision.document(provision.allow("iot:*", "*"))
    server.client("iot").create_policy(policyName="Anything", policyDocument=anything)
    device = Device(STRANGER, provision.certificate(server.client, "Anything"), server.broker, folder)
    assert device.connect() == "Success"
    device.publish("somewhere", "21.0 " * 10)
    return device


def the_alarm(server: RunningServer, status: str = "ALL") -> Any:
    """The newest alarm of SensorDevice02."""
    return server.client("fleetward").list_violations(thingName=BAD, status=status)["violations"][0]


def followed(server: RunningServer) -> bool:
    told = server.client("fleetward").describe_violation(violationId=the_alarm(server)["violationId"])
    runs = [one["run"]["status"] for event in told["events"] for one in event["deliveries"] if "run" in one]
    return "succeeded" in runs and bool(told["changes"])


def isolated(server: RunningServer) -> list[str]:
    things: list[str] = server.client("iot").list_things_in_thing_group(thingGroupName=GROUP)["things"]
    return things


def test_the_numbers_of_an_alarm(console_server: RunningServer, incident: str) -> None:
    """The history tells the device's values up to the alarm, and where it stood among all others."""
    why = the_alarm(console_server)["explanation"]
    told = console_server.client("fleetward").describe_violation_metric(violationId=incident)
    assert (told["label"], told["unit"], told["durationSeconds"]) == ("Message size", "bytes", WINDOW)
    assert told["values"][-1]["value"] == told["distribution"]["value"] > 3000
    assert f"{told['values'][-1]['value']:,.0f} B against the p50 of 1 other device" in why
    fleet = told["distribution"]
    assert (fleet["devices"], sum(one["devices"] for one in fleet["bins"])) == (2, 2)
    assert fleet["bins"][0]["low"] < told["limit"] < fleet["bins"][-1]["high"]


def test_the_fleet_at_a_glance(tab: Tab, incident: str) -> None:
    """The tiles count, and the lists lead to pages that exist: a device that is no thing has none."""
    page = tab.page
    tile = page.locator(".tile")
    expect(tile.filter(has_text="In alarm")).to_contain_text("1")
    expect(tile.filter(has_text="Isolated")).to_contain_text("1")
    expect(tile.filter(has_text="Reporting")).to_contain_text("3")
    expect(tile.filter(has_text="Connected, 2 registered")).to_be_visible()
    assert page.get_by_role("link", name=GOOD).get_attribute("href") == f"/console/things/{GOOD}"
    card = page.locator(".card", has_text="Busiest")
    expect(card.get_by_text("not registered")).to_be_visible()
    assert card.get_by_role("link").count() == 2
    page.locator(".card", has_text="Strangest").get_by_role("link", name=BAD).click()
    page.wait_for_url(f"**/console/alarms/{incident}")


def test_filters_narrow_the_list(tab: Tab, incident: str) -> None:
    """Alarms are found by device, profile, type and verification; a link can bring a filter along."""
    page = tab.open("/alarms")
    found, nothing = page.locator(".listing").get_by_role("link", name=BAD), page.get_by_text("No alarms here")
    expect(found).to_be_visible()
    page.get_by_label("Device").fill(GOOD)
    expect(nothing).to_be_visible()
    page.get_by_label("Device").fill(BAD)
    expect(found).to_be_visible()
    for label, wrong, right in (
        ("Type", "Fixed limit", "Statistical threshold"),
        ("Verification", "Benign positive", "Unknown"),
    ):
        choose(page, label, wrong)
        expect(nothing).to_be_visible()
        choose(page, label, right)
        expect(found).to_be_visible()
    choose(page, "Security profile", PROFILE)
    expect(found).to_be_visible()
    page.get_by_role("tab", name="History").click()
    expect(nothing).to_be_visible()
    tab.open(f"/alarms?thing={GOOD}")
    expect(page.get_by_label("Device")).to_have_value(GOOD)
    expect(nothing).to_be_visible()


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_label(label).first.click()
    page.get_by_role("option", name=option).click()


def test_a_viewer_sees_and_changes_nothing(
    new_tab: Callable[..., Tab], console_server: RunningServer, incident: str
) -> None:
    """Whoever may only look is offered no button, and refused at the server when a page still has one."""
    iam = console_server.client("iam")
    iam.create_user(UserName="vera")
    iam.create_login_profile(UserName="vera", Password=PASSWORD)
    iam.attach_user_policy(UserName="vera", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    tab = new_tab()
    page = tab.sign_in("vera", PASSWORD)
    page.wait_for_url("**/console/fleet")
    tab.open(f"/alarms/{incident}")
    expect(page.get_by_text("against the p50 of 1 other device").first).to_be_visible()
    expect(page.get_by_role("button", name="Release …")).to_have_count(0)
    expect(page.get_by_role("button", name="True positive")).to_have_count(0)

    may = provision.document(provision.allow(["fleetward:ReleaseThing", "iot:PutVerificationStateOnViolation"], "*"))
    iam.put_user_policy(UserName="vera", PolicyName="More", PolicyDocument=may)
    tab.open(f"/alarms/{incident}")
    expect(page.get_by_role("button", name="Release …")).to_be_visible()
    iam.delete_user_policy(UserName="vera", PolicyName="More")
    page.get_by_role("button", name="True positive").click()
    expect(page.get_by_text("is not authorized to perform: iot:PutVerificationStateOnViolation")).to_be_visible()
    page.get_by_role("button", name="Release …").click()
    page.get_by_role("dialog").get_by_role("button", name="Release").click()
    expect(page.get_by_text("is not authorized to perform: fleetward:ReleaseThing")).to_be_visible()
    assert isolated(console_server) == [BAD]
    assert the_alarm(console_server)["verificationState"] == "UNKNOWN"


def test_an_incident_is_handled_by_mouse(tab: Tab, console_server: RunningServer, incident: str) -> None:
    """From the fleet to the alarm, what it was and what followed; judged, released, and isolated again by hand."""
    page = tab.page
    page.locator(".tile", has_text="In alarm").click()
    page.locator(".listing").get_by_role("link", name=BAD).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{BAD}: {BEHAVIOR}")
    expect(page.get_by_text("against the p50 of 1 other device").first).to_be_visible()
    expect(page.get_by_text("Alarm when Message size over 5 seconds is greater than p50")).to_be_visible()
    expect(page.locator(".chart canvas")).to_have_count(2)
    expect(page.get_by_text(f"2 devices had a value; {BAD} (red)")).to_be_visible()
    steps = page.locator(".step")
    expect(steps.filter(has_text=f"Alert by email to {EMAIL}")).to_contain_text("delivered")
    expect(steps.filter(has_text=f"Alert by lambda to {ISOLATE_FUNCTION}")).to_contain_text("handed over")
    expect(steps.filter(has_text="request")).to_contain_text("succeeded")
    expect(steps.filter(has_text=f"{BAD} put into")).to_contain_text(GROUP)
    for name, path in ((BAD, f"things/{BAD}"), (PROFILE, f"profiles/{PROFILE}"), (TOPIC, f"topics/{TOPIC}")):
        assert page.get_by_role("link", name=name, exact=True).first.get_attribute("href") == f"/console/{path}"

    page.get_by_label("What you found").fill("seen on site")
    page.get_by_role("button", name="True positive").click()
    expect(page.get_by_text("Verification: true positive")).to_be_visible()
    alarm = the_alarm(console_server)
    assert (alarm["verificationState"], alarm["verificationStateDescription"]) == ("TRUE_POSITIVE", "seen on site")

    page.get_by_role("button", name="Release …").click()
    page.get_by_label("Reason").fill("repaired")
    page.get_by_role("dialog").get_by_role("button", name="Release").click()
    expect(page.locator(".verdict").get_by_text("Ended", exact=True)).to_be_visible()
    assert isolated(console_server) == []
    expect(steps.filter(has_text="repaired")).to_contain_text(f"{BAD} taken out of")

    page.get_by_role("button", name="Isolate …").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert isolated(console_server) == []
    page.get_by_role("button", name="Isolate …").click()
    page.get_by_label("Reason").fill("once more")
    page.get_by_role("dialog").get_by_role("button", name="Isolate").click()
    expect(page.get_by_role("button", name="Release …")).to_be_visible()
    assert isolated(console_server) == [BAD]
    tab.open("/alarms?status=ENDED")
    expect(page.locator(".listing").get_by_role("link", name=BAD)).to_be_visible()


def test_the_alarm_page_by_keyboard(tab: Tab, console_server: RunningServer, incident: str) -> None:
    """Without a mouse an alarm is judged and its device released; the page's redrawing takes no focus away."""
    console_server.client("fleetward").quarantine_thing(thingName=BAD)
    page = tab.open(f"/alarms/{incident}")
    expect(page.get_by_role("button", name="Release …")).to_be_visible()
    tab_to(page, "What you found")
    page.keyboard.press("Control+A")
    page.keyboard.type("a planned test")
    tab_to(page, "Benign positive")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Verification: benign positive")).to_be_visible()
    assert the_alarm(console_server)["verificationStateDescription"] == "a planned test"

    page.reload()
    expect(page.get_by_role("button", name="Release …")).to_be_visible()
    tab_to(page, "Release")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Isolate …")).to_be_visible()
    assert isolated(console_server) == []


def tab_to(page: Page, name: str) -> None:
    """Presses Tab until what bears that name has the focus."""
    named = "document.activeElement.innerText || document.activeElement.getAttribute('aria-label') || ''"
    for _ in range(60):
        page.keyboard.press("Tab")
        if name in page.evaluate(named):
            return
    raise AssertionError(f"{name} cannot be reached by Tab")


def test_the_pages_fit_a_telephone(new_tab: Callable[..., Tab], incident: str) -> None:
    """At 390 pixels nothing has to be scrolled sideways."""
    tab = new_tab(width=390, height=844)
    tab.sign_in()
    tab.page.wait_for_url("**/console/fleet")
    for path, shown in (("/fleet", "Strangest now"), ("/alarms?status=ENDED", BAD), (f"/alarms/{incident}", "Facts")):
        tab.open(path)
        expect(tab.page.get_by_text(shown).first).to_be_visible()
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_pages_are_accessible(tab: Tab, axe: str, incident: str) -> None:
    """axe-core has no serious findings on the fleet, the list and an alarm, in light and in dark."""
    for scheme in ("light", "dark"):
        tab.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for path, shown in (
            ("/fleet", "Strangest now"),
            ("/alarms?status=ENDED", BAD),
            (f"/alarms/{incident}", "Facts"),
        ):
            tab.open(path)
            expect(tab.page.get_by_text(shown).first).to_be_visible()
            tab.page.evaluate(axe)
            found = tab.page.evaluate("axe.run().then(result => result.violations)")
            assert [one for one in found if one["impact"] in ("serious", "critical")] == []
