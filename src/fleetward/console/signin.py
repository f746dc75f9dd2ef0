"""Signing in and out: a plain page that needs no script.

One form for both kinds of people: a user with a password, and whoever holds an access key.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from html import escape
from importlib import resources
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from fleetward import errors
from fleetward.access import login_profiles
from fleetward.access.keys import AccessKey
from fleetward.api.call import Rooms
from fleetward.console.attempts import Attempts
from fleetward.console.sessions import HOURS, Session, Sessions
from fleetward.model import Millis

COOKIE = "fleetward-session"
WRONG = "That name and that secret do not belong together, or they may not sign in."
MAX_BODY = 4_096

log = structlog.get_logger()


class SignIn:
    """The ASGI app of the sign-in page."""

    def __init__(self, rooms: Callable[[], Rooms], sessions: Sessions, home: str) -> None:
        self._rooms = rooms
        self._sessions = sessions
        self._home = home
        self._attempts = Attempts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self._enter(request) if request.method == "POST" else self._form(request)
        await response(scope, receive, send)

    def _form(self, request: Request, name: str = "", problem: str = "", status: int = 200) -> Response:
        page = (resources.files(__package__) / "sign_in.html").read_text()
        shown = {"NAME": name, "PROBLEM": problem, "NEXT": self._safe(request.query_params.get("next"))}
        for word, value in shown.items():
            page = page.replace(f"%{word}%", escape(value))
        return HTMLResponse(page, status)

    async def _enter(self, request: Request) -> Response:
        if int(request.headers.get("content-length") or MAX_BODY + 1) > MAX_BODY:
            return self._form(request, problem="That is too long.", status=413)
        form = await request.form(max_files=0, max_fields=4)
        name, secret = str(form.get("name", "")).strip(), str(form.get("secret", ""))
        address = request.client.host if request.client else ""
        now = self._rooms().clock()
        if (seconds := self._attempts.wait(name, address, now)) > 0:
            return self._form(request, name, f"Too many attempts. Try again in {seconds} s.", 429)
        session = await self._check(name, secret, now)
        self._attempts.note(name, address, session is not None, now)
        log.info("signed_in" if session else "sign_in_refused", name=name[:64], address=address)
        if session is None:
            return self._form(request, name, WRONG, 403)
        response = RedirectResponse(self._safe(str(form.get("next", ""))), 303)
        response.set_cookie(
            COOKIE,
            session.token,
            max_age=HOURS * 3600,
            path="/console",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return response

    async def _check(self, name: str, secret: str, now: Millis) -> Session | None:
        rooms = self._rooms()
        key = rooms.keys.find(name)
        if key is not None and key.session_token is None:
            same = secrets.compare_digest(key.secret.encode(), secret.encode())
            alive = _alive_with_key(rooms, key)
            return self._sessions.open(name, key, alive, now) if same and alive(now) else None
        with rooms.database.read() as look:
            profile = login_profiles.find(look, rooms.arns, name)
        if not await asyncio.to_thread(login_profiles.matches, profile, secret) or profile is None:
            return None
        stand_in = AccessKey("console", "", profile.principal_arn, owner_id=profile.user_id)
        return self._sessions.open(name, stand_in, _alive_with_password(rooms, name, profile), now)

    def _safe(self, target: Any) -> str:
        """Where to go after signing in: within the console, whatever the link says."""
        return target if isinstance(target, str) and target.startswith("/console/") else self._home


def _alive_with_key(rooms: Rooms, key: AccessKey) -> Callable[[Millis], bool]:
    def alive(now: Millis) -> bool:
        try:
            return rooms.keys.holder_of(key.id, None, now) == key
        except errors.Refusal:
            return False

    return alive


def _alive_with_password(rooms: Rooms, name: str, profile: login_profiles.LoginProfile) -> Callable[[Millis], bool]:
    def alive(_: Millis) -> bool:
        with rooms.database.read() as look:
            return login_profiles.find(look, rooms.arns, name) == profile

    return alive
