"""Things, thing groups, certificates and policies, by clicks and typing in a real browser."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect
from steps import pick
from tabs import Tab

from devices import Device
from fleetward.simulate.provision import Broker, Keys
from running_server import RunningServer

ALLOW_ALL = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}'
PASSWORD = "Correct-horse-1"


def provide(server: RunningServer, thing: str, attached: bool = True) -> Keys:
    """A thing, and a certificate that may do everything."""
    iot = server.client("iot")
    iot.create_thing(thingName=thing)
    made = iot.create_keys_and_certificate(setAsActive=True)
    policy = f"all-{uuid.uuid4().hex[:8]}"
    iot.create_policy(policyName=policy, policyDocument=ALLOW_ALL)
    iot.attach_policy(policyName=policy, target=made["certificateArn"])
    if attached:
        iot.attach_thing_principal(thingName=thing, principal=made["certificateArn"])
    return Keys(made["certificateArn"], made["certificatePem"], made["keyPair"]["PrivateKey"])


def broker_of(server: RunningServer) -> Broker:
    info = server.info
    return Broker(info.mqtt_host, info.mqtt_port, Path(info.ca_file).read_text())


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/things", "No things here"),
        ("/groups", "No thing groups here"),
        ("/certificates", "No certificates here"),
        ("/policies", "No policies yet"),
    ],
)
def test_an_empty_list_says_what_would_be_there(tab: Tab, path: str, words: str) -> None:
    """With an empty store each list says what would be in it and offers to make the first."""
    page = tab.open(path)
    expect(page.get_by_text(words)).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^Create"))).to_be_visible()


def test_the_group_that_denies_everything_is_made_by_clicks(tab: Tab, console_server: RunningServer) -> None:
    """Section 2.1 of the module: group, policy with a Deny of iot:* on *, and the one attached to the other."""
    page = tab.open("/groups")
    page.get_by_role("button", name="Create thing group").click()
    page.get_by_label("Thing group name").fill("IsolatedDevices")
    page.get_by_role("dialog").get_by_role("button", name="Create thing group").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("IsolatedDevices")
    page.locator(".menu-item", has_text="Policies").click()
    page.get_by_role("button", name="Create").click()
    page.get_by_label("Name").fill("DenyAll")
    page.get_by_label("Action").fill("iot:*")
    page.get_by_label("Resource ARN").fill("*")
    page.get_by_role("radio", name="Deny").click()
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("DenyAll")
    page.locator(".menu-item", has_text="Thing groups").click()
    page.get_by_role("link", name="IsolatedDevices").click()
    page.get_by_role("tab", name="Security").click()
    page.get_by_role("button", name="Edit").click()
    pick(page, "Policies", "DenyAll")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("isolates its things")).to_be_visible()
    iot = console_server.client("iot")
    group = iot.describe_thing_group(thingGroupName="IsolatedDevices")["thingGroupArn"]
    assert [one["policyName"] for one in iot.list_attached_policies(target=group)["policies"]] == ["DenyAll"]
    stored = json.loads(iot.get_policy(policyName="DenyAll")["policyDocument"])
    assert stored["Statement"] == [{"Effect": "Deny", "Action": "iot:*", "Resource": "*"}]


def test_a_thing_is_made_with_its_certificate(tab: Tab, console_server: RunningServer) -> None:
    """A thing is made, gets a certificate, and the three files are offered once and belong together."""
    page = tab.open("/things")
    page.get_by_role("button", name="Create thing").click()
    page.get_by_label("Name", exact=True).fill("Lamp")
    page.get_by_label("Attributes").fill("room=hall")
    page.get_by_role("dialog").get_by_role("button", name="Create thing").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Lamp")
    page.get_by_role("button", name="Create certificate").click()
    expect(page.get_by_text("This is the only time")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download device certificate").click()
    pem = Path(download.value.path()).read_text()
    page.get_by_role("button", name="Done").click()
    iot = console_server.client("iot")
    (principal,) = iot.list_thing_principals(thingName="Lamp")["principals"]
    described = iot.describe_certificate(certificateId=principal.rsplit("/", 1)[1])["certificateDescription"]
    assert described["certificatePem"] == pem
    assert iot.describe_thing(thingName="Lamp")["attributes"] == {"room": "hall"}


def test_activity_tells_of_a_real_device(tab: Tab, console_server: RunningServer, tmp_path: Path) -> None:
    """Connect, disconnect and refusal of an MQTT client are told with reason and address."""
    keys = provide(console_server, "Talker")
    device = Device("Talker", keys, broker_of(console_server), tmp_path)
    assert device.connect() == "Success"
    page = tab.open("/things/Talker")
    expect(page.get_by_text("connected", exact=True)).to_be_visible()
    device.close()
    certificate_id = keys.certificate_arn.rsplit("/", 1)[1]
    console_server.client("iot").update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
    again = Device("Talker", keys, broker_of(console_server), tmp_path)
    assert again.connect() == "Not authorized"
    again.close()
    page.get_by_role("tab", name="Activity").click()
    refused = page.get_by_role("row").filter(has_text="refused")
    expect(refused).to_contain_text("not active")
    expect(refused).to_contain_text("127.0.0.1")
    expect(page.get_by_role("row").filter(has_text="CLIENT_INITIATED_DISCONNECT")).to_have_count(1)


def test_what_a_device_may_do_is_told_with_the_statement(tab: Tab, console_server: RunningServer) -> None:
    """The form says allowed or denied, by which policy and which of its statements."""
    provide(console_server, "Asker")
    page = tab.open("/things/Asker")
    page.get_by_role("button", name="Test", exact=True).click()
    expect(page.get_by_text("Allowed")).to_be_visible()
    expect(page.get_by_text("by statement 1 of")).to_be_visible()
    iot = console_server.client("iot")
    iot.create_thing_group(thingGroupName="Muted")
    document = ALLOW_ALL.replace("Allow", "Deny").replace("iot:*", "iot:Publish")
    iot.create_policy(policyName="mute", policyDocument=document)
    group = iot.describe_thing_group(thingGroupName="Muted")["thingGroupArn"]
    iot.attach_policy(policyName="mute", target=group)
    iot.add_thing_to_thing_group(thingGroupName="Muted", thingName="Asker")
    page.get_by_role("combobox", name="Action").click()
    page.get_by_role("option", name="Publish").click()
    page.get_by_label("Client ID, topic or topic filter").fill("a/b")
    page.get_by_role("button", name="Test", exact=True).click()
    expect(page.get_by_text("Denied", exact=True)).to_be_visible()
    expect(page.locator(".card").get_by_role("link", name="mute")).to_be_visible()


def test_a_quarantine_that_cannot_bind_is_warned_of(tab: Tab, console_server: RunningServer, tmp_path: Path) -> None:
    """The warning names a missing certificate, one that is not attached, and a client id that differs."""
    keys = provide(console_server, "Loose", attached=False)
    device = Device("Loose", keys, broker_of(console_server), tmp_path)
    assert device.connect() == "Success"
    page = tab.open("/things/Loose")
    expect(page.get_by_text("An isolation could not bind this device")).to_be_visible()
    expect(page.get_by_text("No certificate is attached to this thing")).to_be_visible()
    expect(page.get_by_text("which is not attached to this thing")).to_be_visible()
    device.close()
    iot = console_server.client("iot")
    iot.attach_thing_principal(thingName="Loose", principal=keys.certificate_arn)
    page.reload()
    expect(page.get_by_role("tab", name="Security")).to_be_visible()
    expect(page.get_by_text("An isolation could not bind")).to_have_count(0)
    other = Device("SomethingElse", keys, broker_of(console_server), tmp_path)
    assert other.connect() == "Success"
    expect(page.get_by_text("connects with the client ID SomethingElse")).to_be_visible(timeout=15_000)
    other.close()


def test_a_thing_is_isolated_and_released_with_reasons(tab: Tab, console_server: RunningServer) -> None:
    """Isolating and releasing ask, take a reason for the audit trail, and show at once."""
    provide(console_server, "Suspect")
    page = tab.open("/things/Suspect")
    for action, reason in (("Isolate", "odd traffic"), ("Release", "was a test")):
        page.get_by_role("button", name=f"{action} …").click()
        page.get_by_label("Reason").fill(reason)
        page.get_by_role("button", name=action, exact=True).click()
        expect(page.get_by_text("isolated", exact=True)).to_have_count(1 if action == "Isolate" else 0)
    trail = console_server.client("fleetward").list_trail(kind="thing group member", name="Suspect")["changes"]
    assert [change["reason"] for change in trail] == ["was a test", "odd traffic"]


def test_a_refused_policy_shows_why_and_where(tab: Tab) -> None:
    """The API's refusal of a document is shown under the editor, and its line is marked."""
    page = tab.open("/policies?create=true")
    page.get_by_label("Name").fill("Broken")
    page.get_by_label("Action").fill("nonsense")
    page.get_by_label("Resource ARN").fill("*")
    page.get_by_role("button", name="JSON").click()
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.locator("section.notice.bad")).to_contain_text("the following action is invalid: 'nonsense'")
    expect(page.locator(".broken-line")).to_contain_text("nonsense")


def test_versions_of_a_policy_are_switched(tab: Tab, console_server: RunningServer) -> None:
    """A new version is saved from the editor, and the default goes back to the first."""
    iot = console_server.client("iot")
    iot.create_policy(policyName="versioned", policyDocument=ALLOW_ALL)
    page = tab.open("/policies/versioned")
    page.get_by_role("button", name="Save as new version").click()
    page.get_by_role("tab", name="Versions").click()
    page.get_by_role("button", name="Set as default version 1").click()
    page.get_by_role("button", name="Set as default", exact=True).last.click()
    expect(page.get_by_role("button", name="Set as default version 2")).to_be_visible()
    assert iot.get_policy(policyName="versioned")["defaultVersionId"] == "1"


def test_a_certificate_is_deactivated_with_a_warning(tab: Tab, console_server: RunningServer) -> None:
    """A certificate is found by the beginning of its id, and deactivated after the consequence was told."""
    made = console_server.client("iot").create_keys_and_certificate(setAsActive=True)
    page = tab.open("/certificates")
    page.get_by_label("Find certificates").fill(made["certificateId"][:12])
    page.get_by_role("link", name=made["certificateId"][:12]).click()
    page.get_by_role("button", name="Deactivate …").click()
    expect(page.get_by_text("Connections that use it are dropped")).to_be_visible()
    page.get_by_role("button", name="Deactivate", exact=True).click()
    expect(page.get_by_text("INACTIVE", exact=True)).to_be_visible()


def test_ten_thousand_things_are_paged_and_looked_up(many_things: None, tab: Tab) -> None:
    """Of 10,000 things the page holds 50, and a prefix finds the one that is wanted."""
    page = tab.open("/things")
    expect(page.locator("tbody tr")).to_have_count(50)
    page.get_by_role("button", name="Next page").click()
    expect(page.get_by_text("Page 2")).to_be_visible()
    page.get_by_label("Find things").fill("many-0987")
    expect(page.locator("tbody tr")).to_have_count(10)
    expect(page.get_by_role("link", name="many-09876")).to_be_visible()


@pytest.fixture
def many_things(console_server: RunningServer) -> None:
    """10,000 things, put into the store while the server is down."""
    from fleetward.registry import things
    from fleetward.store.database import Database, sqlite_url

    console_server.stop()
    database = Database(sqlite_url(console_server.data_dir / "fleetward.db"))
    with database.transaction(1) as tx:
        for number in range(10_000):
            things.create(tx, f"many-{number:05}")
    database.close()
    console_server.start()


@pytest.mark.parametrize("path", ["/things", "/groups", "/certificates", "/policies"])
def test_a_viewer_is_offered_nothing(
    new_tab: Callable[..., Tab], console_server: RunningServer, viewer: str, path: str
) -> None:
    """Who may only read sees no button that changes anything, on lists and on pages."""
    provide(console_server, "Seen") if path == "/things" else None
    tab = new_tab()
    tab.sign_in(viewer, PASSWORD)
    tab.page.wait_for_url("**/console/fleet")
    page = tab.open(path)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    offered = re.compile("Create|Delete|Attach|Detach|Isolate|Release|Edit|Add|Remove|Save|Deactivate|Revoke")
    page.wait_for_timeout(300)
    expect(page.get_by_role("button", name=offered)).to_have_count(0)
    if path == "/things":
        page.get_by_label("Find things").fill("Seen")
        page.get_by_role("link", name="Seen").click()
        expect(page.get_by_role("heading", name="What may this device do?")).to_be_visible()
        expect(page.get_by_role("button", name=offered)).to_have_count(0)


def test_a_viewer_is_refused_at_the_server(
    new_tab: Callable[..., Tab], console_server: RunningServer, viewer: str
) -> None:
    """Who filled in a form while that was allowed is refused by the operation, in words, and nothing is made."""
    iam = console_server.client("iam")
    iam.put_user_policy(UserName=viewer, PolicyName="More", PolicyDocument=ALLOW_ALL)
    tab = new_tab()
    tab.sign_in(viewer, PASSWORD)
    tab.page.wait_for_url("**/console/fleet")
    page = tab.open("/policies?create=true")
    page.get_by_label("Name").fill("Smuggled")
    page.get_by_label("Action").fill("iot:*")
    page.get_by_label("Resource ARN").fill("*")
    iam.delete_user_policy(UserName=viewer, PolicyName="More")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_text("not authorized to perform: iot:CreatePolicy").first).to_be_visible()
    policies = console_server.client("iot").list_policies(pageSize=250)["policies"]
    assert "Smuggled" not in {policy["policyName"] for policy in policies}


@pytest.fixture
def viewer(console_server: RunningServer) -> str:
    """Somebody who may only read."""
    name = f"viewer-{uuid.uuid4().hex[:8]}"
    iam = console_server.client("iam")
    iam.create_user(UserName=name)
    iam.create_login_profile(UserName=name, Password=PASSWORD)
    iam.attach_user_policy(UserName=name, PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    return name


def test_usable_on_a_telephone(new_tab: Callable[..., Tab], console_server: RunningServer) -> None:
    """At 390 pixels nothing has to be scrolled sideways, and the links of lists are there."""
    provide(console_server, "Small")
    tab = new_tab(width=390, height=800)
    tab.sign_in()
    tab.page.wait_for_url("**/console/fleet")
    page = tab.open("/things")
    page.get_by_label("Find things").fill("Small")
    page.get_by_role("link", name="Small").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Small")
    expect(page.get_by_role("heading", name="What may this device do?")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_keyboards_focus_is_seen_and_comes_back(tab: Tab, console_server: RunningServer) -> None:
    """What has the focus is outlined; Escape closes a dialog, and the focus is where it was; arrows walk the tabs."""
    provide(console_server, "Keyed", attached=False)
    page = tab.open("/things/Keyed")
    for name in ("Isolate …", "Add to group …", "Delete …"):
        button = page.get_by_role("button", name=name)
        button.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(button).to_be_focused()
        expect(button).to_have_css("outline-style", "solid")
        expect(button).to_have_css("outline-width", "3px")
    page.get_by_role("tab", name="Security").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Activity")).to_be_focused()
