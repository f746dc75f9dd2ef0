"""A real browser in front of a real server.

Chromium comes from the system (`apt-get install chromium`), axe-core from npm; without them these tests are skipped,
unless FLEETWARD_BROWSER_TESTS=required, as in .ci/run, makes that a failure.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright
from tabs import ROOT, Tab

from running_server import RunningServer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REQUIRED = os.environ.get("FLEETWARD_BROWSER_TESTS") == "required"
HOW = "needs a browser: apt-get install chromium"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser, a server and a person's hand share two cores here: what fails is tried twice more, and it is told."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for the tests of a module: while Playwright runs, no test beside it may run an event loop of its own."""
    if CHROMIUM is None:
        pytest.fail(HOW) if REQUIRED else pytest.skip(HOW)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def console_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for the tests of a module: they must not get into one another's way."""
    running = RunningServer(
        tmp_path_factory.mktemp("console"),
        FLEETWARD_ROOT_ACCESS_KEY_ID=ROOT[0],
        FLEETWARD_ROOT_SECRET_ACCESS_KEY=ROOT[1],
    )
    yield running
    running.close()


@pytest.fixture
def new_tab(browser: Browser, console_server: RunningServer) -> Iterator[Callable[..., Tab]]:
    """Opens tabs that share nothing with one another; a tab in which something went wrong fails the test."""
    tabs: list[Tab] = []

    def make(width: int = 1280, height: int = 900, **options: Any) -> Tab:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        tabs.append(Tab(context.new_page(), console_server.info.endpoint_url))
        return tabs[-1]

    yield make
    problems = [problem for tab in tabs for problem in tab.problems]
    for tab in tabs:
        tab.page.context.close()
    assert not problems


@pytest.fixture
def tab(new_tab: Callable[..., Tab]) -> Tab:
    """A tab in which the root user is signed in."""
    made = new_tab()
    made.sign_in()
    made.page.wait_for_url("**/console/fleet")
    return made


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's source, from npm."""
    found = Path(__file__).parents[2] / ".venv" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
    if not found.is_file():
        how = "needs axe-core: npm install --no-save --prefix .venv/axe axe-core"
        pytest.fail(how) if REQUIRED else pytest.skip(how)
    return found.read_text()
