"""Functions in the console: the story's sections 2.2 and 3.1 by clicks and typing."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError
from playwright.sync_api import expect
from steps import editor
from tabs import Tab

from fleetward.simulate.provision import function_role, isolate_source, zip_of
from running_server import RunningServer, until

PASSWORD = "Correct-horse-1"
SENSOR = """import random
import string


def lambda_handler(event, context):
    telemetrydata = round(random.uniform(15.1,29.9),2)

    # telemetrydata = ''.join(random.choices(string.ascii_uppercase + string.digits, k = 3000))

    return len(str(telemetrydata))
"""


@pytest.fixture(scope="module")
def role_arn(console_server: RunningServer) -> str:
    return function_role(console_server.client, "functions")


def make(console_server: RunningServer, role: str, name: str, **files: str) -> str:
    """A function of these files (by stem); returns its ARN."""
    package = zip_of({f"{stem}.py": text for stem, text in files.items()})
    made = console_server.client("lambda").create_function(
        FunctionName=name, Runtime="python3.11", Role=role, Handler="main.lambda_handler", Code={"ZipFile": package}
    )
    return str(made["FunctionArn"])


def source_of(console_server: RunningServer, name: str, path: str = "main.py") -> str:
    return str(console_server.client("fleetward").describe_function_file(functionName=name, path=path)["text"])


def test_a_function_isolates_the_device_that_an_alert_names(tab: Tab, console_server: RunningServer) -> None:
    """Section 2.2: the function from its template, its variable, its trigger; then an alert moves the thing."""
    console_server.client("sns").create_topic(Name="BadIoTDevices")
    iot = console_server.client("iot")
    iot.create_thing(thingName="SensorDevice02")
    iot.create_thing_group(thingGroupName="IsolatedDevices")
    page = tab.open("/functions")
    page.get_by_role("button", name="Create function").click()
    page.get_by_label("Start from").click()
    page.get_by_role("option", name="IsolateDevice").click()
    expect(page.get_by_label("Function name")).to_have_value("IsolateDevice")
    page.get_by_role("dialog").get_by_role("button", name="Create function").click()
    expect(page.get_by_role("heading", name="Function code")).to_be_visible()
    expect(editor(page)).to_contain_text("add_thing_to_thing_group")
    page.get_by_role("button", name="Manage environment variables").click()
    page.get_by_role("button", name="Add environment variable").click()
    page.get_by_label("Key").fill("ThingGroupName")
    page.get_by_label("Value").fill("IsolatedDevices")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.locator("dt", has_text="ThingGroupName")).to_be_visible()
    page.get_by_role("button", name="Add trigger").click()
    page.get_by_label("SNS topic").click()
    page.get_by_role("option", name="BadIoTDevices").click()
    page.get_by_role("checkbox", name="Enable trigger").check()
    page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("tr", has_text="BadIoTDevices")).to_contain_text("Enabled")
    page = tab.open("/topics/BadIoTDevices")
    page.get_by_role("button", name="Publish message").click()
    page.get_by_label("Message", exact=True).fill(json.dumps({"thingName": "SensorDevice02"}))
    page.get_by_role("dialog").get_by_role("button", name="Publish").click()
    members = lambda: iot.list_things_in_thing_group(thingGroupName="IsolatedDevices")["things"]  # noqa: E731
    assert until(members, 15, "the isolation") == ["SensorDevice02"]
    expect(page.locator(".listing").last.locator("tbody tr").first).to_contain_text("function succeeded")
    page.get_by_role("link", name="IsolateDevice").last.click()
    expect(page.locator(".listing").last.locator("tbody tr").first).to_contain_text("succeeded")


def test_a_sensors_source_is_edited_by_typing(tab: Tab, console_server: RunningServer, role_arn: str) -> None:
    """Section 3.1: the one line is commented out, the other one in; all other files stay, and the change bites."""
    make(console_server, role_arn, "SensorDevice02-function", main=SENSOR, other="KEPT = 1\n")
    page = tab.open("/functions/SensorDevice02-function")
    editor(page).locator(".cm-line", has_text="random.uniform").click()
    page.keyboard.press("Home")
    page.keyboard.type("# ")
    editor(page).locator(".cm-line", has_text="random.choices").click()
    page.keyboard.press("Home")
    page.keyboard.press("Delete")
    page.keyboard.press("Delete")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("main.py is saved.")).to_be_visible()
    source = source_of(console_server, "SensorDevice02-function")
    assert "    # telemetrydata = round(" in source
    assert "\n    telemetrydata = ''.join(" in source
    assert source_of(console_server, "SensorDevice02-function", "other.py") == "KEPT = 1\n"
    page.get_by_role("button", name="Test", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("The function succeeded")
    expect(page.locator("pre.log").first).to_have_text("3000")


def test_a_source_without_an_import_is_saved_with_a_warning_and_fails_with_a_traceback(
    tab: Tab, console_server: RunningServer, role_arn: str
) -> None:
    """The document's source, pasted as it is: the lint names what is missing, it is saved all the same, with its tabs,
    and a run's log tells the same in Python's words."""
    make(console_server, role_arn, "Pasted", main="def lambda_handler(event, context):\n    pass\n")
    pasted = isolate_source().replace("import os\n", "")
    page = tab.open("/functions/Pasted")
    editor(page).click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(pasted)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("name 'os' is not defined")).to_be_visible()
    until(lambda: source_of(console_server, "Pasted") == pasted, 15, "the source")
    alert = {"Records": [{"Sns": {"Message": json.dumps({"thingName": "T"})}}]}
    page.get_by_label("Event (JSON)").fill(json.dumps(alert))
    page.get_by_role("button", name="Test", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("The function failed")
    expect(page.locator("pre.log").first).to_contain_text("NameError: name 'os' is not defined")
    expect(page.locator("pre.log").first).to_contain_text("main.py")
    console_server.client("lambda").invoke(FunctionName="Pasted", InvocationType="Event", Payload=json.dumps(alert))
    line = page.locator(".listing").last.locator("tbody tr", has_text="NameError")
    line.get_by_role("button", name="Log").click()
    log = page.get_by_role("dialog").locator("pre")
    expect(log).to_contain_text("[ERROR] NameError: name 'os' is not defined")
    expect(log).to_contain_text("START RequestId")


def test_a_schedule_calls_the_function_until_it_is_removed(
    tab: Tab, console_server: RunningServer, role_arn: str
) -> None:
    """A trigger of seconds shows its runs here; removed, it leaves no rule behind; nonsense is refused in words."""
    make(console_server, role_arn, "Ticking", main="def lambda_handler(event, context):\n    print('tick')\n")
    page = tab.open("/functions/Ticking")
    page.get_by_role("button", name="Add trigger").click()
    page.get_by_label("Trigger", exact=True).click()
    page.get_by_role("option", name="EventBridge").click()
    page.get_by_label("Rule name").fill("tick")
    page.get_by_label("Schedule expression").fill("now and then")
    page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("ScheduleExpression is not valid")).to_be_visible()
    page.get_by_role("button", name="Close").click()
    page.get_by_label("Schedule expression").fill("rate(1 second)")
    page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("tr", has_text="rate(1 second)")).to_contain_text("Enabled")
    expect(page.locator(".listing").last.locator("tbody tr", has_text="schedule tick").first).to_contain_text(
        "succeeded"
    )
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("Nothing sets it off yet")).to_be_visible()
    assert console_server.client("events").list_rules(NamePrefix="tick")["Rules"] == []


def test_a_viewer_reads_a_source_and_changes_nothing(
    new_tab: Callable[..., Tab], console_server: RunningServer, role_arn: str
) -> None:
    """Somebody who may only read sees the source and is offered no change."""
    make(console_server, role_arn, "Looked-at", main="def lambda_handler(event, context):\n    return 1\n")
    iam = console_server.client("iam")
    iam.create_user(UserName="viewer")
    iam.create_login_profile(UserName="viewer", Password=PASSWORD)
    iam.attach_user_policy(UserName="viewer", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    tab = new_tab()
    tab.sign_in("viewer", PASSWORD)
    tab.page.wait_for_url("**/console/fleet")
    page = tab.open("/functions")
    expect(page.get_by_role("link", name="Looked-at")).to_be_visible()
    expect(page.get_by_role("button", name="Create function")).to_have_count(0)
    page = tab.open("/functions/Looked-at")
    expect(editor(page)).to_contain_text("return 1")
    for name in ("Save", "Test", "Add trigger", "Manage environment variables", "Delete function"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)


def test_values_of_variables_are_shown_on_demand(
    tab: Tab, new_tab: Callable[..., Tab], console_server: RunningServer, role_arn: str
) -> None:
    """What a variable holds comes to the browser only when somebody who may change it asks; others see its name."""
    make(console_server, role_arn, "Secretive", main="def lambda_handler(event, context):\n    return 1\n")
    secret = {"Variables": {"TOKEN": "swordfish"}}
    console_server.client("lambda").update_function_configuration(FunctionName="Secretive", Environment=secret)
    page = tab.open("/functions/Secretive")
    expect(page.get_by_text("TOKEN")).to_be_visible()
    assert "swordfish" not in page.content()
    page.get_by_role("button", name="Show values").click()
    expect(page.get_by_text("swordfish")).to_be_visible()
    page.get_by_role("button", name="Hide values").click()
    expect(page.get_by_text("swordfish")).to_have_count(0)

    iam = console_server.client("iam")
    iam.create_user(UserName="curious")
    iam.create_login_profile(UserName="curious", Password=PASSWORD)
    iam.attach_user_policy(UserName="curious", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    other = new_tab()
    other.sign_in("curious", PASSWORD).wait_for_url("**/console/fleet")
    page = other.open("/functions/Secretive")
    expect(page.get_by_text("TOKEN")).to_be_visible()
    assert "swordfish" not in page.content()
    expect(page.get_by_role("button", name="Show values")).to_have_count(0)


def test_the_editor_is_dark_on_a_dark_page(tab: Tab, console_server: RunningServer, role_arn: str) -> None:
    """The editor follows the system's scheme and the person's choice, at once."""
    make(console_server, role_arn, "Coloured", main="def lambda_handler(event, context):\n    return 1\n")
    page = tab.open("/functions/Coloured")
    expect(editor(page)).to_contain_text("return 1")
    light, dark = "rgb(255, 255, 255)", "rgb(13, 17, 23)"
    expect(page.locator(".cm-editor")).to_have_css("background-color", light)
    page.emulate_media(color_scheme="dark")
    expect(page.locator(".cm-editor")).to_have_css("background-color", dark)
    page.get_by_role("button", name="root-key-of-the-tests").click()
    page.locator(".q-menu").get_by_text("Light", exact=True).click()
    expect(page.locator(".cm-editor")).to_have_css("background-color", light)


def test_a_private_key_in_a_package_is_not_shown(console_server: RunningServer, role_arn: str) -> None:
    """Packages of devices hold keys; nobody gets them by reading a source."""
    key = "-----BEGIN PRIVATE KEY-----\n"
    make(console_server, role_arn, "Keyed", main="def lambda_handler(event, context):\n    pass\n", key=key)
    with pytest.raises(ClientError, match="holds a private key"):
        source_of(console_server, "Keyed", "key.py")


def test_a_save_over_somebody_elses_is_refused(tab: Tab, console_server: RunningServer, role_arn: str) -> None:
    """Whoever saves what was changed meanwhile is told so, and overwrites nothing."""
    make(console_server, role_arn, "Shared", main="def lambda_handler(event, context):\n    return 1\n")
    page = tab.open("/functions/Shared")
    expect(editor(page)).to_contain_text("return 1")
    theirs = "def lambda_handler(event, context):\n    return 2\n"
    console_server.client("fleetward").update_function_file(functionName="Shared", path="main.py", text=theirs)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert").filter(has_text="changed meanwhile")).to_be_visible()
    assert source_of(console_server, "Shared") == theirs
