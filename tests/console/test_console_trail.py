"""The audit trail page."""

from __future__ import annotations

from playwright.sync_api import expect
from tabs import Tab

from fleetward.console.pages.trail import KINDS
from fleetward.store.trail import TRACKED
from running_server import RunningServer


def test_all_kinds_can_be_searched() -> None:
    """Whatever the trail keeps can be chosen on its page."""
    assert sorted(KINDS) == sorted(TRACKED.values())


def test_a_change_is_found_and_told_side_by_side(tab: Tab, console_server: RunningServer) -> None:
    """A change is found by its thing's name, and its page shows before and after of what changed, and only of that."""
    iot = console_server.client("iot")
    iot.create_thing(thingName="Told", attributePayload={"attributes": {"colour": "red"}})
    iot.update_thing(thingName="Told", attributePayload={"attributes": {"colour": "blue"}, "merge": True})
    iot.create_thing(thingName="Other")
    page = tab.open("/trail")
    expect(page.get_by_text("Other", exact=True)).to_be_visible()
    page.get_by_label("Name", exact=True).fill("Told")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("Other", exact=True)).to_have_count(0)
    page.get_by_role("link", name="iot:UpdateThing").click()
    differences = page.locator(".differences")
    expect(differences).to_contain_text("attributes")
    expect(differences.locator("pre").first).to_contain_text('"colour": "red"')
    expect(differences.locator("pre").nth(1)).to_contain_text('"colour": "blue"')
    expect(differences).not_to_contain_text("Told")


def test_filters_by_time_kind_and_who(tab: Tab, console_server: RunningServer) -> None:
    """Kind, principal and time each narrow the list; when nothing fits, the page says so."""
    console_server.client("iot").create_thing_group(thingGroupName="Grouped")
    page = tab.open("/trail?kind=thing%20group")
    expect(page.get_by_text("Grouped", exact=True)).to_be_visible()
    page.get_by_label("Who (user name or ARN)").fill("fleetward")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("No changes")).to_be_visible()
    page.get_by_label("Who (user name or ARN)").fill("")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("Grouped", exact=True)).to_be_visible()
    page.get_by_label("Until (UTC)").fill("2020-01-01T00:00")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("No changes")).to_be_visible()
