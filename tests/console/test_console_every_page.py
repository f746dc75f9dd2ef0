"""Every page of the menu, with nothing in the store and with 10,000 things: it opens, and keeps its looks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect
from tabs import Tab

from fleetward.console.menu import MENU, Item
from fleetward.store.database import Database, sqlite_url
from fleetward.store.tables.registry import things
from running_server import RunningServer

THINGS = 10_000


@pytest.fixture(scope="module", params=["nothing", "things"])
def store(request: pytest.FixtureRequest, console_server: RunningServer) -> str:
    """First with nothing in it, then, after a restart, with things."""
    if request.param == "things":
        console_server.client("iot").create_thing(thingName="Device")
        console_server.stop()
        copy_the_thing(console_server.data_dir / "fleetward.db")
        console_server.start()
    return str(request.param)


def copy_the_thing(file: Path) -> None:
    """Through the API, 10,000 things would take longer than these tests."""
    database = Database(sqlite_url(file))
    same = [column for column in things.c if column.name not in ("id", "name")]
    copy = things.insert().from_select(
        ["name", *(column.name for column in same)],
        sa.select(sa.bindparam("copy"), *same).where(things.c.name == "Device"),
    )
    with database.connect(writing=True) as connection:
        connection.execute(copy, [{"copy": f"Device{number:05}"} for number in range(THINGS - 1)])
    database.close()


@pytest.fixture(scope="module")
def signed_in(browser: Browser, console_server: RunningServer, store: str) -> Iterator[Tab]:
    """One tab for all pages: signing in costs more than a page."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = Tab(context.new_page(), console_server.info.endpoint_url)
    tab.sign_in().wait_for_url("**/console/fleet")
    yield tab
    context.close()


@pytest.mark.parametrize("item", MENU, ids=lambda item: item.module)
def test_every_page_opens_and_is_within_everyones_reach(signed_in: Tab, item: Item, axe: str) -> None:
    """A page shows its heading without an error in the browser's console, axe-core has nothing serious to say of it,
    light and dark, and at 390 pixels it needs no scrolling sideways."""
    page = signed_in.page
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})
    signed_in.open(item.path)
    expect(page.get_by_role("heading", level=1)).to_have_text(item.title)
    expect(page.get_by_text("…", exact=True)).to_have_count(0)
    page.evaluate(axe)
    assert serious(page, "{}") == []
    page.emulate_media(color_scheme="dark")
    expect(page.locator("body.body--dark")).to_be_visible()
    page.wait_for_function("!document.getAnimations().some(one => one instanceof CSSTransition)")
    assert serious(page, "{runOnly: ['color-contrast']}") == []  # all else is the same
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")
    assert signed_in.problems == []


def serious(page: Page, options: str) -> list[tuple[str, str]]:
    """What axe-core finds, each with the element that it is about."""
    found = page.evaluate(f"axe.run({{...{options}, resultTypes: ['violations']}})")["violations"]
    return [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
