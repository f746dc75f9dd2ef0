"""The console's security profiles in a real browser: the document's section 1 by mouse and by keyboard, and what else
is done with a profile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from steps import choose, heading_is
from tabs import Tab

from devices import Sensor
from fleetward.simulate import provision
from fleetward.simulate.provision import BEHAVIOR, PROFILE, SENSORS, TOPIC, alert_role
from running_server import RunningServer, until

PASSWORD = "Correct-horse-1"
METRICS = ("aws:message-byte-size", "aws:num-messages-received")


@pytest.fixture
def iot(console_server: RunningServer) -> Iterator[Any]:
    """The API; profiles, mitigation actions, roles and topics that a test leaves behind are deleted."""
    client = console_server.client("iot")
    yield client
    for profile in client.list_security_profiles()["securityProfileIdentifiers"]:
        client.delete_security_profile(securityProfileName=profile["name"])
    for action in client.list_mitigation_actions()["actionIdentifiers"]:
        client.delete_mitigation_action(actionName=action["actionName"])
    iam, sns = console_server.client("iam"), console_server.client("sns")
    for role in iam.list_roles()["Roles"]:
        for policy in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
            iam.delete_role_policy(RoleName=role["RoleName"], PolicyName=policy)
        iam.delete_role(RoleName=role["RoleName"])
    for topic in sns.list_topics()["Topics"]:
        sns.delete_topic(TopicArn=topic["TopicArn"])


@pytest.fixture
def topic_arn(iot: Any, console_server: RunningServer) -> str:
    return str(console_server.client("sns").create_topic(Name=TOPIC)["TopicArn"])


def create(iot: Any, name: str = PROFILE, **members: Any) -> None:
    criteria = {
        "comparisonOperator": "less-than-equals",
        "durationSeconds": 300,
        "statisticalThreshold": {"statistic": "p50"},
    }
    behavior = {"name": BEHAVIOR, "metric": "aws:message-byte-size", "criteria": criteria}
    iot.create_security_profile(securityProfileName=name, **{"behaviors": [behavior], **members})


def stored(iot: Any) -> dict[str, Any]:
    """The document's profile as the API has it, with its tags and targets."""
    profile = iot.describe_security_profile(securityProfileName=PROFILE)
    tags = iot.list_tags_for_resource(resourceArn=profile["securityProfileArn"])["tags"]
    targets = iot.list_targets_for_security_profile(securityProfileName=PROFILE)["securityProfileTargets"]
    return {
        "behaviors": profile["behaviors"],
        "alertTargets": profile.get("alertTargets"),
        "additionalMetricsToRetainV2": profile.get("additionalMetricsToRetainV2"),
        "tags": tags,
        "targets": [target["arn"].split(":", 5)[-1] for target in targets],
    }


def the_documents(topic_arn: str, role_arn: str) -> dict[str, Any]:
    return {
        "behaviors": [
            {
                "name": BEHAVIOR,
                "metric": "aws:message-byte-size",
                "criteria": {
                    "comparisonOperator": "less-than-equals",
                    "durationSeconds": 300,
                    "consecutiveDatapointsToAlarm": 1,
                    "consecutiveDatapointsToClear": 2,
                    "statisticalThreshold": {"statistic": "p50"},
                },
            }
        ],
        "alertTargets": {"SNS": {"alertTargetArn": topic_arn, "roleArn": role_arn}},
        "additionalMetricsToRetainV2": [{"metric": metric} for metric in METRICS],
        "tags": [{"Key": "statistical-margin-percent", "Value": "10"}],
        "targets": ["all/things"],
    }


# --- the document -----------------------------------------------------------------------------------------------------


def test_the_document_by_mouse(tab: Tab, iot: Any, topic_arn: str, console_server: RunningServer) -> None:
    """Section 1 of the document, click by click, stores exactly the profile it describes."""
    page = tab.open("/fleet")
    page.get_by_role("navigation").get_by_text("Security profiles").click()
    page.get_by_role("button", name="Create your first security profile").click()
    page.get_by_label("Security profile name").fill(PROFILE)
    page.get_by_label("Behavior name").fill(BEHAVIOR)
    choose(page, "Metric", "Message size")
    choose(page, "Check type", "Statistical threshold")
    choose(page, "Operator", "Greater than")
    choose(page, "Statistical threshold", "p50")
    choose(page, "Duration", "5 minutes")
    page.get_by_label("Datapoints to alarm").fill("1")
    page.get_by_label("Datapoints to clear").fill("2")
    expect(page.get_by_text("less-than-equals p50", exact=False)).to_be_visible()
    expect(page.get_by_text("greater than p50 of all other devices by more than 10 %", exact=False)).to_be_visible()
    page.get_by_role("button", name="Next").click()

    choose(page, "SNS topic", TOPIC)
    page.get_by_role("button", name="Create a role").click()
    expect(page.get_by_text("may publish to BadIoTDevices")).to_be_visible()
    choose(page, "Additional metrics to retain", "Message size")
    page.get_by_role("option", name="Messages received", exact=True).click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Next").click()

    page.get_by_role("checkbox", name="All things").click()
    page.get_by_role("button", name="Next").click()
    summary = page.get_by_role("group", name="Summary")
    for text in (PROFILE, TOPIC, "Message size, Messages received", "All things", "10 %"):
        expect(summary.get_by_text(text, exact=True)).to_be_visible()
    page.get_by_role("button", name="Save").click()
    heading_is(page, PROFILE)

    (role,) = console_server.client("iam").list_roles()["Roles"]
    assert stored(iot) == the_documents(topic_arn, role["Arn"])
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "iot.amazonaws.com"}
    permission = console_server.client("iam").get_role_policy(RoleName=role["RoleName"], PolicyName="Publish")
    (statement,) = permission["PolicyDocument"]["Statement"]
    assert (statement["Action"], statement["Resource"]) == ("sns:Publish", topic_arn)


def test_the_document_by_keyboard_only(tab: Tab, iot: Any, topic_arn: str, console_server: RunningServer) -> None:
    """The same with no mouse: every field is reached with Tab, every choice made with letters, arrows and Enter."""
    role_arn = alert_role(console_server.client, "lab-SNSTopicRole-1", topic_arn)
    page = tab.open("/profiles")
    press(page, "Create your first security profile")
    heading_is(page, "Create security profile")
    write(page, "Security profile name", PROFILE)
    write(page, "Behavior name", BEHAVIOR)
    pick(page, "Metric", "Message size")
    pick(page, "Check type", "Statistical threshold")
    pick(page, "Operator", "Greater than")
    pick(page, "Statistical threshold", "p50")
    pick(page, "Duration", "5 minutes")
    write(page, "Datapoints to alarm", "1")
    write(page, "Datapoints to clear", "2")
    press(page, "Next")
    expect(page.get_by_role("group", name="Alert targets and metrics")).to_be_focused()
    pick(page, "SNS topic", TOPIC)
    pick(page, "IAM role", "lab-SNSTopicRole-1")
    pick(page, "Additional metrics to retain", "Message size", "Messages received")
    press(page, "Next")
    expect(page.get_by_role("group", name="Attach to targets")).to_be_focused()
    press(page, "All things", key="Space")
    press(page, "Next")
    expect(page.get_by_role("group", name="Summary")).to_be_focused()
    press(page, "Save")
    heading_is(page, PROFILE)
    assert stored(iot) == the_documents(topic_arn, role_arn)


FOCUSED = """() => {
    const it = document.activeElement;
    if (it === document.body) return '';
    const text = it.labels?.[0]?.innerText || it.innerText?.split('\\n').pop() || '';
    return it.getAttribute('aria-label') || text;
}"""
"""What the element that has the focus is called; icons come before the text."""


def go_to(page: Page, label: str) -> None:
    """Tab after Tab until what is called `label` has the focus."""
    for _ in range(80):
        if page.evaluate(FOCUSED).strip() == label:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{label} is out of the keyboard's reach; the focus is on {page.evaluate(FOCUSED)!r}")


def press(page: Page, label: str, key: str = "Enter") -> None:
    expect(page.get_by_text(label, exact=True).first).to_be_visible()
    go_to(page, label)
    page.keyboard.press(key)


def write(page: Page, label: str, text: str) -> None:
    go_to(page, label)
    page.keyboard.press("Control+A")
    page.keyboard.type(text)
    assert page.evaluate("document.activeElement.value") == text


def pick(page: Page, label: str, *options: str) -> None:
    """Opens the select and walks to each option with the arrow keys."""
    go_to(page, label)
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("listbox")).to_be_visible()
    for option in options:
        wanted = page.get_by_role("option", name=option, exact=True)
        for _ in range(80):
            if "q-manual-focusable--focused" in (wanted.get_attribute("class") or ""):
                break
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
    if page.get_by_role("listbox").is_visible():
        page.keyboard.press("Escape")
    # It takes the focus once more when it has faded out, and would take what is typed until then.
    expect(page.locator(".q-menu")).to_have_count(0)


# --- what else is done with a profile ---------------------------------------------------------------------------------


def test_an_empty_store_says_what_would_be_here(tab: Tab, iot: Any) -> None:
    """Without profiles the page says what one is and offers to create the first."""
    page = tab.open("/profiles")
    expect(page.get_by_text("No security profiles yet")).to_be_visible()
    expect(page.get_by_role("button", name="Create security profile", exact=True)).to_be_hidden()


def test_the_list_is_marked_by_lint(tab: Tab, iot: Any) -> None:
    """The list leads to each profile and gets its lint mark after it is shown; the profile's page tells the advice."""
    create(iot, "Inverted", behaviors=[{"name": "b", "metric": "aws:message-byte-size", "criteria": INVERTED}])
    page = tab.open("/profiles")
    expect(page.get_by_text("warning")).to_be_visible()
    page.get_by_role("link", name="Inverted").click()
    heading_is(page, "Inverted")
    expect(page.get_by_text("says what is normal")).to_be_visible()
    expect(page.get_by_role("link", name="Open alarms")).to_have_attribute("href", "/console/alarms?profile=Inverted")


INVERTED = {
    "comparisonOperator": "greater-than",
    "durationSeconds": 300,
    "statisticalThreshold": {"statistic": "p50"},
}


def test_editing_changes_what_was_changed_only(
    tab: Tab, iot: Any, topic_arn: str, console_server: RunningServer
) -> None:
    """A profile made through the API comes out of the wizard as it went in, but for what was changed."""
    role_arn = alert_role(console_server.client, "lab-SNSTopicRole-1", topic_arn)
    alerts = {"SNS": {"alertTargetArn": topic_arn, "roleArn": role_arn}}
    tags = [{"Key": "team", "Value": "blue"}]
    create(iot, tags=tags, alertTargets=alerts, additionalMetricsToRetain=["aws:num-messages-sent"])
    iot.create_thing_group(thingGroupName="Sensors")
    group_arn = iot.describe_thing_group(thingGroupName="Sensors")["thingGroupArn"]
    page = tab.open(f"/profiles/{PROFILE}")
    page.get_by_role("button", name="Edit").click()
    heading_is(page, f"Edit {PROFILE}")
    choose(page, "Duration", "10 minutes")
    page.get_by_label("Margin around statistical thresholds").fill("25")
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("combobox", name="Thing groups").fill("Sens")
    page.get_by_role("option", name="Sensors").click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Save").click()
    heading_is(page, PROFILE)
    found = stored(iot)
    assert found["behaviors"][0]["criteria"]["durationSeconds"] == 600
    assert found["behaviors"][0]["criteria"]["comparisonOperator"] == "less-than-equals"
    assert found["alertTargets"] == alerts
    assert found["additionalMetricsToRetainV2"] == [{"metric": "aws:num-messages-sent"}]
    assert {tag["Key"]: tag["Value"] for tag in found["tags"]} == {"team": "blue", "statistical-margin-percent": "25"}
    assert found["targets"] == [group_arn.split(":", 5)[-1]]
    iot.delete_thing_group(thingGroupName="Sensors")


def test_what_is_done_by_itself_is_chosen_and_kept(tab: Tab, iot: Any, console_server: RunningServer) -> None:
    """Mitigation actions and the export are chosen in the wizard, kept by an edit of something else, and taken away."""
    role_arn = provision.role(console_server.client, "Doing", "iot.amazonaws.com")
    group = iot.create_thing_group(thingGroupName="Isolated")["thingGroupName"]
    into = {"addThingsToThingGroupParams": {"thingGroupNames": [group]}}
    iot.create_mitigation_action(actionName="Isolate", roleArn=role_arn, actionParams=into)
    create(iot)
    page = tab.open(f"/profiles/{PROFILE}/edit")
    page.get_by_role("checkbox", name="Export its metric").click()
    page.get_by_role("button", name="Next").click()
    choose(page, "Mitigation actions", "Isolate")
    page.keyboard.press("Escape")
    page.get_by_label("MQTT topic").fill("metrics/out")
    page.get_by_role("button", name="Next").click()
    expect(
        page.get_by_role("alert").filter(has_text="Choose the IAM role that may publish to the MQTT")
    ).to_be_visible()
    choose(page, "IAM role for the export", "Doing")
    save(page, "Next", "Next", "Save")
    exported = {"mqttTopic": "metrics/out", "roleArn": role_arn}
    assert automatic(iot) == ("Isolate", exported, True)
    expect(page.get_by_text("Isolate: run when a device alarms.")).to_be_visible()

    tab.open(f"/profiles/{PROFILE}/edit")
    page.get_by_label("Description").fill("other words")
    save(page, "Next", "Next", "Next", "Save")
    assert iot.describe_security_profile(securityProfileName=PROFILE)["securityProfileDescription"] == "other words"
    assert automatic(iot) == ("Isolate", exported, True)

    tab.open(f"/profiles/{PROFILE}/edit")
    page.get_by_role("button", name="Next").click()
    choose(page, "Mitigation actions", "Isolate")
    page.keyboard.press("Escape")
    page.get_by_label("MQTT topic").fill("")
    page.get_by_label("IAM role for the export").locator("xpath=ancestor::label").get_by_text("cancel").click()
    save(page, "Next", "Next", "Save")
    assert automatic(iot)[:2] == (None, None)


def save(page: Page, *buttons: str) -> None:
    for button in buttons:
        page.get_by_role("button", name=button, exact=True).click()
    heading_is(page, PROFILE)


def automatic(iot: Any) -> tuple[str | None, Any, bool]:
    """The actions that run by themselves, the export, and whether its behaviour is exported."""
    profile = iot.describe_security_profile(securityProfileName=PROFILE)
    tags = iot.list_tags_for_resource(resourceArn=profile["securityProfileArn"])["tags"]
    actions = next((tag["Value"] for tag in tags if tag["Key"] == "mitigation-actions"), None)
    return actions, profile.get("metricsExportConfig"), profile["behaviors"][0].get("exportMetric", False)


def test_choices_made_before_the_server_answers_are_all_kept(tab: Tab, iot: Any, console_server: RunningServer) -> None:
    """Metrics that are chosen one right after the other, while the server is slow, are all shown and stored."""
    create(iot)
    page = tab.open(f"/profiles/{PROFILE}/edit")
    page.get_by_role("button", name="Next").click()
    page.get_by_role("combobox", name="Additional metrics to retain").click()
    wanted = ("Message size", "Messages received", "Bytes out")
    with console_server.suspended():
        for option in wanted:
            page.get_by_role("option", name=option, exact=True).click()
            expect(page.locator(".q-chip", has_text=option)).to_be_visible()
    page.keyboard.press("Escape")
    for button in ("Next", "Next", "Save"):
        page.get_by_role("button", name=button).click()
    heading_is(page, PROFILE)
    kept = [entry["metric"] for entry in stored(iot)["additionalMetricsToRetainV2"]]
    assert kept == ["aws:message-byte-size", "aws:num-messages-received", "aws:all-bytes-out"]


def test_deleting_says_what_follows(tab: Tab, iot: Any) -> None:
    """A profile is deleted only after its consequence was said and accepted."""
    create(iot)
    page = tab.open(f"/profiles/{PROFILE}")
    page.get_by_role("button", name="Delete …").click()
    expect(page.get_by_text("stay on record")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    assert iot.list_security_profiles()["securityProfileIdentifiers"]
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    heading_is(page, "Security profiles")
    assert iot.list_security_profiles()["securityProfileIdentifiers"] == []


def test_what_is_wrong_stands_at_its_behavior(tab: Tab, iot: Any) -> None:
    """What the API refuses of a behaviour is told in that behaviour's form, and the step is not left."""
    page = tab.open("/profiles/create")
    page.get_by_label("Security profile name").fill("Refused")
    page.get_by_label("Behavior name").fill("Good")
    page.get_by_role("button", name="Add behavior").click()
    second = page.locator(".behavior").nth(1)
    second.get_by_label("Behavior name").fill("Ports")
    second.get_by_role("combobox", name="Metric").click()
    page.get_by_role("option", name="Listening TCP ports", exact=True).click()
    second.get_by_label("Elements, one a line").fill("443\nssh")
    expect(second.get_by_role("alert")).to_contain_text("ssh is not a number")
    second.get_by_label("Elements, one a line").fill("443\n70000")
    expect(second.get_by_role("alert")).to_contain_text("70000 should be in range")
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("A behavior is not complete yet")).to_be_visible()
    expect(page.locator(".behavior").nth(0).get_by_role("alert")).to_have_count(0)
    second.get_by_label("Behavior name").fill("Not a name")
    expect(second.get_by_role("alert")).to_contain_text("should match")
    assert iot.list_security_profiles()["securityProfileIdentifiers"] == []


def test_per_minute_is_scaled_to_the_duration(tab: Tab, iot: Any) -> None:
    """1000 bytes in a minute over 5 minutes are stored as a bound of 5000."""
    page = tab.open("/profiles/create")
    page.get_by_label("Security profile name").fill("PerMinute")
    page.get_by_label("Behavior name").fill("Out")
    choose(page, "Metric", "Bytes out")
    choose(page, "Check type", "Absolute value")
    page.get_by_label("Value", exact=True).fill("1000")
    choose(page, "Value is", "per minute")
    expect(page.get_by_text("over 300 seconds = 5,000 bytes")).to_be_visible()
    for button in ("Next", "Next", "Next", "Save"):
        page.get_by_role("button", name=button).click()
    heading_is(page, "PerMinute")
    (behavior,) = iot.describe_security_profile(securityProfileName="PerMinute")["behaviors"]
    assert behavior["criteria"]["value"] == {"count": 5000}
    assert behavior["criteria"]["comparisonOperator"] == "less-than-equals"


def test_the_preview_says_when_there_is_nothing_to_look_back_at(tab: Tab, iot: Any) -> None:
    """A preview is run before anything is saved, and says so when the history tells nothing."""
    page = tab.open("/profiles/create")
    page.get_by_label("Behavior name").fill(BEHAVIOR)
    page.get_by_role("button", name="Show preview").click()
    expect(page.get_by_text("Nothing could be replayed")).to_be_visible()
    assert iot.list_security_profiles()["securityProfileIdentifiers"] == []


def test_the_preview_names_who_would_have_been_flagged(
    tab: Tab, iot: Any, tmp_path: Path, console_server: RunningServer
) -> None:
    """Before anything is saved, the preview shows by name which device of the last hours would have alarmed."""
    criteria = {"comparisonOperator": "less-than-equals", "durationSeconds": 5, "value": {"count": 10**6}}
    behavior = {"name": "KeepsHistory", "metric": "aws:message-byte-size", "criteria": criteria}
    create(iot, "KeepsHistory", behaviors=[behavior])
    iot.attach_security_profile(
        securityProfileName="KeepsHistory",
        securityProfileTargetArn=f"arn:aws:iot:{console_server.place}:all/things",
    )
    keys = provision.devices(console_server.client, console_server.place)
    sensors = [Sensor(name, keys, console_server.broker, tmp_path) for name in SENSORS]
    for sensor in sensors:
        sensor.start()
    sensors[1].compromised = True
    page = tab.open("/profiles/create")
    page.get_by_label("Behavior name").fill(BEHAVIOR)
    choose(page, "Duration", "Custom …")
    page.get_by_label("Seconds").fill("5")
    expect(page.get_by_text("Message size over 5 seconds is greater than p50", exact=False)).to_be_visible()

    def flagged() -> bool:
        page.get_by_role("button", name="Show preview").click()
        page.wait_for_timeout(500)
        return page.get_by_text("1 device would have been flagged.").is_visible()

    until(flagged, 30, "the preview")
    for sensor in sensors:
        sensor.close()
    expect(page.get_by_role("link", name=SENSORS[1])).to_be_visible()
    expect(page.get_by_text("against the p50 of 1 other device", exact=False)).to_be_visible()
    expect(page.locator(".preview canvas, .preview svg").first).to_be_visible()


def test_custom_metrics_and_dimensions_can_be_chosen(tab: Tab, iot: Any) -> None:
    """A behaviour may be about the messages of a dimension only, or about a custom metric."""
    iot.create_dimension(name="Telemetry", type="TOPIC_FILTER", stringValues=["dt/#"], clientRequestToken="1")
    iot.create_custom_metric(metricName="battery", metricType="number", clientRequestToken="1")
    page = tab.open("/profiles/create")
    page.get_by_label("Security profile name").fill("Both")
    first = page.locator(".behavior").nth(0)
    first.get_by_label("Behavior name").fill("Topics")
    choose(page, "Dimension", "Outside Telemetry")
    page.get_by_role("button", name="Add behavior").click()
    second = page.locator(".behavior").nth(1)
    second.get_by_label("Behavior name").fill("Battery")
    second.get_by_role("combobox", name="Metric").click()
    page.get_by_role("option", name="battery (custom)").click()
    second.get_by_role("combobox", name="Check type").click()
    page.get_by_role("option", name="Absolute value").click()
    second.get_by_role("combobox", name="Operator").click()
    page.get_by_role("option", name="Less than", exact=True).click()
    second.get_by_label("Value", exact=True).fill("3.5")
    for button in ("Next", "Next", "Next", "Save"):
        page.get_by_role("button", name=button).click()
    heading_is(page, "Both")
    topics, battery = iot.describe_security_profile(securityProfileName="Both")["behaviors"]
    assert topics["metricDimension"] == {"dimensionName": "Telemetry", "operator": "NOT_IN"}
    assert battery["metric"] == "battery"
    assert battery["criteria"]["comparisonOperator"] == "greater-than-equals"
    assert battery["criteria"]["value"] == {"number": 3.5}
    iot.delete_security_profile(securityProfileName="Both")
    iot.delete_custom_metric(metricName="battery")
    iot.delete_dimension(name="Telemetry")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_out_of_reach_or_out_of_sight(new_tab: Callable[..., Tab], iot: Any, axe: str, scheme: str) -> None:
    """At 390 pixels nothing needs scrolling sideways, and axe-core has nothing serious to say of any page or step."""
    create(iot)
    tab = new_tab(width=390, color_scheme=scheme)
    page = tab.sign_in()
    page.wait_for_url("**/console/fleet")
    for path in ("/profiles", f"/profiles/{PROFILE}", f"/profiles/{PROFILE}/edit"):
        tab.open(path)
        expect(page.get_by_text("…", exact=True)).to_have_count(0)
        is_well(page, axe)
    for step in ("Alert targets and metrics", "Attach to targets", "Summary"):
        page.get_by_role("button", name="Next").click()
        expect(page.get_by_role("group", name=step)).to_be_visible()
        is_well(page, axe)


def is_well(page: Page, axe: str) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.evaluate(axe)
    found = page.evaluate("axe.run()")["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_a_viewer_changes_nothing(
    new_tab: Callable[..., Tab], tab: Tab, iot: Any, console_server: RunningServer
) -> None:
    """A viewer sees profiles and is offered nothing; one who loses the right while the wizard is open is refused."""
    create(iot)
    iam = console_server.client("iam")
    iam.create_user(UserName="vera")
    iam.create_login_profile(UserName="vera", Password=PASSWORD)
    for policy in ("ReadOnlyAccess", "AWSIoTFullAccess"):
        iam.attach_user_policy(UserName="vera", PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
    viewer = new_tab()
    viewer.sign_in("vera", PASSWORD).wait_for_url("**/console/fleet")
    page = viewer.open("/profiles/create")
    page.get_by_label("Security profile name").fill("Sneaky")
    page.get_by_label("Behavior name").fill("b")
    for _ in range(3):
        page.get_by_role("button", name="Next").click()
    iam.detach_user_policy(UserName="vera", PolicyArn="arn:aws:iam::aws:policy/AWSIoTFullAccess")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("is not authorized to perform: iot:CreateSecurityProfile")).to_be_visible()
    names = [profile["name"] for profile in iot.list_security_profiles()["securityProfileIdentifiers"]]
    assert names == [PROFILE]

    viewer.open("/profiles")
    expect(page.get_by_role("link", name=PROFILE)).to_be_visible()
    expect(page.get_by_role("button", name="Create")).to_have_count(0)
    viewer.open(f"/profiles/{PROFILE}")
    expect(page.get_by_text("Lint", exact=True)).to_be_visible()
    for name in ("Edit", "Delete"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    viewer.open(f"/profiles/{PROFILE}/edit")
    expect(page.get_by_text("You may not change security profiles")).to_be_visible()
