"""The whole document in a browser: its sections 1 to 3.1, followed by clicks and typing only.

What the document finds in place is set by the API first: the two sensors as functions on a schedule, the topic with
its subscriber, the roles, and the function IsolateDevice. Its reader's only deviation here is the duration: seconds
that are typed in instead of 5 minutes.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect
from steps import choose, editor, heading_is, menu, pick
from tabs import Tab

from fleetward.simulate import provision
from fleetward.simulate.provision import BEHAVIOR, GROUP, ISOLATE_FUNCTION, PROFILE, SENSORS, TOPIC
from running_server import RunningServer, until

GOOD, BAD = SENSORS
EMAIL = "security@example.com"
ALERT_ROLE = "lab-SNSTopicRole-1"
SLOT_SECONDS = 1
DURATION_SECONDS = 20
"""Twenty readings."""

MARGIN_PERCENT = 200
"""Of ten that are offered: a slow machine may leave out several of a healthy sensor's readings."""

ALARM_MS = 3 * DURATION_SECONDS * 1000
"""From the alarm to what follows from it, on pages that look again every few seconds."""


@pytest.fixture
def lab(console_server: RunningServer) -> RunningServer:
    """The server as the document finds it."""
    client = console_server.client
    keys = provision.devices(client, console_server.place)
    provision.sensor_functions(client, keys, console_server.broker, SLOT_SECONDS)
    topic_arn = client("sns").create_topic(Name=TOPIC)["TopicArn"]
    client("sns").subscribe(TopicArn=topic_arn, Protocol="email", Endpoint=EMAIL)
    provision.alert_role(client, ALERT_ROLE, topic_arn)
    client("lambda").create_function(
        FunctionName=ISOLATE_FUNCTION,
        Runtime="python3.11",
        Role=provision.function_role(client, "IsolateDevice-role", provision.allow("iot:AddThingToThingGroup", "*")),
        Handler="lambda_function.lambda_handler",
        Code={"ZipFile": provision.zip_of({"lambda_function.py": provision.isolate_source()})},
    )
    until(lambda: provision.confirm_email(client, EMAIL), 15, "the confirmation mail")
    return console_server


def test_the_whole_document_isolates_the_compromised_sensor_and_not_its_twin(
    lab: RunningServer, tab: Tab, new_tab: Callable[..., Tab]
) -> None:
    """Whoever does what the document says, by mouse and keyboard, ends with SensorDevice02 isolated and 01 not."""
    page, listener = tab.page, new_tab()
    define_unusual_behavior(page)
    create_the_group_that_denies_everything(page)
    give_the_function_its_group_and_trigger(page)

    listener.sign_in()
    watch_both_topics(listener.page)
    expect(said_by(listener.page, BAD).first).to_be_visible()
    simulate_a_compromised_device(page)

    menu(page, "Alarms")
    alarm = page.locator(".listing tbody tr", has_text=BAD)
    expect(alarm).to_contain_text(PROFILE, timeout=ALARM_MS)
    expect(page.locator(".listing tbody tr", has_text=GOOD)).to_have_count(0)
    menu(page, "Outbox")
    page.locator(".listing tbody tr", has_text=BAD).get_by_role("button", name="Read").click()
    expect(page.get_by_role("dialog").locator("pre")).to_contain_text("against the p50 of 1 other device")
    page.keyboard.press("Escape")
    menu(page, "Thing groups")
    page.get_by_role("link", name=GROUP).click()
    page.get_by_role("tab", name="Things").click()
    expect(page.get_by_role("link", name=BAD)).to_be_visible()
    expect(page.get_by_role("link", name=GOOD)).to_have_count(0)
    only_the_twin_is_heard(listener.page)
    assert lab.client("iot").list_things_in_thing_group(thingGroupName=GROUP)["things"] == [BAD]


# --- 1. Define unusual behaviors of your devices ----------------------------------------------------------------------


def define_unusual_behavior(page: Page) -> None:
    menu(page, "Security profiles")
    page.get_by_role("button", name="Create your first security profile").click()
    page.get_by_label("Security profile name").fill(PROFILE)
    page.get_by_label("Behavior name").fill(BEHAVIOR)
    choose(page, "Metric", "Message size")
    choose(page, "Check type", "Statistical threshold")
    choose(page, "Operator", "Greater than")
    choose(page, "Statistical threshold", "p50")
    choose(page, "Duration", "Custom …")
    page.get_by_label("Seconds").fill(str(DURATION_SECONDS))
    page.get_by_label("Datapoints to alarm").fill("1")
    page.get_by_label("Datapoints to clear").fill("2")
    page.get_by_label("Margin around statistical thresholds").fill(str(MARGIN_PERCENT))
    expect(page.get_by_text(f"Message size over {DURATION_SECONDS} seconds is greater than p50")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    choose(page, "SNS topic", TOPIC)
    choose(page, "IAM role", ALERT_ROLE)
    choose(page, "Additional metrics to retain", "Message size")
    page.get_by_role("option", name="Messages received", exact=True).click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Next").click()
    page.get_by_role("checkbox", name="All things").click()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("group", name="Summary")).to_contain_text(TOPIC)
    page.get_by_role("button", name="Save").click()
    heading_is(page, PROFILE)


# --- 2. Respond to a violation ----------------------------------------------------------------------------------------


def create_the_group_that_denies_everything(page: Page) -> None:
    menu(page, "Thing groups")
    page.get_by_role("button", name="Create thing group").click()
    page.get_by_label("Thing group name").fill(GROUP)
    page.get_by_role("dialog").get_by_role("button", name="Create thing group").click()
    heading_is(page, GROUP)
    menu(page, "Policies")
    page.get_by_role("button", name="Create").click()
    page.get_by_label("Name").fill("DenyAll")
    page.get_by_label("Action").fill("iot:*")
    page.get_by_label("Resource ARN").fill("*")
    page.get_by_role("radio", name="Deny").click()
    page.get_by_role("button", name="Create", exact=True).click()
    heading_is(page, "DenyAll")
    menu(page, "Thing groups")
    page.get_by_role("link", name=GROUP).click()
    page.get_by_role("tab", name="Security").click()
    page.get_by_role("button", name="Edit").click()
    pick(page, "Policies", "DenyAll")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("isolates its things")).to_be_visible()


def give_the_function_its_group_and_trigger(page: Page) -> None:
    menu(page, "Functions")
    page.get_by_role("link", name=ISOLATE_FUNCTION).click()
    expect(editor(page)).to_contain_text("add_thing_to_thing_group")
    page.get_by_role("button", name="Manage environment variables").click()
    page.get_by_role("button", name="Add environment variable").click()
    page.get_by_label("Key").fill("ThingGroupName")
    page.get_by_label("Value").fill(GROUP)
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.locator("dt", has_text="ThingGroupName")).to_be_visible()
    page.get_by_role("button", name="Add trigger").click()
    choose(page, "SNS topic", TOPIC)
    page.get_by_role("checkbox", name="Enable trigger").check()
    page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("tr", has_text=TOPIC)).to_contain_text("Enabled")


# --- 3. Simulate a compromised device ---------------------------------------------------------------------------------


def simulate_a_compromised_device(page: Page) -> None:
    menu(page, "Functions")
    page.get_by_role("link", name=provision.function_of(BAD)).click()
    editor(page).locator(".cm-line", has_text="random.uniform").click()
    page.keyboard.press("Home")
    page.keyboard.type("# ")
    editor(page).locator(".cm-line", has_text="random.choices").click()
    page.keyboard.press("Home")
    page.keyboard.press("Delete")
    page.keyboard.press("Delete")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("sensor.py is saved.")).to_be_visible()


def watch_both_topics(page: Page) -> None:
    menu(page, "MQTT test client")
    for sensor in SENSORS:
        page.get_by_label("Topic filter").fill(provision.topic_of(sensor))
        page.get_by_role("button", name="Subscribe", exact=True).click()
        expect(page.get_by_role("button", name=f"Unsubscribe from {provision.topic_of(sensor)}")).to_be_visible()


def only_the_twin_is_heard(page: Page) -> None:
    """Cleared once the first refusal is told, the page fills with the readings of SensorDevice01 alone."""
    refused = page.get_by_label("Refused meanwhile")
    expect(refused).to_contain_text(f"{BAD}: connection ended or refused")
    expect(refused).to_contain_text("denied by policy DenyAll")
    expect(refused).not_to_contain_text(GOOD)
    page.get_by_role("button", name="Clear").click()
    expect(said_by(page, GOOD).nth(2)).to_be_visible()
    expect(said_by(page, BAD)).to_have_count(0)


def said_by(page: Page, sensor: str) -> Locator:
    return page.locator(".message", has_text=f"from {sensor}")
