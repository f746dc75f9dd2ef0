"""Signing in: a plain page that needs no script.

One form for both kinds of people: a user with a password, and whoever holds an access key. Whose password must be
changed does that first.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from fleetward import errors
from fleetward.access import login_profiles
from fleetward.access.keys import AccessKey
from fleetward.api import inside
from fleetward.api.call import Rooms
from fleetward.console.attempts import Attempts
from fleetward.console.forms import NEW_PASSWORD, SIGN_IN, drawn, typed
from fleetward.console.sessions import HOURS, WITH_PASSWORD, Sessions
from fleetward.model import Millis

COOKIE = "fleetward-session"
WRONG = "That name and that secret do not belong together, or they may not sign in."

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Entrant:
    """Somebody whose secret is right."""

    name: str
    key: AccessKey
    alive: Callable[[Millis], bool]
    must_change: bool = False


class SignIn:
    """The ASGI app of the sign-in page."""

    def __init__(self, rooms: Callable[[], Rooms], sessions: Sessions, home: str) -> None:
        self._rooms = rooms
        self._sessions = sessions
        self._home = home
        self._attempts = Attempts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self._enter(request) if request.method == "POST" else self._ask(request)
        await response(scope, receive, send)

    def _ask(self, request: Request) -> Response:
        return drawn(SIGN_IN, after=self._safe(request.query_params.get("next")))

    async def _enter(self, request: Request) -> Response:
        form = await typed(request)
        if form is None:
            return drawn(SIGN_IN, problem="That is too long.", after=self._home, status=413)
        name, after = form.get("name", "").strip(), self._safe(form.get("next"))
        address = request.client.host if request.client else ""
        now = self._rooms().clock()
        if (seconds := self._attempts.wait(name, address, now)) > 0:
            return drawn(SIGN_IN, name, f"Too many attempts. Try again in {seconds} s.", after, 429)
        self._attempts.begin(name, address, now)
        entrant = await self._identify(name, form.get("secret", ""), now)
        log.info("signed_in" if entrant else "sign_in_refused", name=name[:64], address=address)
        if entrant is None:
            return drawn(NEW_PASSWORD if "new" in form else SIGN_IN, name, WRONG, after, 403)
        self._attempts.succeeded(name, address)
        if entrant.must_change:
            if "new" not in form:
                return drawn(NEW_PASSWORD, name, after=after)
            if problem := await self._change(entrant, form, request, address):
                return drawn(NEW_PASSWORD, name, problem, after, 400)
            entrant = await self._identify(name, form["new"], now)
        return (
            drawn(SIGN_IN, name, WRONG, after, 403) if entrant is None else self._let_in(entrant, request, after, now)
        )

    async def _identify(self, name: str, secret: str, now: Millis) -> Entrant | None:
        """Who that is. It takes as long for a name that is nobody's, a user's or an access key's."""
        rooms = self._rooms()
        with rooms.database.read() as look:
            profile = login_profiles.find(look, rooms.arns, name)
        matches = await asyncio.to_thread(login_profiles.matches, profile, secret)
        key = rooms.keys.find(name)
        if key is not None and key.session_token is None:
            same, alive = secrets.compare_digest(key.secret.encode(), secret.encode()), _alive_with_key(rooms, key)
            return Entrant(name, key, alive) if same and alive(now) else None
        if not matches or profile is None:
            return None
        stand_in = AccessKey(WITH_PASSWORD, "", profile.principal_arn, owner_id=profile.user_id)
        return Entrant(name, stand_in, _alive_with_password(rooms, name, profile), profile.must_change)

    async def _change(self, entrant: Entrant, form: Mapping[str, str], request: Request, address: str) -> str:
        """Changes the password as that user; why not, or an empty text."""
        old, new = form.get("secret", ""), form["new"]
        if new != form.get("again"):
            return "The two new passwords differ."
        if new == old:
            return "The new password is the old one."
        guest = inside.Guest(entrant.key, address, request.url.scheme == "https")
        try:
            params = {"OldPassword": old, "NewPassword": new}
            await inside.carry_out(self._rooms(), guest, "iam", "ChangePassword", params)
        except errors.Refusal as refusal:
            return refusal.message
        return ""

    def _let_in(self, entrant: Entrant, request: Request, after: str, now: Millis) -> Response:
        """A new session, always; an earlier one of this browser ends."""
        self._sessions.close(request.cookies.get(COOKIE, ""))
        session = self._sessions.open(entrant.name, entrant.key, entrant.alive, now)
        response = RedirectResponse(after, 303)
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
