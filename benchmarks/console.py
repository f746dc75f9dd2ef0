"""How long the console's pages take to be shown, with a million things and 100,000 violations in the store.

A real Chromium, signed in, goes through every page: the time is that from the click, or from going to the page, until
its rows or facts are visible.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import crowded
from peers import Server, fleetward
from playwright.sync_api import Locator, Page, sync_playwright
from processes import memory_bytes
from report import Part, hand_in, parser
from rounds import interleaved, progress

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MOST_SECONDS = 1.0
MOST_ROWS = 150
"""A page of a topic's subscriptions (SNS: 100) and one of its deliveries (50) are on the same page of the console."""
PREVIEW = "preview"
PREVIEW_SECONDS = 120
CERTIFICATE = f"{400:08x}{56 * '0'}"
ROWS, MEMORY = "rows", "memory"
"""What a walk tells besides the seconds of its steps."""

HOW = (
    "A headless Chromium, signed in, goes through the pages of a server with {things:,} things, all in one group, "
    "{violations:,} violations of the last day, half of them open, {changes:,} changes on the audit trail, "
    "{messages:,} messages in one topic's delivery log, and {others:,} of each other kind. Measured is the time from "
    "the click, or from going to the page, until its rows or facts are visible; memory is that of the server and its "
    "children after each walk through all pages. The store is written offline, from one of each that the server made."
)


# --- a tab ------------------------------------------------------------------------------------------------------------


@dataclass
class Walk:
    """One way through the pages, in a tab that is signed in."""

    page: Page
    base: str
    sizes: crowded.Sizes
    seconds: dict[str, float] = field(default_factory=dict)
    rows: int = 0
    """The most that were shown at once."""

    @property
    def last(self) -> str:
        """The last thing's name."""
        return f"thing-{self.sizes.things - 1:07}"

    def another(self, kind: str) -> str:
        """The last name of a kind."""
        return f"{kind}{self.sizes.others:05}"

    def visit(self, name: str, path: str, text: str) -> None:
        """Goes to the page."""
        self._step(name, lambda: self.page.goto(f"{self.base}/console{path}", wait_until="commit"), self._text(text))

    def press(self, name: str, button: str, text: str, role: str = "button", within: str = ".page, .q-dialog") -> None:
        found = self.page.locator(within).get_by_role(role, name=button, exact=True)  # type: ignore[arg-type]
        self._step(name, found.click, self._text(text))

    def search(self, name: str, label: str, typed: str, text: str) -> None:
        """Types it into the field; the fields wait 300 ms for more to be typed, which is part of the time."""
        found = self.page.get_by_label(label)
        self._step(name, lambda: (found.fill(typed), found.press("Enter")), self._text(text))

    def choose(self, name: str, label: str, option: str) -> None:
        """Looks for it in a field that offers names, by all but its last character; the time is until it is offered."""
        combobox = self.page.get_by_role("combobox", name=label, exact=True)
        combobox.click()
        self._step(name, lambda: combobox.fill(option[:-1]), self.page.get_by_role("option", name=option, exact=True))
        self.page.get_by_role("option", name=option, exact=True).click()

    def _step(self, name: str, act: Callable[[], object], shown: Locator) -> None:
        began = time.perf_counter()
        act()
        shown.wait_for()
        self.seconds[name] = time.perf_counter() - began
        self.rows = max(self.rows, *(self.page.locator(rows).count() for rows in ("tbody tr", "[role=option]")))

    def _text(self, text: str) -> Locator:
        return self.page.locator(".page, .q-dialog").get_by_text(text).first


# --- the pages --------------------------------------------------------------------------------------------------------


def alarms(walk: Walk) -> None:
    row, nothing = "TooMany: 200 messages", "No alarms here"
    walk.visit("fleet", "/fleet", "Strangest now")
    walk.visit("alarms", "/alarms", row)
    walk.press("alarms: next page", "Next page", "Page 2")
    walk.press("alarms: history", "History", "Cleared", role="tab")
    walk.press("alarms: history, next page", "Next page", "Page 2")
    walk.visit("alarms of a device", "/alarms?thing=thing-0000070&status=ENDED", row)
    walk.visit("alarms of a profile", "/alarms?profile=pattern", row)
    walk.visit("alarms of a profile that has none", "/alarms?profile=profile00001", nothing)
    walk.choose("alarms: a profile to choose", "Security profile", walk.another("profile"))
    walk.visit("an alarm", "/alarms/0000000000000010", "Alarm raised")
    walk.visit("an alarm and its charts", "/alarms/0000000000000010", "The fleet in that window")


def profiles(walk: Walk) -> None:
    walk.visit("security profiles", "/profiles", "profile00001")
    walk.press("security profiles: next page", "Next page", "Page 2")
    walk.visit("a security profile", "/profiles/pattern", "Open alarms")
    walk.visit("profile wizard", "/profiles/pattern/edit", "Add behavior")
    walk.press("profile wizard: alert targets", "Next", "Who is told when")
    walk.choose("profile wizard: a topic to choose", "SNS topic", walk.another("topic"))
    walk.choose("profile wizard: a role to choose", "IAM role", walk.another("role"))
    walk.press("profile wizard: targets", "Next", "The devices it watches")
    walk.choose("profile wizard: a thing group to choose", "Thing groups", walk.another("group"))


def preview(walk: Walk) -> None:
    """Apart from the walk: it replays the history of all things, and shows meanwhile that it does."""
    walk.visit("profile wizard", "/profiles/pattern/edit", "Add behavior")
    walk.press(PREVIEW, "Show preview", "would have been")


def things(walk: Walk) -> None:
    walk.visit("things", "/things", "thing-0000001")
    walk.press("things: next page", "Next page", "Page 2")
    walk.search("things: found by name", "Find things by the beginning", walk.last[:-3], f"{walk.last[:-3]}000")
    walk.press("things: next page of what was found", "Next page", "Page 2")
    walk.visit("a thing", "/things/thing-0000070", "Policies that bind it")
    walk.press("a thing: activity", "Activity", "No activity yet", role="tab")
    walk.press("a thing: metrics", "Metrics", "Messages sent", role="tab")
    walk.press("a thing: add to group", "Add to group …", "Add thing-0000070 to a thing group")
    walk.choose("a thing: a group to choose", "Thing group", walk.another("group"))
    walk.visit("a thing", "/things/thing-0000070", "Policies that bind it")
    walk.press("a thing: attach certificate", "Attach certificate …", "Attach a certificate")
    walk.choose("a thing: a certificate to choose", "Certificate ID", CERTIFICATE)


def groups(walk: Walk) -> None:
    walk.visit("thing groups", "/groups", "group00001")
    walk.search("thing groups: found by name", "Find thing groups by the beginning", "group001", "group00100")
    walk.visit("a group of all things", "/groups/everyone", "thing-0000001")
    walk.press("a group of all things: next page", "Next page", "Page 2")
    walk.press("a group of all things: add thing", "Add thing …", "Add a thing to everyone")
    walk.choose("a group: a thing to choose", "Thing", walk.last)
    walk.visit("a group of all things", "/groups/everyone", "thing-0000001")
    walk.press("a group of all things: hierarchy", "Hierarchy", "No groups in it", role="tab")
    walk.press("a group of all things: security", "Security", "Policies", role="tab")
    walk.press("a group of all things: edit policies", "Edit", "Policies of everyone")
    walk.choose("a group: a policy to choose", "Policies", walk.another("policy"))


def credentials(walk: Walk) -> None:
    walk.visit("certificates", "/certificates", "ACTIVE")
    walk.search("certificates: found by ID", "Find certificates by the beginning", CERTIFICATE[:-2], CERTIFICATE[:32])
    walk.visit("a certificate", f"/certificates/{CERTIFICATE}", "thing-0000400")
    walk.visit("policies", "/policies", "policy00001")
    walk.press("policies: next page", "Next page", "Page 2")
    walk.visit("a policy", "/policies/pattern", "iot:*")
    walk.press("a policy: targets", "Targets", "everyone", role="tab")


def messages(walk: Walk) -> None:
    walk.visit("topics", "/topics", "topic00001")
    walk.press("topics: next page", "Next page", "Page 2")
    walk.visit("a topic of many messages", "/topics/loud", "Alert")
    walk.press("a topic of many messages: next page", "Next page", "Page 2", within=".deliveries")
    walk.visit("a topic whose messages are far back", "/topics/quiet", "Alert")
    walk.press("a topic whose messages are far back: next page", "Next page", "Page 2", within=".deliveries")
    walk.visit("outbox", "/outbox", "pattern@example.com")
    walk.press("outbox: next page", "Next page", "Page 2")
    walk.visit("MQTT test client", "/mqtt", "No messages yet")


def functions(walk: Walk) -> None:
    walk.visit("functions", "/functions", "function00001")
    walk.press("functions: create", "Create function", "Start from")
    walk.choose("functions: a role to choose", "Role", walk.another("role"))
    walk.visit("a function", "/functions/pattern", "Designer")
    walk.press("a function: add trigger", "Add trigger", "Enable trigger")
    walk.choose("a function: a topic to choose", "SNS topic", walk.another("topic"))


def people(walk: Walk) -> None:
    walk.visit("audit trail", "/trail", "CreateThing")
    walk.press("audit trail: next page", "Next page", "Page 2")
    who = "Who (user name or ARN)"
    walk.search("audit trail of a user", who, "pattern", "user/pattern")
    walk.search("audit trail of a user who did nothing", who, "user00001", "No changes")
    walk.visit("audit trail of a thing", "/trail?name=thing-0000070", "thing-0000070")
    walk.visit("audit trail of something that never was", "/trail?name=nothing", "No changes")
    walk.visit("users", "/users", "user00001")
    walk.visit("a user", "/users/pattern", "Role")


PARTS = (alarms, profiles, things, groups, credentials, messages, functions, people)


# --- measuring --------------------------------------------------------------------------------------------------------


def through_all(page: Page, server: Server, sizes: crowded.Sizes) -> Mapping[str, float]:
    walk = Walk(page, server.url, sizes)
    for part in PARTS:
        part(walk)
    return {**walk.seconds, ROWS: walk.rows, MEMORY: memory_bytes(server.process.pid) / 1e6}


def signed_in(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/console/sign-in")
    page.get_by_label("User name or access key ID").fill(server.key_id)
    page.get_by_label("Password or secret access key").fill(server.secret)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("Strangest now").wait_for()


def measure(part: Part, folder: Path, sizes: crowded.Sizes, rounds: int) -> None:
    progress(f"writing {sizes.things:,} things and what is around them")
    window_end = crowded.make(folder, sizes)
    with ExitStack() as closing:
        server = fleetward(folder)
        closing.callback(server.stop)
        server.settle()
        crowded.alarm(folder, sizes, window_end)
        playwright = closing.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        closing.callback(browser.close)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        signed_in(page, server)
        through_all(page, server, sizes)  # what is loaded once, in the server and the browser
        found = interleaved({"walk": partial(through_all, page, server, sizes)}, rounds, "walking")["walk"]
        page.set_default_timeout(PREVIEW_SECONDS * 1000)
        looked_back = Walk(page, server.url, sizes)
        preview(looked_back)
    rows, memory = found.pop(ROWS), found.pop(MEMORY)
    for name, seconds in found.items():
        part.add(name, "s", seconds, at_most=MOST_SECONDS)
    part.add("profile wizard: preview, replays the history of all things", "s", [looked_back.seconds[PREVIEW]])
    part.add("rows or names shown at once, at most", "", rows, at_most=MOST_ROWS)
    part.add("memory after a walk through all pages", "MB", memory)
    part.add("memory after the last walk over that after the first", "×", [memory[-1] / memory[0]], at_most=1.1)


def main() -> None:
    options = parser(__doc__).parse_args()
    sizes, rounds = (crowded.QUICK, 2) if options.quick else (crowded.FULL, options.rounds)
    part, began = Part("console", "The console", HOW.format_map(asdict(sizes))), time.monotonic()
    if CHROMIUM is None:
        part.told["missing"] = "Chromium (apt-get install chromium), so nothing was measured"
    else:
        with tempfile.TemporaryDirectory(prefix="fleetward-bench-") as folder:
            measure(part, Path(folder), sizes, rounds)
    hand_in(part, began, options.json)


if __name__ == "__main__":
    main()
