"""What is around every page: NiceGUI set up for our rules, the menu, and who is signed in."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from jinja2 import Environment, FunctionLoader
from nicegui import app as nicegui_app
from nicegui import ui
from nicegui.client import templates

from fleetward.console import headers
from fleetward.console.menu import MENU, Item
from fleetward.console.operator import Operator
from fleetward.console.own_pages import make_room
from fleetward.console.parts import notices
from fleetward.console.parts.heading import heading
from fleetward.console.sessions import WITH_PASSWORD

PATH = "/console"
STATIC = Path(__file__).parent / "static"


def build() -> FastAPI:
    """NiceGUI with all pages, mounted under /console; once a process."""
    _allow_own_scripts(templates.env)
    nicegui_app.add_static_files("/static", STATIC)
    for module in {item.module for item in MENU}:
        import_module(f"fleetward.console.pages.{module}")
    # Quasar's bar for the browser's own polling has no accessible name and tells a reader nothing.
    nicegui_app.config.quasar_config["loadingBar"]["skipHijack"] = True
    outer = FastAPI(openapi_url=None)
    ui.run_with(
        outer,
        mount_path=PATH,
        title="Fleetward",
        language="en-US",
        dark=None,
        show_welcome_message=False,
        tailwind=False,
        favicon=STATIC / "icon.svg",
    )
    return outer


def page(path: str, title: str) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., Any]]:
    """Makes `async def draw(operator, …)` the page at `path`; further parameters come from the path and the query.

    Whatever it or a handler on it raises is told (parts/notices.py): a Refusal in its own words, anything else as a
    mistake of ours that the server's log explains. So pages raise, and do not catch.
    """

    def register(draw: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
        async def show(**given: Any) -> None:
            operator = operator_here()
            make_room(operator.session)
            ui.on_exception(notices.tell)
            with _frame(operator, title, path):
                try:
                    await draw(operator, **given)
                except Exception as error:
                    notices.explain(error)

        # NiceGUI reads the parameters of the path and the query from the signature.
        _, *others = inspect.signature(draw, eval_str=True).parameters.values()
        show.__signature__ = inspect.Signature(others)  # type: ignore[attr-defined]
        return ui.page(path, title=f"{title} · Fleetward")(show)

    return register


def entitle(text: str) -> None:
    """Gives the page that is being drawn a title of its own, such as the name of what it shows."""
    ui.context.client.storage["heading"].set_text(text)
    ui.page_title(f"{text} · Fleetward")


def operator_here() -> Operator:
    """Whose page this is."""
    operator: Operator = ui.context.client.request.scope["fleetward.operator"]
    return operator


def _allow_own_scripts(environment: Environment) -> None:
    """The scripts of NiceGUI's own page get the nonce of their answer; what pages show in it gets none."""
    loader = environment.loader
    assert loader is not None

    def load(name: str) -> str:
        source, _, _ = loader.get_source(environment, name)
        return source.replace("<script", '<script nonce="{{ nonce() }}"')

    environment.loader = FunctionLoader(load)
    environment.globals["nonce"] = headers.nonce.get


# --- the frame --------------------------------------------------------------------------------------------------------


@contextmanager
def _frame(operator: Operator, title: str, path: str) -> Iterator[None]:
    ui.add_head_html(f'<link rel="stylesheet" href="{PATH}/static/console.css">')
    ui.colors(primary="#0b5fa5", negative="#b3261e", positive="#1b6e3c", warning="#8a5a00")
    dark = ui.dark_mode(operator.session.preferences.get("dark"))
    drawer = ui.left_drawer(bordered=True).props("breakpoint=900 width=216 role=navigation aria-label=Pages")
    with drawer, ui.element("ul").classes("menu"):
        for item in MENU:
            with ui.element("li"):
                _menu_item(item, path)
    with ui.header(elevated=False).classes("top"):
        ui.button(icon="menu", on_click=drawer.toggle).props("flat round dense aria-label='Menu'")
        with ui.link(target="/fleet").classes("brand"):
            ui.element("img").props(f"src={PATH}/static/icon.svg alt=''").classes("brand-icon")
            ui.label("Fleetward")
        ui.space()
        _account(operator, dark)
    with ui.element("div").classes("page"):
        for item in MENU:
            if path.startswith(f"{item.path}/"):
                ui.link(f"‹ {item.title}", item.path).classes("way-back")
        ui.context.client.storage["heading"] = heading(title, 1)
        yield


def _menu_item(item: Item, path: str) -> None:
    with ui.link(target=item.path).classes("menu-item") as link:
        ui.icon(item.icon).props("aria-hidden=true")
        ui.label(item.title)
    if path == item.path or path.startswith(f"{item.path}/"):
        link.classes("current").props("aria-current=page")


def _account(operator: Operator, dark: ui.dark_mode) -> None:
    def choose(value: bool | None) -> None:
        operator.session.preferences["dark"] = dark.value = value

    account = ui.button(operator.session.name, icon="account_circle").props("flat no-caps")
    with account, ui.menu().props("auto-close"):
        for title, value in (("Light", False), ("Dark", True), ("Light or dark as the system", None)):
            ui.menu_item(title, lambda value=value: choose(value))
        ui.separator()
        if operator.session.key.id == WITH_PASSWORD:
            with ui.item().props(f"tag=a href={PATH}/password clickable"), ui.item_section():
                ui.label("Change my password")
        with ui.item().props(f"tag=a href={PATH}/sign-out clickable"), ui.item_section():
            ui.label("Sign out")
