"""Who gets into the console, for how long, and what browsers are told to refuse."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import expect
from tabs import ROOT, Tab

from running_server import RunningServer

PASSWORD = "Correct-horse-1"


def test_a_user_signs_in_with_a_password(new_tab: Callable[..., Tab], console_server: RunningServer) -> None:
    """A user with a login profile gets in with its password, and after signing out no page shows anything."""
    iam = console_server.client("iam")
    iam.create_user(UserName="ana")
    iam.create_login_profile(UserName="ana", Password=PASSWORD)
    iam.attach_user_policy(UserName="ana", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    tab = new_tab()
    page = tab.sign_in("ana", PASSWORD)
    expect(page.get_by_role("heading", level=1)).to_have_text("Fleet")
    page.get_by_role("button", name="ana").click()
    page.get_by_text("Sign out").click()
    page.wait_for_url("**/sign-in")
    tab.open("/things")
    expect(page).to_have_url(f"{tab.base}/console/sign-in?next=/console/things")


def test_a_wrong_secret_is_refused_in_words(new_tab: Callable[..., Tab]) -> None:
    """A wrong secret leads nowhere, says so, and does not say which half was wrong."""
    page = new_tab().sign_in("nobody", "whatever-1-2-3")
    expect(page.get_by_role("alert")).to_contain_text("do not belong together")


def test_signing_in_leads_to_the_page_that_was_asked_for(new_tab: Callable[..., Tab]) -> None:
    """Whoever follows a link into the console gets there after signing in."""
    tab = new_tab()
    tab.open("/things")
    tab.page.get_by_label("User name or access key ID").fill(ROOT[0])
    tab.page.get_by_label("Password or secret access key").fill(ROOT[1])
    tab.page.get_by_role("button", name="Sign in").click()
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("Things")


@pytest.mark.parametrize("path", ["/fleet", "/things", "/_nicegui_ws/socket.io/", "/static/console.css"])
def test_nothing_is_shown_without_a_session(console_server: RunningServer, path: str) -> None:
    """Without a session every path of the console leads to the sign-in page or is refused."""
    answer = httpx.get(f"{console_server.info.endpoint_url}/console{path}")
    assert answer.status_code in (303, 403)


def test_a_form_from_another_site_is_refused(console_server: RunningServer) -> None:
    """A sign-in that another site's page makes the browser send is refused (login CSRF)."""
    url = f"{console_server.info.endpoint_url}/console/sign-in"
    form = {"name": ROOT[0], "secret": ROOT[1]}
    assert httpx.post(url, data=form, headers={"origin": "https://evil.example"}).status_code == 403
    assert httpx.post(url, data=form, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert httpx.post(url, data=form, headers={"origin": console_server.info.endpoint_url}).status_code == 303


def test_every_answer_is_strict(console_server: RunningServer) -> None:
    """Framing, foreign sources and sniffing are forbidden; the cookie is out of reach of scripts and other sites."""
    base = console_server.info.endpoint_url
    form = {"name": ROOT[0], "secret": ROOT[1]}
    answer = httpx.post(f"{base}/console/sign-in", data=form, headers={"origin": base})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_password_that_is_changed_ends_the_sessions_it_opened(
    new_tab: Callable[..., Tab], console_server: RunningServer
) -> None:
    """Whoever is signed in with a password that is no longer valid is out at the next step."""
    iam = console_server.client("iam")
    iam.create_user(UserName="ben")
    iam.create_login_profile(UserName="ben", Password=PASSWORD)
    iam.attach_user_policy(UserName="ben", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    tab = new_tab()
    tab.sign_in("ben", PASSWORD)
    tab.page.wait_for_url("**/console/fleet")
    iam.update_login_profile(UserName="ben", Password="Another-horse-2")
    tab.open("/things")
    tab.page.wait_for_url("**/sign-in?**")


def test_a_link_cannot_lead_away_after_signing_in(console_server: RunningServer) -> None:
    """The page after signing in lies within the console, whatever the link says."""
    base = console_server.info.endpoint_url
    form = {"name": ROOT[0], "secret": ROOT[1], "next": "//evil.example/console/"}
    answer = httpx.post(f"{base}/console/sign-in", data=form, headers={"origin": base})
    assert answer.headers["location"] == "/console/fleet"


def test_guessing_takes_longer_and_longer(console_server: RunningServer) -> None:
    """After a few failures in a row the same name has to wait, even with the right secret."""
    base = console_server.info.endpoint_url
    answers = [
        httpx.post(f"{base}/console/sign-in", data={"name": "guessed", "secret": "x"}, headers={"origin": base})
        for _ in range(7)
    ]
    assert answers[0].status_code == 403
    assert answers[-1].status_code == 429
