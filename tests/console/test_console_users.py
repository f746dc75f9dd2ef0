"""Users: made by mouse, signing in with a temporary password, and what their roles let them do."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect
from tabs import Tab

from running_server import RunningServer

FIRST, SECOND = "Correct-horse-1", "Another-horse-2"


def test_a_user_is_made_and_changes_the_temporary_password(tab: Tab, new_tab: Callable[..., Tab]) -> None:
    """A new user gets in only after a new password is set, and then with that one; the role is the one chosen."""
    page = tab.open("/users")
    page.get_by_role("button", name="Create user").click()
    page.get_by_label("User name").fill("ana")
    page.get_by_label("Console password").fill(FIRST)
    page.get_by_role("button", name="Create", exact=True).click()
    page.wait_for_url("**/users/ana")
    expect(page.get_by_text("Must be changed at the next sign-in.")).to_be_visible()

    other = new_tab()
    own = other.sign_in("ana", FIRST)
    expect(own.get_by_text("must be changed before you go on")).to_be_visible()
    other.open("/fleet")
    own.wait_for_url("**/sign-in?**")
    other.sign_in("ana", FIRST)
    own.get_by_label("Current password").fill(FIRST)
    own.get_by_label("New password", exact=True).fill(SECOND)
    own.get_by_label("New password again").fill("Third-horse-3")
    own.get_by_role("button", name="Change password").click()
    expect(own.get_by_role("alert")).to_contain_text("differ")
    own.get_by_label("Current password").fill(FIRST)
    own.get_by_label("New password", exact=True).fill(SECOND)
    own.get_by_label("New password again").fill(SECOND)
    own.get_by_role("button", name="Change password").click()
    own.wait_for_url("**/console/fleet")
    other.open("/users")
    expect(own.get_by_text("ana", exact=True).first).to_be_visible()
    expect(own.get_by_role("button", name="Create user")).to_have_count(0)


def test_an_access_key_is_shown_once_and_can_be_taken_away(tab: Tab, console_server: RunningServer) -> None:
    """The secret of a new key appears once, never again; deactivating and deleting it is done on the same page."""
    console_server.client("iam").create_user(UserName="robot")
    page = tab.open("/users/robot")
    page.get_by_role("button", name="Create access key").click()
    secret = page.locator(".secret-once .mono").nth(1).inner_text()
    assert len(secret) == 40
    page.get_by_role("button", name="I have copied it").click()
    expect(page.get_by_role("button", name="Deactivate", exact=True)).to_be_visible()
    assert secret not in page.content()
    page.get_by_role("button", name="Deactivate", exact=True).click()
    expect(page.get_by_text("Inactive", exact=True)).to_be_visible()
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("button", name="Delete access key", exact=True).click()
    expect(page.get_by_text("None. They are for programs")).to_be_visible()


def test_a_weak_password_makes_no_user(tab: Tab, console_server: RunningServer) -> None:
    """When the password is refused, the user is not left behind half made."""
    page = tab.open("/users")
    page.get_by_role("button", name="Create user").click()
    page.get_by_label("User name").fill("half")
    page.get_by_label("Console password").fill("weak")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_text("Password does not conform")).to_be_visible()
    assert "half" not in [user["UserName"] for user in console_server.client("iam").list_users()["Users"]]


def test_roles_and_deleting(tab: Tab, console_server: RunningServer) -> None:
    """A role replaces the one before; a user is deleted with all it has."""
    iam = console_server.client("iam")
    iam.create_user(UserName="ben")
    iam.create_login_profile(UserName="ben", Password=FIRST)
    iam.create_access_key(UserName="ben")
    page = tab.open("/users/ben")
    for role in ("Operator", "Administrator"):
        page.get_by_role("radio", name=re.compile(role)).click()
        page.get_by_role("button", name="Save role").click()
        expect(page.get_by_text(f"ben is now: {role}.")).to_be_visible()
    attached = iam.list_attached_user_policies(UserName="ben")["AttachedPolicies"]
    assert [policy["PolicyName"] for policy in attached] == ["FleetwardAdministrator"]
    page.get_by_role("button", name="Delete user …").click()
    page.get_by_role("button", name="Delete user", exact=True).click()
    page.wait_for_url("**/console/users")
    assert "ben" not in [user["UserName"] for user in iam.list_users()["Users"]]


def test_changing_ones_own_password(new_tab: Callable[..., Tab], console_server: RunningServer) -> None:
    """Whoever knows the old password changes it, is signed out, and comes back with the new one."""
    iam = console_server.client("iam")
    iam.create_user(UserName="cleo")
    iam.create_login_profile(UserName="cleo", Password=FIRST)
    iam.attach_user_policy(UserName="cleo", PolicyArn="arn:aws:iam::aws:policy/FleetwardViewer")
    tab = new_tab()
    page = tab.sign_in("cleo", FIRST)
    page.wait_for_url("**/console/fleet")
    page.get_by_role("button", name="cleo").click()
    page.get_by_text("Change my password").click()
    page.get_by_label("Current password").fill(FIRST)
    page.get_by_label("New password", exact=True).fill(SECOND)
    page.get_by_label("New password again").fill(SECOND)
    page.get_by_role("button", name="Change password").click()
    page.wait_for_url("**/sign-in**")
    tab.sign_in("cleo", SECOND)
    page.wait_for_url("**/console/fleet")
