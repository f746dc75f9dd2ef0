"""The local outbox: the mails as they would arrive."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from fleetward.console.operator import Operator
from fleetward.console.parts.forms import show_text
from fleetward.console.parts.listing import PAGE_SIZE, Column, Listing, Row
from fleetward.console.parts.moment import Moment, millis
from fleetward.console.parts.notices import empty
from fleetward.console.shell import page

LIVE_SECONDS = 3
COLUMNS = (
    Column("time", "Time", "time"),
    Column("to", "To"),
    Column("subject", "Subject"),
    Column("read", "", "action"),
)
LINKS = {"ConfirmSubscription": ("TopicArn", "Token"), "Unsubscribe": ("SubscriptionArn",)}
"""What the links in our mails do, and the parameters that are kept of them."""


@page("/outbox", "Outbox")
async def outbox(operator: Operator, to: str = "") -> None:
    mails: dict[str, Any] = {}

    def shaped(mail: dict[str, Any]) -> Row:
        mails.pop(mail["id"], None)
        mails[mail["id"]] = mail
        if len(mails) > PAGE_SIZE:
            del mails[next(iter(mails))]
        shown = {name: mail[name] for name in ("to", "subject")}
        return {**shown, "key": mail["id"], "time": millis(mail["timestamp"]), "read": "Read"}

    async def read(row: Row) -> None:
        show_text(row["subject"], lambda: _mail(mails[row["key"]]))

    async def search() -> None:
        await listing.show(to=address.value.strip() or None)

    server = (await operator.do("fleetward", "ListOutbox", maxResults=1)).get("smtpServer")
    _hint(server)
    with ui.element("div").classes("toolbar"):
        address = ui.input("To (the whole address)", value=to).props("outlined dense clearable")
        address.on("keydown.enter", search)
        ui.button("Search", on_click=search).props("outline no-caps")
    listing = Listing(operator, COLUMNS, shaped, "fleetward", "ListOutbox", "mails", _nothing, act=read, to=to or None)
    await listing.show()
    ui.timer(LIVE_SECONDS, listing.refresh, immediate=False)


def _hint(server: str | None) -> None:
    text = "No SMTP server is set (FLEETWARD_SMTP_HOST), so mails stay here; the newest 1,000 are kept."
    if server is not None:
        text = f"Mails are sent through the SMTP server {server}; below are those from before it was set."
    ui.label(text).classes("quiet hint")


def _mail(mail: dict[str, Any]) -> None:
    ui.label(f"To {mail['to']}")
    Moment(millis(mail["timestamp"]))
    body, link = _parted(mail["body"])
    TextElement(tag="pre", text=body).classes("mail")
    if link is not None:
        target, text = link
        with ui.element("a").classes("link mail-link") as anchor:
            ui.label(text)
        anchor._props.update(href=target, target="_blank", rel="noopener noreferrer")


def _parted(body: str) -> tuple[str, tuple[str, str] | None]:
    """The text, and where its last line, which is always ours, leads: to a page of this very server or nowhere.

    What somebody published may look like a link of ours, so nothing above the last line is one.
    """
    text, _, last = body.rstrip().rpartition("\n")
    target = _own_page(last.strip())
    return (f"{text}\n", (target, last.strip())) if target else (body, None)


def _own_page(url: str) -> str | None:
    query = parse_qs(urlsplit(url).query) if url.startswith(("http://", "https://")) else {}
    action = query.get("Action", [""])[0]
    names = LINKS.get(action)
    if names is None or not all(name in query for name in names):
        return None
    return "/?" + urlencode({"Action": action, **{name: query[name][0] for name in names}})


def _nothing() -> None:
    empty("No mails", "Confirmations and alerts for e-mail subscribers appear here.", "outbox")
