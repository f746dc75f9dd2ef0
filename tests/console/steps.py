"""What a reader does on many pages, by clicks and typing."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect


def menu(page: Page, title: str) -> None:
    page.locator(".menu-item", has_text=title).click()
    heading_is(page, title)


def heading_is(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def pick(page: Page, label: str, name: str) -> None:
    """Chooses a name in a field that looks names up."""
    field = page.get_by_role("combobox", name=label)
    field.click()
    field.press_sequentially(name[:8], delay=20)
    page.get_by_role("option", name=name, exact=True).click()


def editor(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Function code")
