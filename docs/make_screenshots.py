"""The pictures of the console in docs/images (`make screenshots`): the demo's story in the system's Chromium."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
ROOT = ("root", secrets.token_urlsafe())
STARTED = re.compile(r"Server: API (http\S+),")
ISOLATED = "SensorDevice02 is isolated"


def main() -> None:
    with demo() as console, sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for look in LOOKS:
            look.take(browser, console)
        browser.close()


@contextmanager
def demo() -> Iterator[str]:
    """The demo, from its isolation on; gives the console's address."""
    environment = os.environ | {
        "FLEETWARD_ROOT_ACCESS_KEY_ID": ROOT[0],
        "FLEETWARD_ROOT_SECRET_ACCESS_KEY": ROOT[1],
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "fleetward", "demo"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield f"{told(process)}/console"
    finally:
        process.terminate()
        process.communicate()


def told(process: subprocess.Popen[str]) -> str:
    """The server's address, once the demo has told that the device is isolated."""
    address = ""
    for line in process.stdout or ():
        print(line, end="")
        if found := STARTED.search(line):
            address = found[1]
        if line.startswith(ISOLATED):
            return address
    raise SystemExit("The demo ended before its isolation.")


# --- what each picture shows ------------------------------------------------------------------------------------------


def as_it_opens(page: Page) -> None:
    pass


def latest_alarm(page: Page) -> None:
    page.locator(".listing a.link").first.click()
    page.locator(".sentence").wait_for()


def behavior_filled_in(page: Page) -> None:
    page.get_by_label("Security profile name").fill("DetectLargeMessages")
    page.get_by_label("Behavior name").fill("LargeMessageSize")
    page.keyboard.press("Tab")
    page.evaluate("scrollTo(0, 0)")


def subscribed(page: Page) -> None:
    page.get_by_label("Topic filter").fill("temperature-device-01")
    page.get_by_role("button", name="Subscribe", exact=True).click()
    page.locator(".message").nth(2).wait_for()


class Look(NamedTuple):
    name: str
    path: str
    make_ready: Callable[[Page], None] = as_it_opens
    width: int = 1280
    height: int = 860
    scheme: str = "light"

    def take(self, browser: Browser, console: str) -> None:
        size = {"width": self.width, "height": self.height}
        context = browser.new_context(viewport=size, color_scheme=self.scheme)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(f"{console}/sign-in")
        page.get_by_label("User name or access key ID").fill(ROOT[0])
        page.get_by_label("Password or secret access key").fill(ROOT[1])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/console/fleet")
        page.goto(f"{console}{self.path}")
        self.make_ready(page)
        # Charts draw themselves in an animation.
        page.wait_for_timeout(2_000)
        page.screenshot(path=IMAGES / f"{self.name}.png")
        context.close()


LOOKS = (
    Look("fleet", "/fleet"),
    Look("alarm", "/alarms", latest_alarm),
    Look("alarm-dark", "/alarms", latest_alarm, scheme="dark"),
    Look("fleet-narrow", "/fleet", width=390, height=800),
    Look("create-profile", "/profiles/create", behavior_filled_in),
    Look("thing", "/things/SensorDevice02"),
    Look("function", "/functions/IsolateDevice"),
    Look("mqtt", "/mqtt", subscribed),
)

if __name__ == "__main__":
    main()
