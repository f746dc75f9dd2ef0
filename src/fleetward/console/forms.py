"""The plain pages of signing in: HTML that needs no script, and what is typed into it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from importlib import resources
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

MAX_BODY = 4_096
MAX_FIELDS = 8


@dataclass(frozen=True, slots=True)
class Form:
    introduction: str
    action: str
    fields: str


SIGN_IN = Form(
    "Watches the fleet, and cuts off what misbehaves.",
    "Sign in",
    """
    <label for="name">User name or access key ID</label>
    <input id="name" name="name" value="%NAME%" autocomplete="username" autocapitalize="none" spellcheck="false"
      required autofocus>
    <label for="secret">Password or secret access key</label>
    <input id="secret" name="secret" type="password" autocomplete="current-password" required>
    """,
)

NEW_PASSWORD = Form(
    "%NAME%, your password must be changed before you go on.",
    "Change password",
    """
    <input type="hidden" name="name" value="%NAME%" autocomplete="username">
    <label for="secret">Current password</label>
    <input id="secret" name="secret" type="password" autocomplete="current-password" required autofocus>
    <label for="new">New password</label>
    <input id="new" name="new" type="password" autocomplete="new-password" minlength="8" maxlength="128" required>
    <label for="again">New password again</label>
    <input id="again" name="again" type="password" autocomplete="new-password" required>
    """,
)


def drawn(form: Form, name: str = "", problem: str = "", after: str = "", status: int = 200) -> Response:
    """The page; `after` is where to go then."""
    page = (resources.files(__package__) / "sign_in.html").read_text()
    parts = {"INTRODUCTION": form.introduction, "ACTION": form.action, "FIELDS": form.fields}
    page = _filled(page, parts)
    return HTMLResponse(
        _filled(page, {"NAME": escape(name), "PROBLEM": escape(problem), "NEXT": escape(after)}), status
    )


def _filled(page: str, words: dict[str, str]) -> str:
    """All at once: what is filled in is not looked at again."""
    return re.sub(r"%([A-Z]+)%", lambda found: words.get(found[1], found[0]), page)


async def typed(request: Request) -> dict[str, str] | None:
    """What was sent, or None when that is no small form."""
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > MAX_BODY:
        return None
    try:
        body = (await request.body()).decode("ascii")
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        return None
