"""Who may only look: is offered nothing that changes anything, and is refused at the server when a page still does."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from changes import (
    DOING,
    EMAIL,
    FORBIDDEN,
    FUNCTION,
    GROUP,
    PASSWORD,
    PLACES,
    POLICY,
    PROFILE,
    THING,
    TOPIC,
    USER,
    WAYS,
    Change,
    Place,
    Step,
)
from playwright.sync_api import Browser, Locator, Page, expect
from tabs import Tab

from devices import Device
from fleetward.simulate import provision
from fleetward.store.trail import TRACKED
from running_server import RunningServer, until

VIEWER = "vera"
EVERYTHING = provision.document(provision.allow("*", "*"))


# --- what there is ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def there(console_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """One of everything, attached to one another; gives the names that are not known before."""
    client, iot = console_server.client, console_server.client("iot")
    iot.create_policy(policyName=POLICY, policyDocument=EVERYTHING)
    iot.create_policy_version(policyName=POLICY, policyDocument=EVERYTHING, setAsDefault=True)
    keys = provision.certificate(client, POLICY)
    iot.create_thing(thingName=THING)
    iot.attach_thing_principal(thingName=THING, principal=keys.certificate_arn)
    group = iot.create_thing_group(thingGroupName=GROUP)
    iot.add_thing_to_thing_group(thingGroupName=GROUP, thingName=THING)
    iot.attach_policy(policyName=POLICY, target=group["thingGroupArn"])
    _users(client("iam"))
    return {
        "certificate": keys.certificate_arn.rpartition("/")[2],
        "key": client("iam").create_access_key(UserName=USER)["AccessKey"]["AccessKeyId"],
        "subscription": _subscription(client),
        "alarm": _alarm(console_server, keys, tmp_path_factory.mktemp("device")),
    }


def _users(iam: Any) -> None:
    for name in (VIEWER, USER):
        iam.create_user(UserName=name)
        iam.create_login_profile(UserName=name, Password=PASSWORD)
    iam.attach_user_policy(UserName=VIEWER, PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")


def _subscription(client: Callable[[str], Any]) -> str:
    """A topic with an address that has not confirmed, and a function; gives the id of the function's subscription."""
    topic = client("sns").create_topic(Name=TOPIC)["TopicArn"]
    client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint=EMAIL)
    function = client("lambda").create_function(
        FunctionName=FUNCTION,
        Runtime="python3.11",
        Role=provision.function_role(client, FUNCTION),
        Handler="main.handle",
        Code={"ZipFile": provision.zip_of({"main.py": "def handle(event, context):\n    return event\n"})},
    )
    made = client("sns").subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function["FunctionArn"])
    return str(made["SubscriptionArn"].rpartition(":")[2])


def _alarm(server: RunningServer, keys: provision.Keys, folder: Path) -> str:
    """The thing sends more than its profile's fixed limit; gives the alarm's id."""
    iot = server.client("iot")
    criteria = {"comparisonOperator": "less-than", "value": {"count": 10}}
    behavior = {"name": "Small", "metric": "aws:message-byte-size", "criteria": criteria}
    profile = iot.create_security_profile(securityProfileName=PROFILE, behaviors=[behavior])["securityProfileArn"]
    everything = profile.replace(f"securityprofile/{PROFILE}", "all/things")
    iot.attach_security_profile(securityProfileName=PROFILE, securityProfileTargetArn=everything)
    device = Device(THING, keys, server.broker, folder)
    assert device.connect() == "Success"
    device.publish("readings", "21.0 " * 10)
    found = until(lambda: server.client("fleetward").list_violations()["violations"], 15, "the alarm")
    device.close()
    return str(found[0]["violationId"])


@pytest.fixture(scope="module")
def viewer(browser: Browser, console_server: RunningServer, there: Mapping[str, str]) -> Iterator[Tab]:
    """One tab for all pages."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = Tab(context.new_page(), console_server.info.endpoint_url)
    tab.sign_in(VIEWER, PASSWORD).wait_for_url("**/console/fleet")
    yield tab
    context.close()


# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_viewer_changes_nothing(
    viewer: Tab, console_server: RunningServer, there: Mapping[str, str], place: Place
) -> None:
    """A viewer is shown the page without its changing buttons; pressed on a page that was drawn while more was
    allowed, each of them is refused in AWS's words, and the store stays as it is."""
    with more_allowed(console_server):
        page = opened(viewer, place, there)
        for change in place.changes:
            do(page, change.before, there)
            expect(button(page, change.button, there)).to_be_enabled()
    before = stored(console_server)
    for change in place.changes:
        is_refused(page, change, there)
    assert stored(console_server) == before
    page = opened(viewer, place, there)
    for change in place.changes:
        is_not_offered(button(page, change.button, there))
    assert viewer.problems == []


@pytest.mark.parametrize(("path", "name", "action"), WAYS)
def test_a_viewer_is_told_what_a_page_would_need(
    viewer: Tab, console_server: RunningServer, there: Mapping[str, str], path: str, name: str, action: str
) -> None:
    """A viewer is not led to the pages that only make or change something, and finds no form there."""
    with more_allowed(console_server):
        page = viewer.open(path)
        expect(button(page, name, there).first).to_be_enabled()
    button(page, name, there).first.click()
    expect(page.get_by_text(f"Ask for a policy that allows {action}.")).to_be_visible()
    expect(page.get_by_role("textbox")).to_have_count(0)
    viewer.open(path)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(button(page, name, there)).to_have_count(0)


# --- steps ------------------------------------------------------------------------------------------------------------


@contextmanager
def more_allowed(server: RunningServer) -> Iterator[None]:
    iam = server.client("iam")
    nearly = provision.document(
        provision.allow("*", "*"), {**provision.allow("iot:Publish", f"*:topic/{FORBIDDEN}"), "Effect": "Deny"}
    )
    iam.put_user_policy(UserName=VIEWER, PolicyName="More", PolicyDocument=nearly)
    yield
    iam.delete_user_policy(UserName=VIEWER, PolicyName="More")


def opened(tab: Tab, place: Place, there: Mapping[str, str]) -> Page:
    page = tab.open(place.path.format_map(there))
    if place.tab:
        page.get_by_role("tab", name=place.tab).click()
    expect(page.get_by_role("main").get_by_text(place.landmark.format_map(there)).first).to_be_visible()
    return page


def button(page: Page, name: str, there: Mapping[str, str]) -> Locator:
    return page.get_by_role("button", name=name.format_map(there), exact=True)


def is_refused(page: Page, change: Change, there: Mapping[str, str]) -> None:
    """Presses the button by key, for what was told before hangs over the page for a while."""
    told = page.locator(".q-notification", has_text=f"is not authorized to perform: {change.action} on resource")
    told.wait_for(state="detached")
    button(page, change.button, there).press("Enter")
    do(page, change.then, there)
    told.wait_for()
    told.get_by_role("button", name="Close").click()
    cancel = page.get_by_role("dialog").get_by_role("button", name="Cancel")
    if cancel.count():
        cancel.press("Enter")
        page.get_by_role("dialog").wait_for(state="detached")


def do(page: Page, steps: Sequence[Step], there: Mapping[str, str]) -> None:
    for what, *words in steps:
        DOING[what](page, *(word.format_map(there) for word in words))


def is_not_offered(offer: Locator) -> None:
    """Not there, or greyed out where what is typed could make it allowed."""
    if offer.count():
        expect(offer).to_be_disabled()


def stored(server: RunningServer) -> dict[str, list[Any]]:
    """Everything in the store that somebody decides."""
    with closing(sqlite3.connect(server.data_dir / "fleetward.db")) as database:
        return {table: database.execute(f"SELECT * FROM {table}").fetchall() for table in TRACKED}
