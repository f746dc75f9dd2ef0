"""Topics, subscriptions, the delivery log and the outbox, by clicks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from tabs import Tab

from running_server import RunningServer, until

PASSWORD = "Correct-horse-1"


def subscribed(console_server: RunningServer, topic: str, address: str) -> str:
    """A topic with a subscriber that is yet to confirm; returns its ARN."""
    sns = console_server.client("sns")
    arn = str(sns.create_topic(Name=topic)["TopicArn"])
    sns.subscribe(TopicArn=arn, Protocol="email", Endpoint=address)
    return arn


def row(page: Page, text: str) -> object:
    return page.locator(".listing tbody tr", has_text=text)


@pytest.mark.parametrize(
    ("path", "says"),
    [("/topics", "No topics yet"), ("/outbox", "No mails"), ("/functions", "No functions yet")],
)
def test_an_empty_store_is_explained(tab: Tab, path: str, says: str) -> None:
    """A page without anything to show says what would be here."""
    expect(tab.open(path).get_by_text(says)).to_be_visible()


def test_an_email_subscription_is_made_and_confirmed(tab: Tab) -> None:
    """A topic and an address are typed in; the mail in the outbox confirms it; a test message arrives and is logged."""
    page = tab.open("/topics")
    page.get_by_role("button", name="Create topic").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("BadIoTDevices")
    dialog.get_by_role("button", name="Create topic").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("BadIoTDevices")
    expect(page.get_by_text("Nobody is subscribed")).to_be_visible()
    page.get_by_role("button", name="Create subscription").click()
    expect(page.get_by_label("Protocol")).to_be_visible()
    page.get_by_label("Endpoint").fill("ana@example.com")
    page.get_by_role("dialog").get_by_role("button", name="Create subscription").click()
    expect(page.get_by_text("Pending confirmation").last).to_be_visible()
    page.get_by_role("link", name="Open its mails").click()
    page.get_by_role("button", name="Read").first.click()
    expect(page.get_by_role("dialog").locator("pre")).to_contain_text("BadIoTDevices")
    with page.context.expect_page() as opened:
        page.get_by_role("dialog").get_by_role("link").click()
    expect(opened.value.get_by_role("heading")).to_have_text("Subscription confirmed")
    page = tab.open("/topics/BadIoTDevices")
    expect(page.locator(".listing").first.get_by_text("Confirmed", exact=True)).to_be_visible()
    page.get_by_role("button", name="Publish message").click()
    page.get_by_label("Subject (optional)").fill("A trial")
    page.get_by_role("dialog").get_by_role("button", name="Publish").click()
    line = page.locator(".listing").last.locator("tbody tr", has_text="A trial")
    expect(line).to_contain_text("delivered")
    expect(line).to_contain_text("ana@example.com")
    expect(tab.open("/outbox?to=ana@example.com").get_by_text("A trial")).to_be_visible()


def test_a_confirmation_is_sent_again(tab: Tab, console_server: RunningServer) -> None:
    """A subscriber who has lost the mail is sent another one."""
    subscribed(console_server, "Again", "again@example.com")
    page = tab.open("/topics/Again")
    page.get_by_role("button", name="Resend confirmation").click()
    mails = lambda: console_server.client("fleetward").list_outbox(to="again@example.com")["mails"]  # noqa: E731
    until(lambda: len(mails()) == 2, 10, "the second mail")


def test_a_filter_policy_is_refused_in_the_servers_words_and_saved(tab: Tab, console_server: RunningServer) -> None:
    """What is no filter policy is refused as by the API; a good one is stored, and leaving ends the subscription."""
    sns = console_server.client("sns")
    arn = sns.create_topic(Name="Filtered")["TopicArn"]
    found = sns.subscribe(
        TopicArn=arn, Protocol="http", Endpoint="http://127.0.0.1:9/hook", ReturnSubscriptionArn=True
    )["SubscriptionArn"]
    page = tab.open(f"/topics/Filtered/subscriptions/{found.rpartition(':')[2]}")
    policy = page.get_by_label("Filter policy (JSON)")
    policy.fill("{nonsense")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Invalid parameter: FilterPolicy")).to_be_visible()
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Only alarms that begin").click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The filter policy is saved.")).to_be_visible()
    attributes = sns.get_subscription_attributes(SubscriptionArn=found)["Attributes"]
    assert attributes["FilterPolicyScope"] == "MessageBody"
    assert "in-alarm" in attributes["FilterPolicy"]
    page.get_by_role("button", name="Unsubscribe").click()
    page.get_by_role("dialog").get_by_role("button", name="Unsubscribe").click()
    expect(page.get_by_text("Nobody is subscribed")).to_be_visible()


def test_only_our_own_link_in_a_mail_can_be_clicked(tab: Tab, console_server: RunningServer) -> None:
    """What somebody published is never a link, even when it looks like one of ours; the last line leads here."""
    sns = console_server.client("sns")
    arn = subscribed(console_server, "Links", "links@example.com")
    mails = lambda: console_server.client("fleetward").list_outbox(to="links@example.com")["mails"]  # noqa: E731
    body = until(lambda: mails() and mails()[0]["body"], 10, "the confirmation")
    token = body.partition("Token=")[2].partition("&")[0].split()[0]
    sns.confirm_subscription(TopicArn=arn, Token=token)
    sns.publish(
        TopicArn=arn, Subject="Bait", Message="<b>x</b> https://evil.example/?Action=Unsubscribe&SubscriptionArn=x"
    )
    until(lambda: len(mails()) == 2, 10, "the message")
    page = tab.open("/outbox?to=links@example.com")
    page.locator("tr", has_text="Bait").get_by_role("button", name="Read").click()
    links = page.get_by_role("dialog").get_by_role("link")
    expect(links).to_have_count(1)
    assert str(links.get_attribute("href")).startswith("/?Action=Unsubscribe&SubscriptionArn=arn%3Aaws%3Asns")
    expect(page.get_by_role("dialog").locator("pre")).to_contain_text("<b>x</b>")


def test_a_delivery_that_fails_tells_why(tab: Tab, console_server: RunningServer) -> None:
    """An endpoint that does not answer is in the log with its attempts, its error and the next attempt."""
    sns = console_server.client("sns")
    arn = sns.create_topic(Name="Failing")["TopicArn"]
    sns.subscribe(TopicArn=arn, Protocol="http", Endpoint="http://127.0.0.1:9/hook")
    line = tab.open("/topics/Failing").locator(".listing").last.locator("tbody tr", has_text="http://127.0.0.1:9/hook")
    expect(line).to_contain_text("ConnectError")
    expect(line).to_contain_text("pending")


def test_a_topic_is_deleted_after_a_question(tab: Tab, console_server: RunningServer) -> None:
    """Deleting says what will happen, and is done only then."""
    console_server.client("sns").create_topic(Name="Gone")
    page = tab.open("/topics/Gone")
    page.get_by_role("button", name="Delete topic").click()
    expect(page.get_by_role("dialog")).to_contain_text("Its subscriptions go with it")
    page.get_by_role("dialog").get_by_role("button", name="Delete topic").click()
    page.wait_for_url("**/topics")
    expect(page.get_by_role("link", name="Gone")).to_have_count(0)


def test_a_viewer_changes_nothing(new_tab: Callable[..., Tab], console_server: RunningServer) -> None:
    """Somebody who may only read sees topics, mails and functions, and is offered no change."""
    iam = console_server.client("iam")
    iam.create_user(UserName="viewer")
    iam.create_login_profile(UserName="viewer", Password=PASSWORD)
    iam.attach_user_policy(UserName="viewer", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    subscribed(console_server, "Seen", "seen@example.com")
    tab = new_tab()
    tab.sign_in("viewer", PASSWORD)
    tab.page.wait_for_url("**/console/fleet")
    page = tab.open("/topics")
    expect(page.get_by_role("link", name="Seen")).to_be_visible()
    expect(page.get_by_role("button", name="Create topic")).to_have_count(0)
    page = tab.open("/topics/Seen")
    expect(page.locator(".listing").first.get_by_text("seen@example.com")).to_be_visible()
    for name in ("Create subscription", "Publish message", "Delete topic", "Resend confirmation"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    expect(tab.open("/outbox").get_by_text("seen@example.com").first).to_be_visible()
