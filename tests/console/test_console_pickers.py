"""Fields that offer names offer every one of them, however many there are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from playwright.sync_api import Page, expect
from tabs import Tab

from fleetward.simulate import provision
from fleetward.store.database import Database, sqlite_url
from fleetward.store.tables import access, detect, notify, registry
from running_server import RunningServer

MANY = 1_500
LAST = f"Copy{MANY:04}"
CERTIFICATE = f"{MANY:064}"
BEHAVIOR = {
    "name": "Large",
    "metric": "aws:message-byte-size",
    "criteria": {"comparisonOperator": "less-than-equals", "value": {"count": 100_000}},
}
NAMED = (
    (registry.things, "name"),
    (registry.thing_groups, "name"),
    (registry.policies, "name"),
    (registry.policy_versions, "policy_name"),
    (detect.security_profiles, "name"),
    (notify.topics, "name"),
    (access.roles, "name"),
)


@pytest.fixture(scope="module", autouse=True)
def crowd(console_server: RunningServer) -> None:
    """1,500 of each kind, copied into the stopped server's store: through the API they would take a minute."""
    client = console_server.client
    iot = client("iot")
    iot.create_thing(thingName="First")
    iot.create_thing_group(thingGroupName="First")
    iot.create_policy(policyName="First", policyDocument=provision.document(provision.allow("iot:*", "*")))
    iot.create_security_profile(securityProfileName="First", behaviors=[BEHAVIOR])
    client("sns").create_topic(Name="First")
    iot.create_keys_and_certificate(setAsActive=True)
    role = provision.function_role(client, "First")
    code = {"ZipFile": provision.zip_of({"handler.py": "def handler(event, context): ..."})}
    client("lambda").create_function(
        FunctionName="First", Runtime="python3.11", Role=role, Handler="handler.handler", Code=code
    )
    console_server.stop()
    database = Database(sqlite_url(console_server.data_dir / "fleetward.db"))
    with database.connect(writing=True) as connection:
        for table, column in NAMED:
            copy(connection, table, column, [f"Copy{number:04}" for number in range(1, MANY + 1)])
        copy(connection, registry.certificates, "id", [f"{number:064}" for number in range(1, MANY + 1)])
    database.close()
    console_server.start()


def copy(connection: sa.Connection, table: sa.Table, key: str, names: list[str]) -> None:
    """Copies of the table's one row under other names."""
    same = [column for column in table.c if column.name != key and column is not registry.things.c.id]
    pattern = sa.select(sa.bindparam("copy"), *same).where(table.c[key] == sa.bindparam("pattern"))
    statement = table.insert().from_select([key, *(column.name for column in same)], pattern)
    first = connection.scalar(sa.select(table.c[key]).limit(1))
    connection.execute(statement, [{"copy": name, "pattern": first} for name in names])


def dialog(button: str) -> Callable[[Page], None]:
    return lambda page: page.get_by_role("button", name=button, exact=True).click()


def edit_policies(page: Page) -> None:
    page.get_by_role("tab", name="Security").click()
    page.get_by_role("button", name="Edit", exact=True).click()


def attach_policy(page: Page) -> None:
    page.get_by_role("tab", name="Targets").click()
    page.get_by_role("button", name="Attach to thing group …", exact=True).click()


@pytest.mark.parametrize(
    ("path", "reach", "field", "wanted"),
    [
        ("/groups/First", dialog("Add thing …"), "Thing", LAST),
        ("/groups/First", edit_policies, "Policies", LAST),
        ("/groups", dialog("Create thing group"), "Parent group (optional)", LAST),
        ("/things/First", dialog("Add to group …"), "Thing group", LAST),
        ("/things/First", dialog("Attach certificate …"), "Certificate ID", CERTIFICATE),
        ("/policies/First", attach_policy, "Thing group", LAST),
        ("/alarms", lambda _: None, "Security profile", LAST),
        ("/functions", dialog("Create function"), "Role", LAST),
        ("/functions/First", dialog("Add trigger"), "SNS topic", LAST),
    ],
)
def test_a_picker_finds_the_last_of_many(
    tab: Tab, path: str, reach: Callable[[Page], None], field: str, wanted: str
) -> None:
    """Whatever field looks names up offers the 1,500th of them once it is typed, and takes it."""
    page = tab.open(path)
    reach(page)
    choose_the_last(page, field, wanted)


def choose_the_last(page: Page, label: str, wanted: str = LAST) -> None:
    field = page.get_by_role("combobox", name=label, exact=True)
    field.click()
    field.fill(wanted)
    page.get_by_role("option", name=wanted, exact=True).click()
    if page.get_by_role("listbox").is_visible():  # it stays for another choice
        page.keyboard.press("Escape")
    # It takes the focus once more when it has faded out, from the next field if that has it by then.
    expect(page.locator(".q-menu")).to_have_count(0)


def test_the_wizard_finds_the_last_of_many(tab: Tab) -> None:
    """The topic, the role and the thing group of a profile may each be the 1,500th, and the summary names them."""
    page = tab.open(f"/profiles/{LAST}/edit")
    page.get_by_role("button", name="Next", exact=True).click()
    choose_the_last(page, "SNS topic")
    choose_the_last(page, "IAM role")
    page.get_by_role("button", name="Next", exact=True).click()
    choose_the_last(page, "Thing groups")
    page.get_by_role("button", name="Next", exact=True).click()
    for fact in ("SNS topic", "IAM role"):
        expect(page.locator(f"dt:has-text('{fact}') + dd")).to_have_text(LAST)
    expect(page.locator("dt:has-text('Targets') + dd")).to_have_text(f"Thing group {LAST}")
