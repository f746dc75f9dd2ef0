"""A browser tab in front of a server."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

PATIENCE_MS = 20_000
"""What is waited for comes at once, but on a machine that is busy with other tests."""

ROOT = ("root-key-of-the-tests", "root-secret-of-the-tests")

expect.set_options(timeout=PATIENCE_MS)


class Tab:
    """A browser tab that remembers what went wrong in it."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.problems: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("console", lambda message: self._note(message))

    def _note(self, message: Any) -> None:
        if message.type == "error" and "status of 4" not in message.text:
            self.problems.append(f"console: {message.text}")

    def open(self, path: str) -> Page:
        """Opens a page and waits until it is connected: what is typed before may reach the server in another order."""
        self.page.goto(f"{self.base}/console{path}")
        self.page.wait_for_function("() => !window.socket || window.did_handshake")
        return self.page

    def sign_in(self, name: str = ROOT[0], secret: str = ROOT[1]) -> Page:
        self.open("/sign-in")
        self.page.get_by_label("User name or access key ID").fill(name)
        self.page.get_by_label("Password or secret access key").fill(secret)
        self.page.get_by_role("button", name="Sign in").click()
        return self.page
